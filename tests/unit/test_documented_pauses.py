"""The pauses are those that LivePerson recommends, to the second."""

from __future__ import annotations

from config.settings import Settings
from worker.attempt import MONITORING_SCHEDULE
from worker.follow_up import TOKEN_PAUSE_SECONDS
from worker.liveperson.answer import Answer, Kind
from worker.liveperson.app_tokens import PAUSE_SECONDS
from worker.messages.result import Attempt
from worker.retry import Again, Policy, decide


def pauses(schedule: tuple[float, ...]) -> list[float]:
    """Return the pauses of a job whose every attempt fails, until it is given up."""
    policy, history, found = Policy(schedule=schedule), list[Attempt](), list[float]()
    while isinstance(decision := decide(Answer(kind=Kind.NOT_SENT), history, policy=policy), Again):
        found.append(decision.after)
        history.append(Attempt(at="", http_status=None, outcome="not_sent"))
    return found


def test_server_errors_are_repeated_as_the_retry_policy_says() -> None:
    """5, 10 and 15 seconds; then a slower level of 2, 4 and 8 minutes."""
    assert pauses(Settings().retry_schedule) == [5, 10, 15, 120, 240, 480]


def test_the_monitoring_api_has_pauses_of_its_own() -> None:
    """Four repeats, after 3, 10, 30 and 90 seconds (page Engagement)."""
    assert pauses(MONITORING_SCHEDULE) == [3, 10, 30, 90]


def test_logins_wait_five_seconds_after_a_429() -> None:
    """The policy's own number for calls that log in."""
    assert (PAUSE_SECONDS, TOKEN_PAUSE_SECONDS) == (5, 5)
