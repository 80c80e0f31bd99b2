"""How commands read settings and connect to broker and store; errors become one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from kombu import Connection
from kombu.exceptions import KombuError
from redis import Redis
from redis.exceptions import RedisClusterException, RedisError

from config.load import InvalidSettings, load_settings, misspelt
from config.names import JOBS_QUEUE
from config.settings import Settings
from config.urls import public_url, said
from console.admin.records import known_accounts
from console.output import Problem, complain
from tasks.store.connection import connect, recognised
from tasks.store.replies import advice, classify, report
from tasks.store.retrying import retry_at_start
from tasks.store.rights import STORE_WRITE, missing_rights
from worker.broker.base import Broker, connect_at_once
from worker.broker.brokers import broker_at
from worker.broker.confirms import Blocked, NotConfirmed
from worker.embedded.server import EmbeddedServerError
from worker.embedded.servers import servers as servers_of

T = TypeVar("T")

# The most connections of a command to the store.
STORE_CONNECTIONS = 8
# The errors of a broken connection to broker or store, of all libraries.
BROKEN = (OSError, KombuError, RedisError, RedisClusterException, NotConfirmed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of one command; the URLs may contain passwords."""

    broker: Broker
    store_url: str = field(repr=False)
    store: Redis

    def connect(self) -> Connection:
        """Connect to the broker, for publishing and declaring."""
        connection = self.broker.connection()
        connect_at_once(connection)
        return connection


def read_settings() -> Settings:
    """Read the settings. Raises Problem with a sentence for each fault."""
    for sentence in misspelt():
        complain(sentence)
    try:
        return load_settings()
    except InvalidSettings as error:
        raise Problem(*error.faults) from None


@contextmanager
def open_servers(settings: Settings, *, waits: bool = False) -> Iterator[Servers]:
    """Yield the broker and the store; their errors within the block become Problems.

    With `waits`, wait for a store that is not ready yet.
    """
    try:
        with servers_of(settings) as found:
            store_url, store = _open_store(found.store_url, waits=waits)
            broker = broker_at(found.broker_url)
            servers = Servers(broker=broker, store_url=store_url, store=store)
            with closing(store):
                try:
                    yield servers
                except errors_of(broker) as error:
                    raise Problem(diagnosis(servers, error)) from None
    except EmbeddedServerError as error:
        raise Problem(str(error)) from None


def _open_store(url: str, *, waits: bool) -> tuple[str, Redis]:
    """Return the store's URL and client; a single server that is away is reported at its use."""

    def patiently(call: Callable[[], T]) -> T:
        return retry_at_start(call, report) if waits else call()

    try:
        known = patiently(lambda: recognised(url))
    except RedisError:
        known = url
    try:
        return known, patiently(lambda: connect(known, connections=STORE_CONNECTIONS))
    except RedisError as error:
        raise Problem(_away("store", known, error)) from None


def errors_of(broker: Broker) -> tuple[type[BaseException], ...]:
    """Return the errors of broker and store."""
    connection = broker.connection()
    return (*BROKEN, *connection.connection_errors, *connection.channel_errors)


def diagnosis(servers: Servers, error: BaseException) -> str:
    """Say which of the two failed, by trying both: if both are Redis, the error does not tell."""
    if isinstance(error, Blocked):
        return takes_nothing(servers.broker.url, str(error))
    try:
        servers.connect().release()
    except errors_of(servers.broker) as broker_error:
        return _away("broker", servers.broker.url, broker_error)
    try:
        servers.store.ping()
    except RedisError as store_error:
        return _away("store", servers.store_url, store_error)
    name, words = public_url(servers.broker.url), said(error, servers.broker.url)
    todo = advice(error, "try again")
    return f"the broker at {name} refused, or the connection was lost: {words}; {todo}"


def complain_of_servers(servers: Servers) -> None:
    """Print a warning for a server that answers but accepts no writes: an alarm, no memory."""
    if servers.broker.url != servers.store_url:
        _complain_of_broker(servers.broker)
    _complain_of_store(servers)


def _complain_of_broker(broker: Broker) -> None:
    try:
        broker.demand_writable()
    except Blocked as error:
        complain(takes_nothing(broker.url, str(error)))
    except RedisError as error:
        complain(_away("broker", broker.url, error))


def _complain_of_store(servers: Servers) -> None:
    try:
        servers.store.ping()
    except RedisError:
        return  # a server that does not answer is for the command itself to report
    try:
        missing_rights(servers.store, STORE_WRITE)
    except RedisError as error:
        complain(_away("store", servers.store_url, error))


def takes_nothing(broker_url: str, alarm: str) -> str:
    """Return the sentence about an alarm of RabbitMQ."""
    return (
        f"the broker at {public_url(broker_url)} takes no messages, because it has a {alarm}; "
        "give it memory or disk space"
    )


def _away(what: str, url: str, error: BaseException) -> str:
    if classify(error).cause.startswith("LOADING"):
        return f"the {what} at {public_url(url)} is still loading its data; try again in a moment"
    todo = advice(error, f"start it, or correct OVERTURE_{what.upper()}_URL")
    return f"the {what} at {public_url(url)} cannot be used: {said(error, url)}; {todo}"


def demand_account(settings: Settings, named: str) -> None:
    """Raise Problem for an account that is not configured; if none is, any is accepted."""
    if settings.accounts and named not in settings.accounts:
        known = ", ".join(sorted(settings.accounts))
        raise Problem(f"account {named} is not configured; configured accounts: {known}")


def demand_queue(settings: Settings, queue: str) -> None:
    """Raise Problem for the jobs queue of an account that is not configured."""
    if queue != JOBS_QUEUE:
        demand_account(settings, queue.removeprefix(f"{JOBS_QUEUE}."))


def the_account(store: Redis, settings: Settings, named: str | None) -> str:
    """Return the named account, or else the only one."""
    if named is not None:
        demand_account(settings, named)
        return named
    accounts = known_accounts(store, settings)
    if len(accounts) != 1:
        raise Problem(f"there are {len(accounts)} accounts; name one with --account")
    return accounts[0]
