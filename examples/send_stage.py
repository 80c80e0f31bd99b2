"""The stage after Overture: send the first message into every opened conversation.

Use this program as a starting point. All it shares with Overture is `conversations.results`, the
queue that a worker declares when it starts. It takes the worker's settings from the environment:
OVERTURE_BROKER_URL and what send_liveperson.py, beside this file, reads. It sends the job's
`metadata.firstMessage`.

    python examples/send_stage.py sent.db               send, until a signal arrives
    python examples/send_stage.py sent.db --parked      print what could not be sent, as JSON Lines
    python examples/send_stage.py sent.db --again       have it sent again

A result is acknowledged once it is in the file `sent.db`, and waits there until LivePerson has its
message; keep the file on a disk that lasts, and run one stage for each file and each account. A
result that comes again is recognised. A message that LivePerson refuses, or that fails four times
while others are sent, is parked in the same file with the reason. A message can be sent twice only
if nobody knows what became of it: after a 5xx, no answer in time, or the death of this program.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from typing import Any

from kombu import Connection, Message, Queue
from kombu.mixins import ConsumerMixin
from send_liveperson import (
    PAUSES,
    Account,
    NotNowError,
    RefusedError,
    accounts,
    is_automatic,
    seconds_late,
)

RESULTS = Queue("conversations.results", no_declare=True)
IN_FLIGHT = 20  # messages of one account that are being sent at a time
BATCH = 100  # results that are written to disk, and acknowledged, together
BATCH_SECONDS = 0.05  # how long a result waits for others at most
POLL_SECONDS = 0.05  # how often an account without messages is looked at
KEEP_SECONDS = 30 * 24 * 60 * 60  # how long a result that comes again is recognised

SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
    name TEXT PRIMARY KEY, account TEXT, state TEXT, due REAL, tries INTEGER,
    urgent INTEGER, document TEXT, reason TEXT);
CREATE INDEX IF NOT EXISTS by_state ON results (state, account, urgent DESC, due);
"""


class Results:
    """The results on disk: `waiting`, `sent`, or `parked` with a reason.

    What is added survives a power cut, for its message is acknowledged then. What became of it has
    to survive this program alone: to wait for the disk after each message would slow all of them.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._added = _open(path, synchronous="FULL")
        self._rows = _open(path, synchronous="NORMAL")
        self._in_hand: set[str] = set()
        self._write(
            "DELETE FROM results WHERE state = 'sent' AND due < ?", time.time() - KEEP_SECONDS
        )

    def add(self, bodies: list[bytes], known: set[str]) -> None:
        """Keep results; they are on disk when this returns."""
        rows = [_row(body, known) for body in bodies]
        with self._lock, self._added:
            marks = ", ".join("?" * 8)
            self._added.executemany(f"INSERT OR IGNORE INTO results VALUES ({marks})", rows)  # noqa: S608 - eight of them

    def take(self, account: str) -> tuple[str, dict[str, Any], int] | None:
        """Take an account's next result in hand; those that automatic messages wait for first."""
        query = (
            "SELECT name, document, tries FROM results WHERE state = 'waiting' AND account = ?"
            " AND due <= ? ORDER BY urgent DESC, due LIMIT ?"
        )
        with self._lock:
            found = self._rows.execute(query, (account, time.time(), len(self._in_hand) + 1))
            for name, document, tries in found.fetchall():
                if name not in self._in_hand:
                    self._in_hand.add(name)
                    return name, json.loads(document), tries
        return None

    def sent(self, name: str) -> None:
        """Note that a message is sent."""
        self._settle(name, "state = 'sent', due = ?, document = NULL", time.time())

    def again(self, name: str, *, seconds: float, tries: int) -> None:
        """Have a message sent again in so many seconds."""
        self._settle(name, "due = ?, tries = ?", time.time() + seconds, tries)

    def park(self, name: str, reason: str) -> None:
        """Put a message aside that cannot be sent."""
        self._settle(name, "state = 'parked', reason = ?", reason)

    def parked(self) -> Iterator[dict[str, Any]]:
        """Yield what was put aside, with the reason."""
        for document, reason in self._rows.execute(
            "SELECT document, reason FROM results WHERE state = 'parked'"
        ):
            yield {"result": json.loads(document), "reason": reason}

    def unpark(self) -> int:
        """Have everything that was put aside sent again; returns how many that are."""
        return self._write(
            "UPDATE results SET state = 'waiting', tries = 0, due = ? WHERE state = 'parked'"
            " AND account <> ''",
            time.time(),
        )

    def _settle(self, name: str, change: str, *values: object) -> None:
        self._write(f"UPDATE results SET {change} WHERE name = ?", *values, name)  # noqa: S608 - our own words
        with self._lock:
            self._in_hand.discard(name)

    def _write(self, statement: str, *values: object) -> int:
        with self._lock, self._rows:
            return self._rows.execute(statement, values).rowcount


def _open(path: str, *, synchronous: str) -> sqlite3.Connection:
    rows = sqlite3.connect(path, check_same_thread=False)
    rows.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous};{SCHEMA}")
    return rows


