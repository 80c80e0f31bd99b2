"""The publisher: one thread that sends what comes out, in batches, until the broker confirms it."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog
from kombu import Connection

from worker.messages.outgoing import Outgoing
from worker.messaging import broker
from worker.messaging.confirms import ConfirmedProducer
from worker.messaging.producers import confirmed_producer

BATCH_MESSAGES: Final = 500
# Pauses between attempts at a broker that is away, in seconds: the first, and the longest.
FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0

Confirmed = Callable[[], None]
log = structlog.get_logger()


class Publisher:
    """Sends messages and calls each one's `confirmed` once the broker has it.

    What the broker does not confirm is sent again, for as long as it takes: a job is acknowledged
    only after its outcome is confirmed, so a stop in between repeats a message and loses none.
    """

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self._waiting: queue.SimpleQueue[tuple[Outgoing, Confirmed] | None] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._producer: ConfirmedProducer | None = None
        self._connection: Connection | None = None
        self._under_way = 0
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)
        self.confirmed_at = time.monotonic()
        self.trouble = ""

    @property
    def waiting(self) -> int:
        """How many messages are not confirmed yet."""
        return self._waiting.qsize() + self._under_way

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def send(self, message: Outgoing, confirmed: Confirmed) -> None:
        """Have a message sent; `confirmed` is called in the publisher's thread."""
        self._waiting.put((message, confirmed))

    def close(self, *, seconds: float) -> None:
        """Send what is waiting, for at most so many seconds, and stop."""
        self._waiting.put(None)
        self._thread.join(seconds)
        self._closing.set()

    def _run(self) -> None:
        last = False
        while not last:
            batch = [self._waiting.get()]
            while len(batch) < BATCH_MESSAGES:
                try:
                    batch.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
            last = None in batch
            messages = [item for item in batch if item is not None]
            self._under_way = len(messages)
            if messages and self._publish([message for message, _ in messages]):
                for _, confirmed in messages:
                    self._tell(confirmed)
            self._under_way = 0
        self._disconnect()

    def _tell(self, confirmed: Confirmed) -> None:
        try:
            confirmed()
        except Exception:
            # Without this thread nothing comes out.
            log.exception("publisher.confirmation_not_taken")

    def _publish(self, messages: list[Outgoing]) -> bool:
        """Publish until it is confirmed; False when the publisher is closed meanwhile."""
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            try:
                self._connected().publish(messages)
            except Exception as error:  # noqa: BLE001 - whatever it was: without this thread nothing comes out
                log.warning("publisher.retry", messages=len(messages), error=str(error)[:300])
                self.trouble = str(error)[:300]
                self._abandon()
                self._closing.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
            else:
                self.confirmed_at, self.trouble = time.monotonic(), ""
                return True
        return False

    def _connected(self) -> ConfirmedProducer:
        if self._producer is None:
            self._connection = broker.connection(self._url)
            self._connection.connect()
            # A queue that was deleted would have its messages returned for ever.
            broker.declare(self._connection)
            self._producer = confirmed_producer(self._connection)
        return self._producer

    def _disconnect(self) -> None:
        if connection := self._let_go():
            with contextlib.suppress(Exception):
                connection.release()

    def _abandon(self) -> None:
        if connection := self._let_go():
            with contextlib.suppress(Exception):
                # A broker that fell silent would answer no farewell, and be waited for.
                connection.collect()

    def _let_go(self) -> Connection | None:
        connection, self._connection, self._producer = self._connection, None, None
        return connection
