"""The publisher: one thread that sends messages, again and again until each is confirmed.

Messages go out in batches on one lane. When the broker closes that lane's connection because of one
of them, it does not say which. Each is then sent once more, alone, on a second lane, to find the
one that is refused. A refused message is tried again later; it holds up no other.
"""

from __future__ import annotations

import heapq
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import count as counter
from typing import Any, Final

import structlog

from config.names import EXCHANGE_NAME
from tasks.messages.outcome import shortened
from tasks.messages.outgoing import Outgoing
from tasks.messages.trace import TRACE_HEADERS, trace_of
from worker.broker.base import Broker
from worker.broker.confirms import Refusal, RefusalKind
from worker.broker.declarer import Declarer
from worker.broker.lane import Callback, Lane, Letter

BATCH_MESSAGES: Final = 500
# How long to wait for a batch's confirms before sending the next one; also how long a new message
# may wait while a confirm is late.
POLL_SECONDS: Final = 0.1
# If a suspect's confirm is late by this much, the next suspect is sent without waiting for it.
LATE_SECONDS: Final = 2.0
# A broker that has confirmed nothing for this long is reported.
SLOW_SECONDS: Final = 20.0
# How often to check an idle connection.
IDLE_SECONDS: Final = 5.0
# The first delay before a refused message is tried again; it doubles each time, up to the maximum.
FIRST_RETRY_SECONDS: Final = 0.2
MAX_RETRY_SECONDS: Final = 5.0
# The maximum if the message itself is at fault.
MAX_FAULTY_RETRY_SECONDS: Final = 60.0
# After this long a refused message is given up here, and its job handed back to the broker: by
# default RabbitMQ closes the channel of a consumer that keeps a message for half an hour.
MAX_REFUSED_SECONDS: Final = 1200.0
# If an identical message comes after this long, its job was delivered again meanwhile. One message
# then serves both deliveries, so that copies do not pile up.
REDELIVERED_SECONDS: Final = 60.0
# A channel that met a full quorum queue is refused even after the queue's limit is lifted
# (RabbitMQ 3.10). While messages are refused, connect anew this often.
STALE_SECONDS: Final = 10.0
# This many broken connections make a message suspect.
SUSPECT_LOSSES: Final = 2
# A larger message is sent alone from the start: the broker might refuse it for its size.
LARGE_BYTES: Final = 1024 * 1024

log = structlog.get_logger()


