"""Looking hosts up: once, for a day, and again when one fails."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tasks.liveperson.domains import (
    FAILURE_SECONDS,
    KEEP_SECONDS,
    RECHECK_SECONDS,
    Domains,
    UntrustedHost,
)
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tests.unit.liveperson.scripted import ACCOUNT, Call, Clock, ScriptedHttp, response

SERVICE = "asyncMessagingEnt"
OLD, NEW = "https://va.msg.liveperson.net", "https://lo.msg.liveperson.net"
MAX_WAIT_SECONDS = 10.0


def named(host: str) -> HttpResponse:
    return response(200, {"service": SERVICE, "account": ACCOUNT, "baseURI": host})


def domains(*answers: HttpResponse | NotSent | FateUnknown) -> tuple[Domains, ScriptedHttp, Clock]:
    http, clock = ScriptedHttp(list(answers)), Clock()
    built = Domains(
        http,
        account_id=ACCOUNT,
        domain_api_url="https://api.liveperson.net/",
        trusted_hosts=[".liveperson.net"],
        clock=clock,
    )
    return built, http, clock


def test_one_service_is_asked_for_as_documented() -> None:
    """The URL is that of LivePerson's Domain API page, version included."""
    built, http, _clock = domains(named("va.msg.liveperson.net"))
    assert built.base_url(SERVICE) == "https://va.msg.liveperson.net"
    url = (
        "https://api.liveperson.net/api/account/12345678/service/asyncMessagingEnt/baseURI.json"
        "?version=1.0"
    )
    assert http.calls == [Call("GET", url, {}, None)]


def test_a_host_is_kept_for_a_day_and_no_longer() -> None:
    """Within the day nobody asks; after it the new host counts."""
    built, http, clock = domains(named("va.msg.liveperson.net"), named("lo.msg.liveperson.net"))
    built.base_url(SERVICE)
    clock.now += KEEP_SECONDS - 1
    assert built.base_url(SERVICE) == "https://va.msg.liveperson.net"
    clock.now += 1
    assert built.base_url(SERVICE) == "https://lo.msg.liveperson.net"
    assert len(http.calls) == 2


def test_after_a_day_without_the_domain_api_nothing_is_sent() -> None:
    """An old host is not used on: LivePerson allows a day."""
    built, _http, clock = domains(named("va.msg.liveperson.net"), NotSent("no route"))
    built.base_url(SERVICE)
    clock.now += KEEP_SECONDS
    with pytest.raises(NotSent, match="the Domain API did not answer: no route"):
        built.base_url(SERVICE)


def test_a_forgotten_host_is_looked_up_again() -> None:
    """A host that failed may have moved."""
    built, http, clock = domains(named("va.msg.liveperson.net"), named("lo.msg.liveperson.net"))
    built.base_url(SERVICE)
    clock.now += RECHECK_SECONDS
    built.forget(SERVICE)
    assert built.base_url(SERVICE) == "https://lo.msg.liveperson.net"
    assert len(http.calls) == 2


def test_a_host_that_keeps_failing_is_not_looked_up_each_time() -> None:
    """At most one look-up a minute, however many calls fail."""
    built, http, clock = domains(named("va.msg.liveperson.net"), named("va.msg.liveperson.net"))
    built.base_url(SERVICE)
    clock.now += RECHECK_SECONDS
    for _ in range(5):
        built.forget(SERVICE)
        built.base_url(SERVICE)
    assert len(http.calls) == 2


def test_a_forgotten_host_serves_on_while_the_domain_api_is_away() -> None:
    """A short trouble of one host does not make the Domain API's trouble ours."""
    built, http, clock = domains(named("va.msg.liveperson.net"), FateUnknown("silence"))
    built.base_url(SERVICE)
    clock.now += RECHECK_SECONDS
    built.forget(SERVICE)
    assert built.base_url(SERVICE) == "https://va.msg.liveperson.net"
    assert built.base_url(SERVICE) == "https://va.msg.liveperson.net"
    assert len(http.calls) == 2


def test_forgetting_what_was_never_known_does_nothing() -> None:
    """The first look-up may be the one that fails."""
    built, _http, _clock = domains(named("va.msg.liveperson.net"))
    built.forget(SERVICE)
    assert built.base_url(SERVICE) == "https://va.msg.liveperson.net"


def test_a_host_moved_outside_is_refused() -> None:
    """Not even the old host is used then: somebody may be answering for the Domain API."""
    built, _http, clock = domains(named("va.msg.liveperson.net"), named("evil.example"))
    built.base_url(SERVICE)
    clock.now += RECHECK_SECONDS
    built.forget(SERVICE)
    with pytest.raises(UntrustedHost):
        built.base_url(SERVICE)


def test_a_host_that_was_refused_once_does_not_serve_again() -> None:
    """Not even if the Domain API is away by then."""
    built, _http, clock = domains(
        named("va.msg.liveperson.net"), named("evil.example"), NotSent("no route")
    )
    built.base_url(SERVICE)
    clock.now += RECHECK_SECONDS
    built.forget(SERVICE)
    with pytest.raises(UntrustedHost):
        built.base_url(SERVICE)
    clock.now += FAILURE_SECONDS
    with pytest.raises(NotSent, match="no route"):
        built.base_url(SERVICE)


