"""LivePerson's retry policy, as a table."""

from __future__ import annotations

from typing import Literal

import pytest

from tasks.liveperson.answer import MAX_RETRY_AFTER_SECONDS, Answer, Kind
from tasks.messages.attempt import Attempt
from tasks.retry import (
    Again,
    Created,
    Decision,
    Fail,
    Hold,
    LookUp,
    Policy,
    Throttled,
    conclude,
    decide,
    is_unresolved,
    look_again,
    throttled_pause,
)

POLICY = Policy(schedule=(5, 10, 15))
NEVER_REPEAT = Policy(schedule=(5, 10, 15), repeat_unknown=False)


def answer(kind: Kind, stale: str | None = None) -> Answer:
    """Make an answer of this kind."""
    return Answer(kind=kind, stale_token="app" if stale == "app" else None)


def history(*outcomes: str) -> list[Attempt]:
    """Make earlier attempts that ended so."""
    return [Attempt(at="2026-01-01T00:00:00.000Z", http_status=None, outcome=o) for o in outcomes]


DOUBT = Fail("in_doubt")
OPEN = Fail("already_open")


def later(seconds: float) -> Again:
    """Have the job looked for again, and not sent."""
    return Again(after=seconds, unresolved=True)


def look_up(code: Fail, unaskable: Again | Fail) -> LookUp:
    """Say what comes before giving up a job whose conversation may exist."""
    return LookUp(found="created", otherwise=code, unaskable=unaskable, of_another=code)


def ours(again: Again | Fail, code: Fail = OPEN) -> LookUp:
    """Say what comes of a conversation that is known to have been opened."""
    return LookUp(found="created", otherwise=again, unaskable=again, of_another=code)


TABLE: list[tuple[str, Kind, list[str], Decision]] = [
    ("an id is a conversation", Kind.CREATED, [], Created()),
    ("after anything", Kind.CREATED, ["unknown", "not_sent"], Created()),
    ("429 pauses the pool", Kind.THROTTLED, [], Throttled()),
    ("429 loses no retry", Kind.THROTTLED, ["throttled"] * 50, Throttled()),
    ("400 is final", Kind.REJECTED, [], Fail("rejected")),
    (
        "400 after an unknown attempt is looked into first",
        Kind.REJECTED,
        ["unknown"],
        look_up(Fail("rejected"), later(3)),
    ),
    ("not sent: first pause", Kind.NOT_SENT, [], Again(after=5)),
    ("not sent: second pause", Kind.NOT_SENT, ["not_sent"], Again(after=10)),
    ("not sent: third pause", Kind.NOT_SENT, ["not_sent", "unknown"], Again(after=15)),
    ("429 uses up no pause", Kind.NOT_SENT, ["throttled", "unauthorized"], Again(after=5)),
    ("a replay begins anew", Kind.NOT_SENT, ["not_sent"] * 3 + ["replayed"], Again(after=5)),
    (
        "a replay forgets no unknown attempt",
        Kind.ALREADY_OPEN,
        ["unknown", "unresolved", "replayed"],
        ours(later(3)),
    ),
    ("not sent, exhausted", Kind.NOT_SENT, ["not_sent"] * 3, Fail("retries_exhausted")),
    (
        "not sent, exhausted after an unknown attempt",
        Kind.NOT_SENT,
        ["unknown", "not_sent", "not_sent"],
        look_up(Fail("retries_exhausted"), later(3)),
    ),
    ("unknown: first pause", Kind.UNKNOWN, [], Again(after=5)),
    ("unknown: third pause", Kind.UNKNOWN, ["unknown", "unknown"], Again(after=15)),
    (
        "unknown, exhausted",
        Kind.UNKNOWN,
        ["unknown"] * 3,
        look_up(Fail("retries_exhausted"), later(3)),
    ),
    ("Monitoring has pauses of its own", Kind.NOT_ENGAGED, ["not_sent"] * 3, Again(after=3)),
    ("no longer than ours", Kind.NOT_ENGAGED, ["not_engaged"] * 2, Again(after=15)),
    ("four of them", Kind.NOT_ENGAGED, ["not_engaged"] * 4, Fail("retries_exhausted")),
    ("which cost the others none", Kind.NOT_SENT, ["not_engaged"] * 4, Again(after=5)),
    ("open before us", Kind.ALREADY_OPEN, [], Fail("already_open")),
    ("open before us, after 429", Kind.ALREADY_OPEN, ["throttled"], Fail("already_open")),
    ("open after an unknown attempt is ours", Kind.ALREADY_OPEN, ["unknown"], ours(later(3))),
]