def _row(body: bytes, known: set[str]) -> tuple[object, ...]:
    """Turn a message into a row; one that is no result of an account known here is parked."""
    try:
        result = json.loads(body)
        if isinstance(result, list):  # with OVERTURE_RESULTS_TASK it is a call's argument
            ((result,), *_) = result
        account = str(result["accountId"])
        name = json.dumps([account, result["jobId"], result["conversationId"]])
        _ = result["consumerId"], result["dialogId"]
        document, urgent = json.dumps(result), is_automatic(result)
    except (ValueError, TypeError, LookupError, AttributeError):
        text = json.dumps(body.decode(errors="replace"))
        return sha256(body).hexdigest(), "", "parked", 0, 0, 0, text, "it is not a result"
    fault = "" if account in known else f"account {account} is not configured here"
    state = "parked" if fault else "waiting"
    return name, account, state, time.time(), 0, urgent, document, fault


class Intake(ConsumerMixin):
    """Moves results from the broker to disk, and reconnects by itself when the broker is back."""

    def __init__(self, connection: Connection, results: Results, known: set[str]) -> None:
        self.connection = connection
        self._results = results
        self._known = known
        self._batch: list[Message] = []
        self._since = 0.0

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        """Say what to consume."""
        del channel
        self._batch.clear()  # on a new connection all of these are delivered again
        return [consumer([RESULTS], prefetch_count=2 * BATCH, on_message=self._take)]

    def on_iteration(self) -> None:
        """Keep a batch that is full, or has waited; acknowledge it once it is on disk."""
        is_due = time.monotonic() - self._since > BATCH_SECONDS
        if self._batch and (is_due or len(self._batch) >= BATCH):
            self._keep()

    def on_consume_end(self, connection: Connection, channel: Any) -> None:
        """Keep what is in hand when a signal ends it; the rest is handed over again."""
        del connection, channel
        self._keep()

    def _keep(self) -> None:
        self._results.add([_octets(message) for message in self._batch], self._known)
        for message in self._batch:
            message.ack()
        self._batch.clear()

    def _take(self, message: Message) -> None:
        self._since = self._since if self._batch else time.monotonic()
        self._batch.append(message)


def _octets(message: Message) -> bytes:
    body: Any = message.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


class Sender(threading.Thread):
    """Sends the messages of one account, as fast as it may, several at a time."""

    def __init__(self, name: str, account: Account, results: Results) -> None:
        super().__init__(name=f"send-{name}")
        self._id, self._account, self._results = name, account, results
        self._free = threading.Semaphore(IN_FLIGHT)
        self.stopping = threading.Event()

    def run(self) -> None:
        """Send until `stopping` is set; what is being sent then is finished."""
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            while not self.stopping.is_set():
                if held := self._account.held():
                    self.stopping.wait(min(held, 1))
                elif self._free.acquire(timeout=POLL_SECONDS):
                    if (taken := self._results.take(self._id)) is None:
                        self._free.release()
                        self.stopping.wait(POLL_SECONDS)
                    else:
                        self._account.pace()
                        pool.submit(self._send, *taken)

    def _send(self, name: str, result: dict[str, Any], tries: int) -> None:
        try:
            self._settle(name, result, tries)
        except Exception as error:  # noqa: BLE001 - a bug here holds up no other message
            self._park(name, result, f"{type(error).__name__}: {error}")
        finally:
            self._free.release()

    def _settle(self, name: str, result: dict[str, Any], tries: int) -> None:
        if late := seconds_late(result):
            _complain(result, f"too late for automatic messages by {late:.1f} s")
        try:
            self._account.send(result)
        except RefusedError as error:
            self._park(name, result, f"refused: {error}")
        except NotNowError as error:
            tries += not error.is_outage
            if tries >= len(PAUSES):
                self._park(name, result, f"failed {tries} times: {error}")
                return
            seconds = error.seconds if error.is_outage else PAUSES[tries - 1]
            _complain(result, f"not sent yet: {error}")
            self._results.again(name, seconds=seconds, tries=tries)
        else:
            self._results.sent(name)
            sys.stdout.write(f"{result['jobId']}: sent into {result['conversationId']}\n")
            sys.stdout.flush()

    def _park(self, name: str, result: dict[str, Any], reason: str) -> None:
        self._results.park(name, reason)
        _complain(result, f"parked: {reason}")


def _complain(result: dict[str, Any], what: str) -> None:
    sys.stderr.write(f"{result['jobId']}: {what}\n")


def main() -> None:
    """Send first messages until a signal arrives, or show or repeat what was parked."""
    path, *options = sys.argv[1:]
    results = Results(path)
    if "--parked" in options:
        for entry in results.parked():
            print(json.dumps(entry))
        return
    if "--again" in options:
        print(f"{results.unpark()} messages will be sent again")
        return
    known = accounts()
    senders = [Sender(name, account, results) for name, account in known.items()]
    with Connection(os.environ["OVERTURE_BROKER_URL"], heartbeat=30) as connection:
        intake = Intake(connection, results, set(known))

        def stop(*_: object) -> None:
            intake.should_stop = True
            for sender in senders:
                sender.stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        for sender in senders:
            sender.start()
        intake.run(safety_interval=BATCH_SECONDS)
        for sender in senders:
            sender.join()


if __name__ == "__main__":
    main()
