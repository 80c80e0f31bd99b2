"""Calling a service where it lives, and noticing that it has moved."""

import pytest

from tasks.liveperson.domains import RECHECK_SECONDS, Domains, Services
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tests.unit.liveperson.scripted import ACCOUNT, Clock, ScriptedHttp, response

HOST = response(200, {"baseURI": "va.msg.liveperson.net"})
NEW_HOST = response(200, {"baseURI": "lo.msg.liveperson.net"})


def call(services: Services) -> HttpResponse | Exception:
    try:
        return services.call("asyncMessagingEnt", "POST", "/path?v=3", headers={}, body=b"[]")
    except (NotSent, FateUnknown) as error:
        return error


@pytest.mark.parametrize(
    ("answer", "looked_up_again"),
    [
        (NotSent("cannot connect"), True),
        (response(404), True),
        (response(421), True),
        (response(302), True),
        (response(308), True),
        (FateUnknown("silence"), False),
        (response(200), False),
        (response(400), False),
        (response(503), False),
    ],
)
def test_a_host_that_seems_to_have_moved_is_looked_up_again(
    answer: HttpResponse | NotSent | FateUnknown, *, looked_up_again: bool
) -> None:
    """Unreachable, unknown there or redirected: the Domain API is asked where to go."""
    clock = Clock()
    http = ScriptedHttp([HOST, answer, NEW_HOST if looked_up_again else response(200)])
    http.answers.append(response(200))
    domains = Domains(
        http,
        account_id=ACCOUNT,
        domain_api_url="https://api.liveperson.net",
        trusted_hosts=[".liveperson.net"],
        clock=clock,
    )
    services = Services(http, domains)
    domains.base_url("asyncMessagingEnt")
    clock.now += RECHECK_SECONDS
    assert call(services) is answer
    call(services)
    host = "lo.msg.liveperson.net" if looked_up_again else "va.msg.liveperson.net"
    assert http.calls[-1].url == f"https://{host}/path?v=3"