class Publisher:
    """Sends messages and calls each one's `confirmed` once the broker has it.

    A message without a confirm is sent again. A job is acknowledged only after its outcome is
    confirmed, so a stop in between repeats a message and loses none. Memory is bounded by the jobs
    in hand, as each waits for its message.

    For any thread: `waiting` counts the messages that are neither confirmed nor handed back,
    `confirmed_at` is when the broker last confirmed one, on the monotonic clock, `repeats` counts
    the messages that had to be sent again, and `trouble` says what is wrong, or is empty.
    """

    def __init__(self, broker: Broker, *, job_queues: Iterable[str] = ()) -> None:
        """`job_queues` are those whose delays are declared again when they are missing."""
        self._broker = broker
        self.confirmed_at = time.monotonic()
        self.trouble = ""
        self.repeats = 0
        self._new: queue.SimpleQueue[Letter | None] = queue.SimpleQueue()
        self._letters: dict[object, Letter] = {}
        self._due: deque[Letter] = deque()
        self._suspects: deque[Letter] = deque()
        self._later: list[tuple[float, int, Letter]] = []
        self._order = counter()
        self._faults: Counter[object] = Counter()
        self._blocked = self._away = ""
        self._is_refused = False
        self._together = Lane(broker, while_stuck=self._while_stuck)
        self._alone = Lane(broker, while_stuck=self._while_stuck)
        self._declarer = Declarer(broker, tuple(job_queues))
        self._is_ending = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="publisher", daemon=True)

    @property
    def waiting(self) -> int:
        """How many messages are neither confirmed nor handed back."""
        return self._new.qsize() + len(self._letters)

    def start(self) -> None:
        """Start the threads."""
        self._declarer.start()
        self._thread.start()

    def send(
        self, message: Outgoing, confirmed: Callback, handed_back: Callback | None = None
    ) -> None:
        """Queue a message; `confirmed` is called in the publisher's thread.

        If it is refused for too long, the message is given up here and `handed_back` is called
        instead, if given: the job it belongs to can then go back to the broker.
        """
        key = message.exchange, message.routing_key, message.message_id, message.body
        letter = Letter(key=key, message=message, confirmed=[confirmed], since=time.monotonic())
        if handed_back is not None:
            letter.handed_back.append(handed_back)
        self._new.put(letter)

    def declare(self) -> None:
        """Ask for exchanges, queues and delays to be declared again soon. For any thread."""
        self._declarer.ask()

    def close(self, *, seconds: float) -> None:
        """Send what is waiting, for at most `seconds`, and stop."""
        self._new.put(None)
        self._thread.join(seconds)
        self._closing.set()
        self._declarer.stop()

    def _run(self) -> None:
        while not self._closing.is_set() and not (self._is_ending and not self._letters):
            try:
                self._turn()
            except Exception:
                # Without this thread nothing is published.
                log.exception("publisher.stumbled")
                self._closing.wait(FIRST_RETRY_SECONDS)
        self._together.close()
        self._alone.close()

    def _turn(self) -> None:
        self._receive()
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            self._queue(heapq.heappop(self._later)[2])
        if not self._blocked:
            if (
                self._is_refused
                and self._together.age() > STALE_SECONDS
                and not self._together.sent
            ):
                self._together.close()
            self._is_refused = False
            self._send(self._together, self._due, BATCH_MESSAGES)
            if not self._alone.sent or now - self._alone.sent_at > LATE_SECONDS:
                self._send(self._alone, self._suspects, 1)
        self._look(self._together, until=self._together.sent_at + POLL_SECONDS)
        self._look(self._alone, until=self._alone.sent_at + POLL_SECONDS)
        self._note_alarm()
        self.trouble = self._what_is_wrong()

    def _receive(self) -> None:
        """Take new messages; waits for them if there is nothing else to do."""
        seconds = self._idle_seconds()
        try:
            letter = self._new.get(timeout=seconds) if seconds > 0 else self._new.get_nowait()
            for _ in range(BATCH_MESSAGES):
                self._add(letter)
                letter = self._new.get_nowait()
            self._add(letter)
        except queue.Empty:
            return

    def _idle_seconds(self) -> float:
        now = time.monotonic()
        sent_at = [lane.sent_at for lane in (self._together, self._alone) if lane.sent]
        if sent_at:
            # A fresh batch is waited for at its socket, in `_look`; a late one is polled from here.
            is_fresh = now - max(sent_at) < POLL_SECONDS and not self._blocked
            return 0 if is_fresh else POLL_SECONDS
        if self._due or self._suspects:
            ready_at = min(
                lane.ready_at()
                for lane, letters in ((self._together, self._due), (self._alone, self._suspects))
                if letters
            )
            return POLL_SECONDS if self._blocked else min(max(0.0, ready_at - now), POLL_SECONDS)
        if self._later:
            return min(max(0.0, self._later[0][0] - now), IDLE_SECONDS)
        return IDLE_SECONDS

    def _add(self, letter: Letter | None) -> None:
        if letter is None:
            self._is_ending = True
            return
        same = self._letters.get(letter.key)
        if same is not None and letter.since - same.since > REDELIVERED_SECONDS:
            same.confirmed += letter.confirmed
            same.handed_back += letter.handed_back
            return
        if same is not None:
            # Two identical messages of two jobs: both are sent.
            letter.key = letter.key, next(self._order)
        self._letters[letter.key] = letter
        letter.is_alone = len(letter.message.body) > LARGE_BYTES
        self._queue(letter)

    def _queue(self, letter: Letter) -> None:
        (self._suspects if letter.is_alone else self._due).append(letter)

    def _send(self, lane: Lane, letters: deque[Letter], most: int) -> None:
        if not letters or time.monotonic() < lane.ready_at():
            return
        batch = [letters.popleft() for _ in range(min(most, len(letters)))]
        try:
            lane.send(batch)
            self._away = ""
        except Exception as error:  # noqa: BLE001 - without this thread nothing is published
            if not lane.sent:
                # It could not even connect.
                letters.extendleft(reversed(batch))
            self._lose(lane, error, unsent=len(batch))

    def _look(self, lane: Lane, *, until: float) -> None:
        """Take the confirms and refusals of a lane; waits for all of them, at most to `until`."""
        try:
            while True:
                left = max(0.0, until - time.monotonic()) if lane.sent else 0.0
                for letter, refusal in lane.take(seconds=left):
                    if refusal is None:
                        self._confirm(letter)
                    else:
                        self._refuse(letter, refusal)
                if not lane.sent or lane.blocked or time.monotonic() >= until:
                    return
        except Exception as error:  # noqa: BLE001 - likewise
            self._lose(lane, error)

    def _lose(self, lane: Lane, error: Exception, *, unsent: int = 0) -> None:
        """Send a lost lane's messages again; if the broker refused one, each of them alone."""
        refusal = self._broker.refusal_of(error)
        letters = lane.give_up(error)
        if refusal is None:
            self._away = str(error)[:300] or type(error).__name__
            if count := len(letters) or unsent:
                log.warning("publisher.retry", messages=count, error=self._away)
        if len(letters) == 1 and refusal is not None:
            self._refuse(letters[0], refusal)
            return
        self.repeats += len(letters) or unsent
        for letter in letters:
            letter.losses += 1
            letter.is_alone = refusal is not None or letter.losses >= SUSPECT_LOSSES
            if lane is self._alone:
                # Perhaps this message breaks the connection: others go first.
                self._put_off(letter, MAX_RETRY_SECONDS)
            else:
                self._queue(letter)

    def _confirm(self, letter: Letter) -> None:
        self.confirmed_at = time.monotonic()
        self._forget(letter)
        for confirmed in letter.confirmed:
            self._call(confirmed)

    def _refuse(self, letter: Letter, refusal: Refusal) -> None:
        """Send a refused message in a form that may be accepted, or try it again later."""
        if refusal.kind is RefusalKind.MISSING:
            self._declarer.ask()
        if (leaner := lean(letter.message, refusal)) is not None:
            log.warning("publisher.cut", **_facts(letter.message), reason=refusal.why[:300])
            letter.message, letter.is_alone = leaner, True
            self._suspects.appendleft(letter)
            return
        self._is_refused = self._is_refused or refusal.kind is RefusalKind.NOT_STORED
        self._blame(letter, refusal)
        now = time.monotonic()
        self.repeats += 1
        letter.refusals += 1
        letter.refused_at = letter.refused_at or now
        if letter.handed_back and now - letter.refused_at > MAX_REFUSED_SECONDS:
            log.warning("publisher.handed_back", **_facts(letter.message))
            self._forget(letter)
            for handed_back in letter.handed_back:
                self._call(handed_back)
            return
        longest = MAX_RETRY_SECONDS
        if refusal.kind not in {RefusalKind.MISSING, RefusalKind.NOT_STORED}:
            letter.is_alone, longest = True, MAX_FAULTY_RETRY_SECONDS
        self._put_off(letter, min(FIRST_RETRY_SECONDS * 2 ** min(letter.refusals, 10), longest))

    def _put_off(self, letter: Letter, seconds: float) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._order), letter))

    def _forget(self, letter: Letter) -> None:
        del self._letters[letter.key]
        if letter.refusal is not None:
            self._faults[_fault(letter)] -= 1

    def _blame(self, letter: Letter, refusal: Refusal) -> None:
        """Count a refused message, and log the first one of each fault."""
        if letter.refusal is not None:
            self._faults[_fault(letter)] -= 1
        letter.refusal = refusal
        fault = _fault(letter)
        if self._faults[fault] <= 0 and not letter.refused_at:
            log.error("publisher.refused", **_facts(letter.message), reason=refusal.why[:300])
        self._faults[fault] += 1

    def _note_alarm(self) -> None:
        """Log an alarm of the broker once, and its end once."""
        blocked = self._together.blocked or self._alone.blocked
        if blocked and not self._blocked:
            log.warning("publisher.blocked", reason=blocked, messages=len(self._letters))
        elif self._blocked and not blocked:
            log.info("publisher.unblocked")
        self._blocked = blocked

    def _while_stuck(self) -> None:
        """Log an alarm that came in the middle of a write, which goes on when the alarm ends."""
        if self._closing.is_set():
            raise ConnectionAbortedError("the publisher is closed")
        self._note_alarm()
        self.trouble = self._what_is_wrong()

    def _what_is_wrong(self) -> str:
        if self._blocked:
            return self._blocked
        refused = +self._faults
        if refused:
            reasons = (one.refusal.why for one in self._letters.values() if one.refusal is not None)
            why = next(reasons, "")[:300]
            return f"messages that the broker refuses: {refused.total()}, one because {why}"
        if self._away and self._letters:
            return f"the broker is away: {self._away}"
        if max(self._together.late(), self._alone.late()) > SLOW_SECONDS:
            return "the broker answers, and confirms nothing of what it was sent"
        return ""

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except Exception:
            # Without this thread nothing is published.
            log.exception("publisher.confirmation_not_taken")


def lean(message: Outgoing, refusal: Refusal) -> Outgoing | None:
    """Return a smaller form of a refused message that may be accepted; None if there is none."""
    if refusal.kind is RefusalKind.TOO_LARGE:
        return shortened(message, most=refusal.most or len(message.body) // 2)
    if refusal.kind is RefusalKind.UNSENDABLE and trace_of(message.headers):
        headers = {name: v for name, v in message.headers.items() if name not in TRACE_HEADERS}
        return replace(message, headers=headers)
    return None


def _facts(message: Outgoing) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "exchange": message.exchange,
        "routing_key": message.routing_key,
        "bytes": len(message.body),
    }


def _fault(letter: Letter) -> object:
    """Return what is at fault: the destination, or this one message."""
    refusal, message = letter.refusal, letter.message
    if refusal is not None and refusal.kind in {RefusalKind.MISSING, RefusalKind.NOT_STORED}:
        outcome = message.routing_key if message.exchange == EXCHANGE_NAME else ""
        return refusal.kind, message.exchange, outcome
    return letter.key