@pytest.mark.parametrize(("says", "kind", "before", "expected"), TABLE, ids=[t[0] for t in TABLE])
def test_decision(says: str, kind: Kind, before: list[str], expected: Decision) -> None:
    """Each row: an answer, the attempts before it, and what follows."""
    del says
    assert decide(answer(kind), history(*before), policy=POLICY) == expected


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (["unknown", "already_open", "unresolved"], ours(later(10))),
        (["unknown", "already_open", *["unresolved"] * 4], ours(DOUBT)),
        (["unknown", "unresolved"], look_up(Fail("retries_exhausted"), later(10))),
        (["unknown", *["unresolved"] * 4], look_up(Fail("retries_exhausted"), DOUBT)),
    ],
)
def test_what_was_not_found_is_looked_for_again(before: list[str], expected: Decision) -> None:
    """And nothing is sent; only of a conversation that was never seen does "none" mean none."""
    assert is_unresolved(history(*before))
    assert look_again(history(*before), policy=POLICY, reuse=False) == expected


def test_a_replay_may_send_again() -> None:
    """An operator has decided so."""
    assert not is_unresolved(history("unknown", "unresolved", "replayed"))
    assert not is_unresolved([])


@pytest.mark.parametrize(
    ("asked", "after"), [(None, 5), (1, 5), (60, 60), (10_000, MAX_RETRY_AFTER_SECONDS)]
)
def test_a_server_may_ask_for_a_longer_pause(asked: float | None, after: float) -> None:
    """Retry-After is honoured within bounds, also with a 503."""
    refused = Answer(kind=Kind.UNKNOWN, http_status=503, retry_after=asked)
    assert decide(refused, [], policy=POLICY) == Again(after=after)


def renewed(token: Literal["app", "consumer"], after: float) -> Again:
    """Say that a job is repeated with a new token."""
    return Again(after=after, renew=token, note=token)


A, C, H, ALONE = "app", "consumer", "credentials", "alone"
UNAUTHORIZED = Fail("unauthorized")

# What was refused, the refusals before it, and what follows; "alone": others were accepted since.
TOKENS: list[tuple[str, str, list[str], bool, Decision]] = [
    ("an AppJWT is renewed", A, [], False, renewed("app", 0.5)),
    ("and once more, more calmly", A, [A], False, renewed("app", 1)),
    ("then it is the account", A, [A, A], False, Hold(renew="app")),
    ("at once after that", A, [A, A, H], False, Hold(renew="app")),
    ("whoever was refused otherwise before", A, [H, H], False, Hold(renew="app")),
    ("a ConsumerJWS between ends no row", A, [A, C, A], False, Hold(renew="app")),
    ("another answer does", A, [A, A, "not_sent"], False, renewed("app", 0.5)),
    ("an operator's replay, too", A, [A, A, "replayed"], False, renewed("app", 0.5)),
    ("a 429 does not", A, [A, "throttled", A], False, Hold(renew="app")),
    ("others are accepted: the job's", A, [A, A], True, Again(after=5, renew="app", note=ALONE)),
    ("three times", A, [A, A, ALONE, ALONE], True, Again(after=15, renew="app", note=ALONE)),
    ("and then no more", A, [A, A, ALONE, ALONE, ALONE], True, UNAUTHORIZED),
    ("a ConsumerJWS is renewed", C, [], False, renewed("consumer", 0.5)),
    ("counted by itself", C, [A], False, renewed("consumer", 0.5)),
    ("AppJWT and ConsumerJWS in turn", C, [A, C, A], False, renewed("consumer", 0.5)),
    ("again", C, [C], False, renewed("consumer", 1)),
    ("three fresh ones", C, [C, C], False, renewed("consumer", 2)),
    ("then it is the consumer", C, [C, C, C], False, UNAUTHORIZED),
    ("whatever becomes of others", C, [C, C, C], True, UNAUTHORIZED),
    ("credentials are the account's", H, [], False, Hold()),
    ("however often", H, [H] * 50, False, Hold()),
    ("unless others are accepted", H, [H], True, Again(after=5, note=ALONE)),
    ("for long", H, [H, ALONE, ALONE, ALONE], True, UNAUTHORIZED),
    ("a replay begins anew", H, [ALONE] * 3 + ["replayed"], True, Again(after=5, note=ALONE)),
]


@pytest.mark.parametrize(
    ("says", "refused", "before", "alone", "expected"), TOKENS, ids=[row[0] for row in TOKENS]
)
def test_a_refused_token(
    says: str,
    refused: str,
    before: list[str],
    alone: bool,  # noqa: FBT001 - a column of the table
    expected: Decision,
) -> None:
    """Counted per kind of token; the account's refusal is no job's end."""
    del says
    kind = Kind.CREDENTIALS if refused == H else Kind.UNAUTHORIZED
    stale = None if refused == H else refused
    said = Answer(kind=kind, stale_token=stale)  # type: ignore[arg-type]  # they are spelt above
    earlier = [
        Attempt(at="2026-01-01T00:00:00.000Z", http_status=401, outcome="unauthorized", note=one)
        if one in {A, C, ALONE}
        else history(one)[0]
        for one in before
    ]
    assert decide(said, earlier, policy=POLICY, alone=alone) == expected


