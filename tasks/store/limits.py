"""How an account's limits stand, for whoever looks on, and the ceilings that an operator sets."""

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
    """What holds an account now, and what it may ask of LivePerson.

    `holds` is "paused" where an operator has paused the account or everything, "pause" after a 429,
    "circuit" while nothing but failures comes back, "credentials" while these are refused, "rate"
    or "in_flight" where jobs wait for these, or empty. The first four have a `cause`: who has
    paused it, or service, host, and error or HTTP status; all but the first last `seconds` more.
    `pauses` are what is paused of the account, submissions included. Rates are calls a second,
    `accepted` the average over the last few seconds. The ceilings are None until a worker has named
    its settings'; the learned ones are None where LivePerson has shown no limit below the ceiling.
    `is_set`: an operator's ceiling stands in for the settings'.

    `learned_from` is the share of calls that was refused at `learned_at` and so led to the learned
    limit; in `try_in` seconds a higher one is tried, or now, where that is None. `tolerated` is the
    share that was refused at a lower rate, too, and is therefore not taken for a limit.
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
    """Read how an account stands, in one round trip. Raises StoreError."""
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
    """Say in the log what the limiter learned with the end of an attempt, if anything."""
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


# What was booked at another pace: whoever waits for it asks again within a second.
BOOKED: Final = ("tat", "backlog", "parked")


def set_ceiling(
    store: Redis, account_id: str, *, rate: float | None = None, in_flight: int | None = None
) -> None:
    """Set what is given; every worker goes by it from its next request on. Raises StoreError."""
    values = dict(zip(OVERRIDES, (rate, in_flight), strict=True))
    given: Any = {name: value for name, value in values.items() if value is not None}
    if given:
        store.hset(Keys(account_id).limit, mapping=given)
        store.hdel(Keys(account_id).limit, *BOOKED)


def reset_ceiling(store: Redis, account_id: str) -> None:
    """Go back to the ceilings of the workers' settings. Raises StoreError."""
    store.hdel(Keys(account_id).limit, *OVERRIDES, *BOOKED)
