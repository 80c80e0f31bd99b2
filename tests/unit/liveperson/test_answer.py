"""What it means that a call got no answer."""

import pytest

from worker.liveperson.answer import Kind, no_answer
from worker.liveperson.http import FateUnknown, NotSent
from worker.liveperson.trust import UntrustedHost


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotSent("cannot connect"), Kind.NOT_SENT),
        (FateUnknown("silence"), Kind.NOT_SENT),
        (UntrustedHost("evil.example"), Kind.NOT_SENT),
        (NotSent("no such account", http_status=400), Kind.REJECTED),
        (NotSent("no such page", http_status=404), Kind.REJECTED),
        (NotSent("who are you", http_status=401), Kind.UNAUTHORIZED),
        (NotSent("slow", http_status=429), Kind.THROTTLED),
        (NotSent("a timeout", http_status=408), Kind.NOT_SENT),
        (NotSent("elsewhere", http_status=302), Kind.NOT_SENT),
        (NotSent("broken", http_status=503), Kind.NOT_SENT),
        (NotSent("a login page", http_status=200), Kind.NOT_SENT),
    ],
)
def test_the_domain_apis_answer_stands_for_that_of_the_call(
    error: NotSent | FateUnknown, kind: Kind
) -> None:
    """LivePerson's retry policy holds for it too: a refusal is not asked for again."""
    answer = no_answer("idp", error)
    assert answer.kind is kind
    assert answer.message == f"idp: {error}"


def test_what_the_domain_api_said_is_kept() -> None:
    """The job's history shows its status, and its pause is honoured."""
    answer = no_answer("idp", NotSent("slow", http_status=429, retry_after=7.0))
    assert (answer.http_status, answer.retry_after) == (429, 7.0)