def test_one_thread_looks_a_suspect_host_up_and_the_others_go_on_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A look-up takes as long as the Domain API does; who must know where to go waits for it."""
    built, http, clock = domains(named("va.msg.liveperson.net"), named("lo.msg.liveperson.net"))
    built.base_url(SERVICE)
    clock.now += RECHECK_SECONDS
    built.forget(SERVICE)
    asked, answering, call = threading.Event(), threading.Event(), http.call

    def slow(*args: Any, **options: Any) -> HttpResponse:
        asked.set()
        assert answering.wait(MAX_WAIT_SECONDS)
        return call(*args, **options)

    monkeypatch.setattr(http, "call", slow)
    with ThreadPoolExecutor() as pool:
        looking = pool.submit(built.base_url, SERVICE)
        assert asked.wait(MAX_WAIT_SECONDS)
        moved = pool.submit(built.has_moved, SERVICE, OLD)
        try:
            assert pool.submit(built.base_url, SERVICE).result(MAX_WAIT_SECONDS / 2) == OLD
        finally:
            answering.set()
        assert looking.result() == NEW
        assert moved.result()
    assert built.base_url(SERVICE) == NEW
    assert len(http.calls) == 2


@pytest.mark.parametrize(
    ("answer", "moved"),
    [
        (named("lo.msg.liveperson.net"), True),
        (named("va.msg.liveperson.net"), False),
        (named("evil.example"), False),
        (NotSent("no route"), False),
    ],
)
def test_a_host_has_moved_if_the_domain_api_says_so(
    answer: HttpResponse | NotSent, *, moved: bool
) -> None:
    """It is asked once a minute at most, and anybody may have asked it."""
    built, http, clock = domains(named("va.msg.liveperson.net"), answer)
    built.base_url(SERVICE)
    built.forget(SERVICE)
    assert not built.has_moved(SERVICE, OLD)
    clock.now += RECHECK_SECONDS
    built.forget(SERVICE)
    for _ in range(2):
        assert built.has_moved(SERVICE, OLD) is moved
    assert len(http.calls) == 2


@pytest.mark.parametrize(
    ("answer", "message", "http_status", "retry_after"),
    [
        (NotSent("cannot connect"), "the Domain API did not answer: cannot connect", None, None),
        (FateUnknown("silence"), "the Domain API did not answer: silence", None, None),
        (response(400, {"body": {"msg": "No such account"}}), "No such account", 400, None),
        (response(503, b"", Retry_After="9"), "HTTP 503", 503, 9.0),
        (response(200, b"<html>"), "HTTP 200", 200, None),
        (response(200, {"service": SERVICE}), "HTTP 200", 200, None),
        (response(200, {"baseURI": None}), "HTTP 200", 200, None),
        (response(302, b"", Location="https://evil.example"), "HTTP 302", 302, None),
    ],
)
def test_every_failed_look_up_is_known_not_sent(
    answer: HttpResponse | NotSent | FateUnknown,
    message: str,
    http_status: int | None,
    retry_after: float | None,
) -> None:
    """A look-up has no effect, so failing to look up never leaves doubt."""
    built, _http, _clock = domains(answer)
    with pytest.raises(NotSent, match=message) as caught:
        built.base_url(SERVICE)
    assert (http_status, retry_after) == (caught.value.http_status, caught.value.retry_after)
    assert caught.value.__context__ is None


def test_a_failed_look_up_is_not_repeated_at_once() -> None:
    """Hundreds of waiting jobs do not become hundreds of look-ups, one after the other."""
    built, http, clock = domains(
        response(503, b"", Retry_After="9"), named("va.msg.liveperson.net")
    )
    for _ in range(3):
        with pytest.raises(NotSent, match="503") as caught:
            built.base_url(SERVICE)
        assert (caught.value.http_status, caught.value.retry_after) == (503, 9.0)
    assert len(http.calls) == 1
    clock.now += FAILURE_SECONDS
    assert built.base_url(SERVICE) == "https://va.msg.liveperson.net"


def test_threads_that_ask_together_share_one_look_up() -> None:
    """One asks, the others wait for its answer."""
    built, http, _clock = domains(named("va.msg.liveperson.net"))
    together = threading.Barrier(20)

    def ask(_number: int) -> str:
        together.wait()
        return built.base_url(SERVICE)

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(ask, range(20))) == {"https://va.msg.liveperson.net"}
    assert len(http.calls) == 1


def test_a_domain_api_in_the_clear_is_refused_at_once() -> None:
    """The fault shows when the client is made, not at the first job."""
    with pytest.raises(ValueError, match="OVERTURE_DOMAIN_API_URL"):
        Domains(
            ScriptedHttp([]),
            account_id=ACCOUNT,
            domain_api_url="http://api.liveperson.net",
            trusted_hosts=[".liveperson.net"],
        )
