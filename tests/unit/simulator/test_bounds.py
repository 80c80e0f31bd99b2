"""What the simulator remembers has an end, and the newest is kept."""

import pytest

from simulator import counters, state, visitors
from simulator.counters import Counters, report
from simulator.settings import Settings
from simulator.state import State
from simulator.tokens import ConsumerToken
from simulator.visitors import Visitors


def test_visitors_unseen_for_long_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Being asked for counts as being seen."""
    monkeypatch.setattr(visitors, "KEPT_VISITORS", 2)
    kept = Visitors()
    first, second = kept.add("a"), kept.add("a")
    assert kept.knows("a", first)
    third = kept.add("a")

    assert [kept.knows("a", one) for one in (first, second, third)] == [True, False, True]
    assert not kept.knows("b", first)


def test_old_revocations_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """By then the tokens have expired."""
    monkeypatch.setattr(state, "KEPT_REVOCATIONS", 2)
    kept = State(Settings())
    for token_id in "abc":
        kept.revoke(token_id)

    assert [kept.is_revoked(token_id) for token_id in "abc"] == [False, True, True]


def test_any_account_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that many, accounts are unknown."""
    monkeypatch.setattr(state, "MAX_ACCOUNTS", 1)
    kept = State(Settings(accounts={}, any_account=True))

    assert kept.find("1") is kept.find("1") is not None
    assert kept.find("2") is None


def test_huge_requests_and_old_messages_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record has a size; sequences go on."""
    monkeypatch.setattr(state, "KEPT_MESSAGES", 2)
    kept = State(Settings())
    account = kept.find("12345678")
    assert account is not None
    consumer = account.consumer(ConsumerToken(account.id, "c", "0" * 64))
    conversation = account.open(consumer, at=1.0, request=None, client_properties=None)

    assert [conversation.publish(text, keep=True) for text in "abc"] == [0, 1, 2]
    assert conversation.messages == ["b", "c"]
    assert kept.kept(b"x" * state.KEPT_BODY_BYTES) is not None
    assert kept.kept(b"x" * (state.KEPT_BODY_BYTES + 1)) is None


def test_seconds_are_kept_for_ten_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Old seconds leave, and are not shown once they are too old."""
    monkeypatch.setattr(counters, "KEPT_SECONDS", 3)
    counted = Counters()
    for second, status in enumerate(["200", "200", "429", "400"]):
        counted.count_call("conversation", status, at=100.5 + second)
    counted.count_call("idp", "429", at=103.0)
    rows = [tuple(row.values()) for row in report([counted], now=104.0)["perSecond"]]

    assert rows == [(102, 0, 1), (103, 1, 0)]
    assert len(counted.seconds) == 3
