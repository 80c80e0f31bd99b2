"""Publishing on RabbitMQ: a batch is written at once, and each message has its own confirm."""

from __future__ import annotations

import contextlib
import re
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from amqp.exceptions import AMQPError, ConnectionForced
from kombu import Connection

from tasks.messages.outgoing import Outgoing
from worker.broker.confirms import Blocked, NotConfirmed, Refusal, RefusalKind, Unsendable

CONFIRM_SECONDS: Final = 15.0
# How long a command waits for the end of an alarm.
ALARM_SECONDS: Final = 3.0
POLL_SECONDS: Final = 1.0
# RabbitMQ announces an alarm only to a connection that publishes, and then at once.
PROBE_SECONDS: Final = 5.0

# The limit is the last number, as in "message size 146800640 is larger than configured max size
# 134217728".
_TOO_LARGE: Final = re.compile(r"message size .*\b(\d+)\D*$", re.DOTALL)
_BY_CODE: Final = {311: RefusalKind.TOO_LARGE, 403: RefusalKind.DENIED, 404: RefusalKind.MISSING}


class RabbitProducer:
    """A ConfirmedProducer; a message that no queue is bound for counts as refused.

    `while_stuck` is called repeatedly while the broker reads nothing, and may raise; without it the
    write fails after CONFIRM_SECONDS.
    """

    def __init__(
        self, broker: Connection, *, while_stuck: Callable[[], object] | None = None
    ) -> None:
        # kombu's types lack amqp's connection and its events.
        self._connection = cast("Any", broker.connection)
        self._channel = cast("Any", broker.channel())
        self._while_stuck = while_stuck or self._give_up_in_time
        self._stuck_at = 0.0
        self._last = self._last_tag = 0
        # By delivery tag, in the order they were sent: each message with its number.
        self._outstanding: dict[int, tuple[int, Outgoing]] = {}
        self._returned: dict[int, str] = {}
        self._settled: list[tuple[int, Refusal | None]] = []
        self._channel.events["basic_ack"].add(self._on_ack)
        self._channel.events["basic_nack"].add(self._on_nack)
        self._channel.events["basic_return"].add(self._on_return)
        self._channel.confirm_select()
        self._connection.wait_to_write(self._on_stuck)

    @property
    def blocked(self) -> str:
        """The broker's alarm, or an empty text."""
        return alarm_of(self._connection.blocked)

    @property
    def heard_at(self) -> float:
        """When something last came from the broker."""
        return float(self._connection.heard_at())

    def beat(self) -> None:
        """Send a heartbeat, unless there is an alarm: the broker expects none then."""
        if not self._connection.blocked:
            self._connection.send_heartbeat()

    def publish(self, messages: Sequence[Outgoing]) -> None:
        """Send the messages and wait for them."""
        self.wait(self.send(messages))

    def send(self, messages: Sequence[Outgoing]) -> int:
        """Write the messages; returns the number of the last one."""
        self._stuck_at = time.monotonic()
        connection, channel = self._connection, self._channel.channel_id
        with connection.corked():
            for message in messages:
                self._last += 1
                self._last_tag += 1
                self._outstanding[self._last_tag] = self._last, message
                try:
                    connection.publish(message, channel=channel)
                except Unsendable as error:
                    # Nothing of it was written, so the broker does not count it.
                    del self._outstanding[self._last_tag]
                    self._last_tag -= 1
                    self._settled.append((self._last, Refusal(RefusalKind.UNSENDABLE, str(error))))
        return self._last

    def wait(self, through: int) -> None:
        """Wait for the confirms through a number; raises NotConfirmed after CONFIRM_SECONDS."""
        deadline = time.monotonic() + CONFIRM_SECONDS
        while True:
            left = deadline - time.monotonic()
            waits = min(left, POLL_SECONDS) if self._oldest() <= through else 0
            for _, refusal in self.take(seconds=waits):
                if refusal is not None:
                    raise NotConfirmed(f"the broker refused a message: {refusal.why}")
            if self._oldest() > through:
                return
            if left <= 0 or (self.blocked and left < CONFIRM_SECONDS - ALARM_SECONDS):
                raise self._unconfirmed()

    def take(self, *, seconds: float = 0) -> list[tuple[int, Refusal | None]]:
        """Return the confirms and refusals since the last call; always reads what has come."""
        with contextlib.suppress(TimeoutError):
            self._connection.take(seconds=0 if self._settled else seconds)
        settled, self._settled = self._settled, []
        return settled

    def first(self, *, seconds: float) -> Refusal | None:
        """Wait for the first answer, or an alarm; returns the answer if it is a refusal."""
        deadline = time.monotonic() + seconds
        while not self.blocked and (left := deadline - time.monotonic()) > 0:
            for _, refusal in self.take(seconds=left):
                return refusal
        return None

    def _oldest(self) -> float:
        """Return the number of the oldest message without an answer; infinity if there is none."""
        for number, _ in self._outstanding.values():
            return number
        return float("inf")

    def _unconfirmed(self) -> NotConfirmed:
        if self.blocked:
            return Blocked(self.blocked)
        return NotConfirmed(f"the broker did not confirm within {CONFIRM_SECONDS:.0f} s")

    def _on_stuck(self) -> None:
        with contextlib.suppress(TimeoutError):
            self._connection.take()
        self._while_stuck()

    def _give_up_in_time(self) -> None:
        most = ALARM_SECONDS if self.blocked else CONFIRM_SECONDS
        if time.monotonic() - self._stuck_at > most:
            raise self._unconfirmed()

    def _on_ack(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - amqp calls it
        self._settle(delivery_tag, multiple=multiple, refusal=None)

    def _on_nack(self, delivery_tag: int, multiple: bool) -> None:  # noqa: FBT001 - amqp calls it
        why = "it was not stored: its queue is full, or not available"
        self._settle(delivery_tag, multiple=multiple, refusal=Refusal(RefusalKind.NOT_STORED, why))

    def _on_return(self, error: Exception, exchange: str, routing_key: str, returned: Any) -> None:
        """Note a message that no queue is bound for; RabbitMQ still confirms it, next.

        It is known only by its address and id, and all with the same ones are returned alike.
        """
        address = exchange, routing_key, returned.properties.get("message_id") or ""
        why = f"{error} (exchange {exchange!r}, routing key {routing_key!r})"
        for tag, (_, message) in self._outstanding.items():
            if (message.exchange, message.routing_key, message.message_id) == address:
                self._returned[tag] = why

    def _settle(self, delivery_tag: int, *, multiple: bool, refusal: Refusal | None) -> None:
        tags = (
            [tag for tag in self._outstanding if tag <= delivery_tag]
            if multiple
            else [delivery_tag]
        )
        for tag in tags:
            if tag not in self._outstanding:
                continue
            number, _ = self._outstanding.pop(tag)
            returned = self._returned.pop(tag, "")
            found = Refusal(RefusalKind.MISSING, returned) if returned else refusal
            self._settled.append((number, found))


def probe(connection: Connection, exchange: str) -> tuple[str, Refusal | None]:
    """Publish a message that no queue is bound for; returns the alarm and the refusal.

    If all is well, the refusal is MISSING. It is None if nothing came within PROBE_SECONDS. Raises
    the connection's own errors.
    """
    key = f"check.{uuid.uuid4()}"
    message = Outgoing(exchange=exchange, routing_key=key, body=b"{}", message_id=key)
    producer = RabbitProducer(connection)
    try:
        producer.send([message])
        said = producer.first(seconds=PROBE_SECONDS)
    except AMQPError as error:
        if (said := refusal_of(error)) is None:
            raise
    return producer.blocked, said


def alarm_of(reason: str) -> str:
    """Return the alarm that RabbitMQ's reason means: "memory alarm" for "low on memory"."""
    names = [name for name in ("memory", "disk") if name in reason]
    return f"{' and '.join(names)} alarm" if names else reason


def refusal_of(error: BaseException) -> Refusal | None:
    """Return why a message ended a channel or connection; None if it ended for another reason.

    The broker does not say which message it was.
    """
    if not isinstance(error, AMQPError) or isinstance(error, ConnectionForced):
        return None
    code = error.reply_code or 0
    if not code:
        return None
    why = str(error)
    if too_large := _TOO_LARGE.search(why):
        return Refusal(RefusalKind.TOO_LARGE, why, int(too_large[1]))
    return Refusal(_BY_CODE.get(code, RefusalKind.UNSENDABLE), why)
