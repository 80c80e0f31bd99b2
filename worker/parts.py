"""The parts of a worker process: they are built, started and closed here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from redis import Redis

from config.load import reread_credentials
from config.names import CREATED_KEY, FAILED_KEY, REUSED_KEY
from config.settings import Settings
from config.version import USER_AGENT
from tasks.account import Account
from tasks.attempt import Rules
from tasks.create_conversation import CreateConversation
from tasks.line import Seats
from tasks.liveperson.client import LivePersonClient
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.engagement import Installation
from tasks.measures import Measures
from tasks.messages.job import Reading
from tasks.permits import Permits
from tasks.retry import Policy
from tasks.stopping import Shutdown
from tasks.store.brake import Brake
from tasks.store.connection import connect
from tasks.store.ledger import Ceiling, Ledger
from tasks.store.pulse import Pulse
from tasks.store.tokens import SharedTokens
from tasks.tracing import Tracing
from worker.broker.base import Broker
from worker.broker.publisher import Publisher

# Connections to the store beside one for each slot: for pulse, publisher and watchdog.
SPARE_CONNECTIONS = 8
# How long a closing worker waits for pending writes to the store.
FLUSH_SECONDS = 1.0
# How long a job waits in its slot for a permit in a pool for several accounts. Then it waits in the
# broker, so that other accounts' jobs get the slot.
MAX_WAIT_SECONDS = 1.0
# The same in a pool for one account: no other account needs the slot, and the backlog keeps its
# order in the broker. It must be less than the five minutes for which its tokens are surely valid.
MAX_WAIT_ALONE_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that outlive a delivery."""

    broker: Broker
    ledger: Ledger
    publisher: Publisher
    pulse: Pulse
    shutdown: Shutdown
    create: CreateConversation
    permits: Permits
    accounts: Collection[Account]
    taken: Counter[str]
    """How many messages were taken from each queue."""

    def answered_at(self) -> float:
        """Return when a thread last got an answer from the ledger or LivePerson."""
        calls = (account.client.called_at for account in self.accounts)
        return max(self.permits.answered_at, *calls)

    def start(self, about: Callable[[], Mapping[str, object]]) -> None:
        """Start the threads; the pulse includes what `about` returns."""
        self.pulse.start(about)
        self.publisher.start()

    def close(self, *, seconds: float) -> None:
        """Publish what is waiting, for at most `seconds`, and give up the claims.

        Connections are not closed: threads may be in a call. They end with the process.
        """
        self.publisher.close(seconds=seconds)
        self.ledger.close(seconds=FLUSH_SECONDS)
        self.shutdown.over.set()
        self.pulse.stop(seconds=FLUSH_SECONDS)


def build(
    settings: Settings,
    *,
    broker: Broker,
    store_url: str,
    concurrency: int,
    queues: Sequence[str],
    measures: Measures,
    tracing: Tracing,
) -> Parts:
    """Build the parts; nothing connects yet."""
    store = connect(store_url, connections=concurrency + SPARE_CONNECTIONS)
    shutdown, publisher = Shutdown(), Publisher(broker, job_queues=queues)
    brake, taken = Brake(store, settings.accounts), Counter[str]()
    pulse = Pulse(
        store,
        trouble=lambda: publisher.trouble,
        before=brake.look,
        taken=lambda: taken,
    )
    repeat_unknown = settings.unknown_outcome == "repeat"
    ledger = Ledger(
        store,
        dedupe_seconds=settings.dedupe_seconds,
        flight_seconds=settings.connect_timeout + settings.read_timeout,
        max_losses=settings.max_deliveries,
        repeat_unknown=repeat_unknown,
        copies=settings.store_replicas,
    )
    accounts = _accounts(
        settings, store, pulse, concurrency=concurrency, measures=measures, tracing=tracing
    )
    alone = len(accounts) == 1
    permits = Permits(
        ledger,
        pulse,
        shutdown,
        seats=Seats(concurrency, shared=not alone),
        patience=MAX_WAIT_ALONE_SECONDS if alone else MAX_WAIT_SECONDS,
        measures=measures,
    )
    create = CreateConversation(
        Rules(
            ledger=ledger,
            permits=permits,
            brake=brake,
            shutdown=shutdown,
            policy=Policy(schedule=settings.retry_schedule, repeat_unknown=repeat_unknown),
            max_losses=settings.max_deliveries,
            measures=measures,
            tracing=tracing,
        ),
        publisher=publisher,
        pulse=pulse,
        accounts=accounts,
        max_message_bytes=settings.max_message_bytes,
        reading=Reading(
            pass_unknown=settings.unknown_fields == "pass",
            unauthenticated=settings.unauthenticated_accounts,
        ),
        outcome_tasks=_outcome_tasks(settings),
    )
    return Parts(
        broker,
        ledger,
        publisher,
        pulse,
        shutdown,
        create,
        permits=permits,
        accounts=accounts.values(),
        taken=taken,
    )


def _outcome_tasks(settings: Settings) -> dict[str, str]:
    """Return the user's Celery task for the outcomes of each routing key, if one is set."""
    named = {
        CREATED_KEY: settings.results_task,
        REUSED_KEY: settings.results_task,
        FAILED_KEY: settings.dead_letters_task,
    }
    return {key: task for key, task in named.items() if task}


def token_seconds(settings: Settings) -> float:
    """Return how long a token call can last, with the look-up of its host."""
    return 2 * (settings.connect_timeout + settings.read_timeout)


def _accounts(
    settings: Settings,
    store: Redis,
    pulse: Pulse,
    *,
    concurrency: int,
    measures: Measures,
    tracing: Tracing,
) -> dict[str, Account]:
    credentials = {
        account_id: Credentials(
            account.client_id,
            account.client_secret,
            reread=partial(reread_credentials, account_id),
        )
        for account_id, account in settings.accounts.items()
    }
    tokens = SharedTokens(
        store, pulse, secrets=credentials, refresh_seconds=token_seconds(settings)
    )
    return {
        account_id: Account(
            client=LivePersonClient(
                account_id=account_id,
                credentials=credentials[account_id],
                domain_api_url=settings.domain_api_url,
                trusted_hosts=settings.trusted_hosts,
                connect_timeout=settings.connect_timeout,
                read_timeout=settings.read_timeout,
                already_open_text=settings.already_open_text,
                pool_size=concurrency,
                token_store=tokens,
                user_agent=USER_AGENT,
                monitoring=Installation(
                    app_id=account.monitoring_app_id or "",
                    identity=account.consumer_identity or "both",
                    issuer=account.consumer_issuer or "",
                ),
                measures=measures,
                tracing=tracing,
            ),
            ceiling=Ceiling(
                rate=settings.rate_of(account_id), in_flight=settings.in_flight_of(account_id)
            ),
        )
        for account_id, account in settings.accounts.items()
    }
