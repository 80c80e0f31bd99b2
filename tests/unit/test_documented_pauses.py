"""The pauses are those that LivePerson recommends, to the second."""

from __future__ import annotations

from config.settings import Settings
from tasks.attempt import TOKEN_PAUSE_SECONDS
from tasks.liveperson.answer import Answer, Kind
from tasks.liveperson.app_tokens import PAUSE_SECONDS
from tasks.messages.attempt import UNRESOLVED, Attempt
from tasks.retry import Again, LookUp, Policy, decide, look_again

POLICY = Policy(schedule=Settings().retry_schedule)


def pauses(kind: Kind) -> list[float]:
    """Return the pauses of a job whose every attempt fails so, until it is given up."""
    history, found = list[Attempt](), list[float]()
    while isinstance(decision := decide(Answer(kind=kind), history, policy=POLICY), Again):
        found.append(decision.after)
        history.append(Attempt(at="", http_status=None, outcome=kind))
    return found


def test_server_errors_are_repeated_as_the_retry_policy_says() -> None:
    """5, 10 and 15 seconds; then a slower level of 2, 4 and 8 minutes."""
    assert pauses(Kind.NOT_SENT) == [5, 10, 15, 120, 240, 480]


def test_the_monitoring_api_has_pauses_of_its_own() -> None:
    """Four repeats, after 3, 10, 30 and 90 seconds (page Engagement)."""
    assert pauses(Kind.NOT_ENGAGED) == [3, 10, 30, 90]


def test_a_conversation_is_looked_for_as_often() -> None:
    """What is known to be open, and is not shown, is asked for again by the same schedule."""
    history, found = [Attempt(at="", http_status=None, outcome="unknown")], list[float]()
    decision = decide(Answer(kind=Kind.ALREADY_OPEN), history, policy=POLICY)
    while isinstance(decision, LookUp) and isinstance(decision.otherwise, Again):
        assert decision.otherwise == decision.unaskable
        found.append(decision.otherwise.after)
        history += [
            Attempt(at="", http_status=None, outcome=o) for o in ("already_open", UNRESOLVED)
        ]
        decision = look_again(history, policy=POLICY, reuse=False)
    assert found == [3, 10, 30, 90]


def test_logins_wait_five_seconds_after_a_429() -> None:
    """The policy's own number for calls that log in."""
    assert (PAUSE_SECONDS, TOKEN_PAUSE_SECONDS) == (5, 5)
