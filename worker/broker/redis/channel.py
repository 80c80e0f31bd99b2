"""The channel of the Redis transport: takes messages by script, and waits for new ones."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from math import inf
from queue import Empty
from time import monotonic, sleep
from typing import Any, Final, NamedTuple
from uuid import uuid4

from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError

from tasks.store.replies import classify
from worker.broker.message import BEGINNING_BYTES
from worker.broker.redis.envelope import most_element_bytes, read_envelope
from worker.broker.redis.layout import Layout, queue_script
from worker.broker.redis.leases import LeaseKeeper, keeper_for
from worker.broker.redis.passing import PARSER, pass_over
from worker.broker.redis.primary import PrimaryChannel
from worker.broker.redis.qos import LeasingQoS

# A lease that is not renewed ends after this, and another worker may take its message.
LEASE_SECONDS: Final = 10.0
# How long an idle channel waits on one list before it tries all of them again. Messages elsewhere
# (priorities, other queues, delays) are found this much later at most. It waits on the list of the
# queue that the last message came from, where the next one is most likely.
WAIT_SECONDS: Final = 0.1
# The timeout of a take. kombu drops the connection some seconds after it, and after a wait: if the
# server's clock was set back during a wait, that would last as long as the clock was set back.
TAKE_SECONDS: Final = 5.0
# When to try again if the server refuses, as it does when its disk is full.
REFUSED_SECONDS: Final = 1.0
# How often such a refusal is logged.
LOG_SECONDS: Final = 10.0
# How long closing waits for the server to accept pending settlements.
CLOSE_SECONDS: Final = 5.0

# A wait's answer is a whole message; a larger one is skipped unread.
LARGE_BYTES: Final = 1024 * 1024

logger = logging.getLogger(__name__)


class Taken(NamedTuple):
    """A message that this channel has leased, in the form in which kombu delivers it."""

    lease: str
    queue: str
    message: dict[str, Any]


class LeasingChannel(PrimaryChannel):
    """Takes messages by script instead of kombu's BRPOP, one command at a time.

    If a take finds nothing, a wait follows: a BLMOVE of a list's newest message to where it is,
    which changes nothing and returns as soon as there is a message.
    """

    QoS = LeasingQoS
    qos: LeasingQoS
    lease_seconds = LEASE_SECONDS
    from_transport_options = (*PrimaryChannel.from_transport_options, "lease_seconds")
    # kombu's own, which its types leave out.
    connection: Any
    closed: bool
    connection_errors: tuple[type[Exception], ...]
    _closing: bool
    _in_poll: Any
    brpop_timeout: float  # type: ignore[assignment] # kombu's own is a whole number
    _brpop_sent_at: float
    _queue_cycle: Any
    _flush_brpop_reauth: Callable[[], None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        steps = tuple(sorted(self.priority_steps, reverse=True))
        self._layout = Layout(self.global_keyprefix, self.sep, steps)
        self._take = queue_script(Redis(connection_pool=self.pool), "queue_take")
        self._is_script_known = True
        self._lease_prefix, self._takes = uuid4().hex, count()
        self._asked: Sequence[str] = ()
        self._is_idle = False
        self._last_queue = ""
        self._refused_until = self._logged_at = -inf
        self.is_lost = False
        server = self.connection.client
        address = (server.hostname, server.port, server.virtual_host, self.sentinels)
        user = (server.userid, server.password)
        self.keeper = keeper_for(
            (address, user, self._layout, self.lease_seconds), self._new_keeper
        )
        self.keeper.attach()

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - kombu's signature
        return {**super()._connparams(asynchronous), "parser_class": PARSER}

    def defer(self, delivery_tag: str, seconds: float) -> None:
        """Put a message off: the server delivers it again after `seconds`. For any thread.

        It is out of hand at once; a later acknowledgement does nothing.
        """
        self.qos.settle("defer", delivery_tag, seconds=max(0.0, seconds))

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - kombu's signature
        """Return one message of the queue, or None."""
        message = super().basic_get(queue, no_ack=no_ack, **kwargs)
        if no_ack and message is not None:
            self.keeper.settle("ack", str(message.delivery_tag))
        return message

    def lose(self) -> None:
        """Give up the connection, but keep the messages: their jobs go on in this process."""
        self.is_lost = True
        self._in_poll = None
        self.keeper.orphan(self.qos.leases())

    def close(self) -> None:
        """Close; what is still in hand is handed back at once."""
        if self.closed:
            return
        self._closing = True
        try:
            if self._in_poll:
                with suppress(Empty, *self.connection_errors):
                    self._brpop_read()
            self._in_poll = None
            super().close()
        finally:
            self.keeper.detach(0.0 if self.is_lost else CLOSE_SECONDS)

    def _new_keeper(self) -> LeaseKeeper:
        pool = self._get_pool()
        return LeaseKeeper(
            lambda: Redis(connection_pool=pool),
            layout=self._layout,
            lease_seconds=self.lease_seconds,
        )

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Send the next command; kombu's poller calls this if there is room and none is pending."""
        del timeout
        queues = self._queue_cycle.consume(len(self.active_queues))
        if not queues or monotonic() < self._refused_until:
            return
        connection = self.client.connection
        self._in_poll, self._brpop_sent_at = connection, monotonic()
        if self._is_idle:
            self.brpop_timeout = WAIT_SECONDS
            likely = self._last_queue if self._last_queue in queues else queues[0]
            name = self._layout.list_of(likely)
            connection.send_command("BLMOVE", name, name, "LEFT", "LEFT", WAIT_SECONDS)
        else:
            self.brpop_timeout = TAKE_SECONDS
            self._asked = queues
            self._queue_cycle.rotate(queues[0])
            keys, arguments = self._take_arguments(queues, self.qos.room())
            by_name, in_full = ("EVALSHA", self._take.sha), ("EVAL", self._take.script)
            call = by_name if self._is_script_known else in_full
            self._is_script_known = True
            connection.send_command(*call, len(keys), *keys, *arguments)

    def _brpop_read(self, **options: Any) -> bool:
        """Read the answer to the pending command; called when the connection is readable."""
        del options
        was_wait, self._is_idle = self._is_idle, False
        try:
            answer = None if was_wait and self._is_passed_over() else self._read_answer()
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()
        if was_wait:
            raise Empty
        if not answer:
            self._is_idle = True
            raise Empty
        self._deliver(self._hold(answer, self._asked))
        return True

    def _is_passed_over(self) -> bool:
        """Skip the answer to a wait if it is large: it is a whole message, and not used."""
        # redis-py would hold several copies of it.
        try:
            return pass_over(self.client.connection, least=LARGE_BYTES)
        except self.connection_errors:
            self.client.connection.disconnect()
            raise

    def _read_answer(self) -> Any:
        connection = self.client.connection
        try:
            return connection.read_response(disable_decoding=True)
        except NoScriptError:
            self._is_script_known = False
        except ResponseError as error:
            trouble = classify(error)
            if trouble.kind == "gone":
                connection.disconnect()
                raise RedisConnectionError(trouble.cause) from error
            now = monotonic()
            if now - self._logged_at >= LOG_SECONDS:
                todo = f"; {trouble.todo}" if trouble.todo else ""
                logger.error("Redis hands out no messages, trying again: %s%s", trouble.cause, todo)  # noqa: TRY400 - its text says it all
                self._logged_at = now
            self._refused_until = now + REFUSED_SECONDS
            if self.connection.cycle._in_protected_read:  # noqa: SLF001 - kombu has no other name
                # There is no event loop here whose timers would try again.
                sleep(REFUSED_SECONDS)
        except self.connection_errors:
            connection.disconnect()
            raise
        raise Empty

    def _deliver(self, messages: deque[Taken]) -> None:
        # An answer that was read later than the lease lasts, as after a SIGSTOP, is no longer ours.
        is_stale = monotonic() - self._brpop_sent_at > self.lease_seconds
        try:
            while messages and not is_stale and not self._closing:
                lease, queue, message = messages[0]
                self.connection._deliver(message, queue)  # noqa: SLF001 - what kombu's channels call
                messages.popleft()
                if lease not in self.qos.leases():
                    # It was settled at once, or its consumer does not acknowledge.
                    self.keeper.settle("ack", lease)
        finally:
            for lease, _, _ in reversed(messages):
                self.qos.reject(lease, requeue=True)

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        """Return one message, for `basic_get`."""
        del timeout
        messages = self._hold(self._take(*self._take_arguments([queue], 1)), [queue])
        if not messages:
            raise Empty
        return messages[0].message

    def _take_arguments(self, queues: Sequence[str], limit: int) -> tuple[list[str], list[Any]]:
        prefix = f"{self._lease_prefix}:{next(self._takes)}"
        lease_ms = int(self.lease_seconds * 1000)
        most = most_element_bytes()
        arguments = [limit, lease_ms, prefix, most, BEGINNING_BYTES, *self._layout.steps]
        return self._layout.keys(queues), arguments

    def _hold(self, answer: list[Any], queues: Sequence[str]) -> deque[Taken]:
        messages: deque[Taken] = deque()
        for name, number, deliveries, payload in answer:
            lease, queue = name.decode(), queues[number - 1]
            message = read_envelope(payload, lease=lease, queue=queue, deliveries=deliveries)
            messages.append(Taken(lease, queue, message))
            self._last_queue = queue
        self.keeper.hold({taken.lease: taken.queue for taken in messages})
        return messages