@pytest.mark.parametrize(
    ("before", "alone", "expected"),
    [
        ([], False, Again(after=5)),
        ([], True, Again(after=5)),
        (["not_served"], False, Again(after=10)),
        (["not_served"], True, Fail("rejected")),
        (["not_served", "not_served"], False, Fail("rejected")),
        (["unknown", "not_served", "not_served"], False, look_up(Fail("rejected"), later(3))),
    ],
)
def test_a_refusal_that_may_mean_the_account(
    before: list[str],
    alone: bool,  # noqa: FBT001 - a column of the table
    expected: Decision,
) -> None:
    """LivePerson's 403 and 404: the account's, until others are accepted."""
    said = answer(Kind.NOT_SERVED)
    assert decide(said, history(*before), policy=POLICY, alone=alone) == expected


@pytest.mark.parametrize("kind", ["unknown", "not_sent", "not_engaged", "not_served"])
def test_whoever_tries_for_all_loses_no_retry(kind: str) -> None:
    """However long the account is held."""
    probe = Attempt(at="2026-01-01T00:00:00.000Z", http_status=503, outcome=kind, note="probe")
    said = answer(Kind(kind))
    assert decide(said, [probe] * 50, policy=POLICY, probing=True) == Hold(note="probe")
    first = Again(after=3 if kind == "not_engaged" else 5)
    assert decide(said, [probe] * 50, policy=POLICY) == first


def test_an_unknown_outcome_is_not_repeated_by_whoever_tries_for_all() -> None:
    """Where that is forbidden it is looked up, as ever."""
    decision = decide(answer(Kind.UNKNOWN), [], policy=NEVER_REPEAT, probing=True)
    assert decision == look_up(DOUBT, later(3))


def test_a_page_at_401_is_repeated_with_a_new_token() -> None:
    """It may be LivePerson's after all."""
    page = answer(Kind.NOT_SENT, stale="app")
    assert decide(page, [], policy=POLICY) == Again(after=5, renew="app")


def test_reuse_takes_the_id_of_an_open_conversation() -> None:
    """Open before us, and wanted: looked up; closed meanwhile: tried again."""
    found = decide(answer(Kind.ALREADY_OPEN), [], policy=POLICY, reuse=True)
    assert found == LookUp(found="reused", otherwise=Again(after=5), unaskable=Again(after=5))
    last = decide(answer(Kind.ALREADY_OPEN), history(*["not_sent"] * 3), policy=POLICY, reuse=True)
    gone = Fail("already_open")
    assert last == LookUp(found="reused", otherwise=gone, unaskable=gone)


def test_reuse_after_an_unknown_attempt_is_still_ours() -> None:
    """What our own lost answer opened is created, not reused."""
    decision = decide(answer(Kind.ALREADY_OPEN), history("unknown"), policy=POLICY, reuse=True)
    assert isinstance(decision, LookUp)
    assert decision.found == "created"


def test_reuse_takes_what_another_job_opened() -> None:
    """Also after an attempt of our own whose fate is unknown."""
    decision = decide(answer(Kind.ALREADY_OPEN), history("unknown"), policy=POLICY, reuse=True)
    assert isinstance(decision, LookUp)
    closed = Again(after=10)
    assert decision.of_another == LookUp(found="reused", otherwise=closed, unaskable=closed)


def test_an_unknown_outcome_is_not_repeated_where_that_is_forbidden() -> None:
    """unknown_outcome = in_doubt: looked up once, and never sent again."""
    decision = decide(answer(Kind.UNKNOWN), [], policy=NEVER_REPEAT)
    assert decision == look_up(DOUBT, later(3))


@pytest.mark.parametrize("code", ["expired", "cancelled", "internal_error"])
def test_giving_up_after_an_unknown_attempt_looks_first(code: str) -> None:
    """A conversation that may exist is never reported as a plain failure."""
    given_up = Fail(code)  # type: ignore[arg-type] # the codes are spelt above
    assert conclude(given_up.code, [], policy=POLICY) == given_up
    looked = conclude(given_up.code, history("unknown"), policy=POLICY)
    assert looked == look_up(given_up, later(3))
    known = conclude(given_up.code, history("unknown", "already_open"), policy=POLICY)
    assert known == ours(later(3), given_up)


@pytest.mark.parametrize(
    ("before", "seconds"),
    [
        ([], 1),
        (["throttled"], 2),
        (["throttled"] * 4, 16),
        (["throttled"] * 3 + ["unknown"], 1),
        (["throttled"] * 9, 60),
        (["throttled"] * 5000, 60),
    ],
)
def test_a_refused_job_waits_ever_longer(before: list[str], seconds: float) -> None:
    """A second at least, as LivePerson asks; a minute at most; other failures begin it anew."""
    attempts = [
        Attempt(at="2026-11-23T10:00:00.000Z", http_status=None, outcome=outcome)
        for outcome in [*before, "throttled"]
    ]
    assert throttled_pause(attempts) == seconds
