"""The state of an account's limits, and the ceilings that an operator sets."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from redis import Redis

from tasks.store.brake import Pause, read_pauses
from tasks.store.connection import LIMITER, Keys, script, text

Holds = Literal["", "paused", "pause", "circuit", "credentials", "rate", "in_flight"]
OVERRIDES: Final = ("max_rate", "max_in_flight")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What holds an account now, and its limits.

    `holds` is "paused" if an operator has paused the account or everything, "pause" after a 429,
    "circuit" while all calls fail, "credentials" while these are refused, "rate" or "in_flight" if
    jobs wait for these, or empty. The first four have a `cause`: who has paused it, or service,
    host, and error or HTTP status; all but the first last `seconds` more. `pauses` are those of the
    account and of its submissions. Rates are calls a second, `accepted` is the average over the
    last few seconds. The ceilings are None until a worker has named its settings'; the learned
    limits are None if LivePerson has shown none below the ceiling. `is_set`: an operator's ceiling
    replaces the settings'.

    `learned_from` is the share of refused calls from which the limit was learned at `learned_at`;
    in `try_in` seconds a higher one is tried, or now, if that is None. `tolerated` is the share of
    calls that is refused at lower rates, too, and so is not taken for a limit.
    """

    holds: Holds
    pauses: tuple[Pause, ...]
    seconds: float
    cause: str | None
    in_flight: int
    accepted: float
    max_rate: float | None
    max_in_flight: int | None
    learned_rate: float | None
    learned_in_flight: int | None
    is_set: bool
    learned_at: float | None
    learned_from: float | None
    try_in: float | None
    tolerated: float | None


def read_standing(store: Redis, account_id: str) -> Standing:
    """Read the state of an account's limits, in one round trip. Raises StoreError."""
    keys = Keys(account_id)
    answer, paused = script(store, *LIMITER, "standing")(
        [keys.limit, keys.in_flight, keys.paused], []
    )
    found: dict[str, Any] = json.loads(text(answer))
    pauses = read_pauses(dict(zip(paused[::2], paused[1::2], strict=True)))
    held = next((one for one in pauses if one.submission_id is None), None)
    in_flight, learned = found.get("max_in_flight"), found.get("learned_in_flight")
    return Standing(
        holds="paused" if held else found["holds"],
        pauses=tuple(pauses),
        seconds=0 if held else round(found["seconds"], 1),
        cause=held.sentence(account_id) if held else found["cause"] or None,
        in_flight=found["in_flight"],
        accepted=round(found["accepted"], 2),
        max_rate=found.get("max_rate"),
        max_in_flight=None if in_flight is None else int(in_flight),
        learned_rate=found.get("learned_rate"),
        learned_in_flight=None if learned is None else int(learned),
        is_set=found["is_set"],
        learned_at=found.get("learned_at"),
        learned_from=found.get("learned_from"),
        try_in=found.get("try_in"),
        tolerated=found.get("tolerated"),
    )


def log_learned(account_id: str, answer: Sequence[Any]) -> None:
    """Log what the limiter learned at the end of an attempt, if anything."""
    if len(answer) < 2 or text(answer[0]) != "ok" or not answer[1]:
        return
    found: dict[str, Any] = json.loads(text(answer[1]))
    event = found.pop("event")
    told = {name: round(value, 3) if name != "what" else value for name, value in found.items()}
    match event:
        case "limit.learned":
            log.info("limit.learned", account=account_id, **told)
        case "limit.raised":
            log.info("limit.raised", account=account_id, **told)
        case _:
            log.info("limit.tolerated", account=account_id, **told)


# Fields with times booked at the old pace: waiting threads ask again within a second.
BOOKED: Final = ("tat", "backlog", "parked")


def set_ceiling(
    store: Redis, account_id: str, *, rate: float | None = None, in_flight: int | None = None
) -> None:
    """Set what is given; it applies from each worker's next request on. Raises StoreError."""
    values = dict(zip(OVERRIDES, (rate, in_flight), strict=True))
    given: Any = {name: value for name, value in values.items() if value is not None}
    if given:
        store.hset(Keys(account_id).limit, mapping=given)
        store.hdel(Keys(account_id).limit, *BOOKED)


def reset_ceiling(store: Redis, account_id: str) -> None:
    """Go back to the ceilings of the workers' settings. Raises StoreError."""
    store.hdel(Keys(account_id).limit, *OVERRIDES, *BOOKED)
