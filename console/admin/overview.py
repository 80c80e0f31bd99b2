"""The overview: the queues, the accounts with their counts and limits, the workers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final

from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, JOBS_QUEUE, RESULTS_QUEUE, account_queue
from config.settings import Settings
from console.admin.records import known_accounts
from tasks.messages.outgoing import now
from tasks.store.brake import Pause, pauses
from tasks.store.connection import Keys, text
from tasks.store.limits import Standing, read_standing
from tasks.store.pulse import troubles_of, workers_seen
from worker.broker.base import Broker, QueueDepth


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """The counts of an account's ended jobs, and what holds the others.

    The ceilings are None if neither the settings here nor any worker has named them.
    """

    account_id: str
    outcomes: dict[str, int]
    standing: Standing
    max_rate: float | None
    max_in_flight: int | None

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it."""
        standing = self.standing
        return {
            "accountId": self.account_id,
            "outcomes": self.outcomes,
            "heldBy": standing.holds or None,
            "heldForSeconds": standing.seconds,
            "heldCause": standing.cause,
            "paused": [pause.to_dict() for pause in standing.pauses],
            "inFlight": standing.in_flight,
            "maxInFlight": self.max_in_flight,
            "learnedInFlight": standing.learned_in_flight,
            "perSecond": standing.accepted,
            "maxRate": self.max_rate,
            "learnedRate": standing.learned_rate,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The state of everything at one time; `delayed` counts all queues of the broker.

    `at` is RFC 3339. `pauses` are those of all accounts; an account's own are in its `standing`.
    `troubles` are those of single workers, such as an alarm of the broker.
    """

    at: str
    queues: list[QueueDepth]
    delayed: int
    accounts: list[AccountView]
    workers: list[str]
    troubles: dict[str, str]
    pauses: list[Pause]

    def to_dict(self) -> dict[str, Any]:
        """Write it as JSON shows it, with names like those of the messages."""
        return {
            "at": self.at,
            "queues": [asdict(queue) for queue in self.queues],
            "delayed": self.delayed,
            "accounts": [account.to_dict() for account in self.accounts],
            "workers": self.workers,
            "troubles": self.troubles,
            "paused": [pause.to_dict() for pause in self.pauses],
        }


def take_overview(broker: Broker, store: Redis, settings: Settings) -> Overview:
    """Read everything. Raises the errors of broker and store."""
    accounts, workers = known_accounts(store, settings), workers_seen(store)
    names = [JOBS_QUEUE, *map(account_queue, accounts), RESULTS_QUEUE, DEAD_LETTERS_QUEUE]
    queues, delayed = broker.depths(names)
    return Overview(
        at=now(),
        queues=[
            one for one in queues if not (one.is_empty and one.name.startswith(f"{JOBS_QUEUE}."))
        ],
        delayed=delayed,
        accounts=[view_account(store, settings, account_id) for account_id in accounts],
        workers=list(workers),
        troubles=troubles_of(workers),
        pauses=pauses(store, None),
    )


# The facts of a worker's pulse that commands show.
FACTS: Final = (
    "host",
    "pid",
    "version",
    "uptimeSeconds",
    "queues",
    "threads",
    "inHand",
    "draining",
)


def list_workers(store: Redis) -> list[dict[str, Any]]:
    """Return the live workers. Raises StoreError."""
    return [
        {
            "worker": name,
            **{fact: said.get(fact) for fact in FACTS},
            "heldUpBy": said.get("trouble") or None,
        }
        for name, said in workers_seen(store).items()
    ]


def view_account(store: Redis, settings: Settings, account_id: str) -> AccountView:
    """Read one account. Raises StoreError."""
    standing = read_standing(store, account_id)
    rate, in_flight = standing.max_rate, standing.max_in_flight
    if account_id in settings.accounts:
        rate = rate or settings.rate_of(account_id)
        in_flight = in_flight or settings.in_flight_of(account_id)
    return AccountView(
        account_id=account_id,
        outcomes=_outcomes(store, account_id),
        standing=standing,
        max_rate=rate,
        max_in_flight=in_flight,
    )


def _outcomes(store: Redis, account_id: str) -> dict[str, int]:
    found = store.hgetall(Keys(account_id).counts)
    return {text(name): int(count) for name, count in sorted(found.items())}
