"""A discrete-event model of a pool at a limit.

The limiter in it is the real one, its Lua scripts in a real store; only the time, the workers and
LivePerson are made up, so that a minute takes seconds.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis import Redis

from benchmarks.limit_servers import Server
from worker.store.connection import LIMITER, SCRIPTS

# Long enough ago that nothing the limiter remembers is in the future, ms.
EPOCH_MS = 1.7e12
POLL_SECONDS = 0.02
AHEAD_SECONDS = 0.1
LONGEST_SLEEP_SECONDS = 1.0
FLIGHT_MS = 40_000
LOOK_SECONDS = 0.25

ASK = """
local a, now = recall(KEYS[1], tonumber(ARGV[1])), tonumber(ARGV[1])
give(a, tonumber(ARGV[2]), tonumber(ARGV[3]))
local wait = permit(a, KEYS[2], now, tonumber(ARGV[4]), 1e6)
local record = not wait and depart(a, KEYS[2], now, ARGV[5], tonumber(ARGV[6]))
save(a, KEYS[1])
return wait and { tostring(wait[1]), tostring(wait[2]) } or record
"""
ANSWER = """
local a, now = recall(KEYS[1], tonumber(ARGV[1])), tonumber(ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
if ARGV[3] == 'accepted' then accepted(a, now) else refused(a, now, ARGV[4], 0) end
save(a, KEYS[1])
return { tostring(rate_in_force(a)), tostring(width_in_force(a)) }
"""


class Limiter:
    """The limiter of one account, on the model's clock."""

    def __init__(self, store: Redis, *, rate: float, in_flight: int) -> None:
        text = "\n".join((SCRIPTS / f"{name}.lua").read_text("utf-8") for name in LIMITER)
        self._ask = store.register_script(text + ASK)
        self._answer = store.register_script(text + ANSWER)
        self._ceiling = (rate, in_flight)
        self._keys = [f"model:{{{id(self)}}}:limit", f"model:{{{id(self)}}}:in-flight"]
        store.delete(*self._keys)

    def ask(self, now: float, owner: int, slot: float) -> tuple[float, float] | str:
        """Ask for a permit: its record, or (seconds to wait, booked slot)."""
        at = EPOCH_MS + now * 1000
        answer: Any = self._ask(self._keys, [at, *self._ceiling, slot, owner, FLIGHT_MS])
        if isinstance(answer, bytes):
            return answer.decode()
        return float(answer[0]) / 1000, float(answer[1])

    def answer(self, now: float, owner: int, record: str, *, accepted: bool) -> tuple[float, float]:
        """Tell what LivePerson answered; returns rate and width in force."""
        at, what = EPOCH_MS + now * 1000, "accepted" if accepted else "refused"
        rate, width = self._answer(self._keys, [at, owner, what, record])
        return float(rate), float(width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Workers and the way to LivePerson; times in seconds.

    An answer takes `latency`, give or take the share `jitter`; a 429 `refusal`. Waking a thread
    takes `overhead` on average. `demand` is jobs a second at a time; None is an endless backlog.
    """

    workers: int = 2
    slots: int = 50
    latency: float = 0.1
    jitter: float = 0.2
    refusal: float = 0.004
    overhead: float = 0.0015
    demand: Callable[[float], float] | None = None


@dataclass(slots=True)
class Run:
    """What LivePerson saw in each second, and what the limiter had in force over time."""

    accepted: list[int]
    refused: list[int]
    rates: list[tuple[float, float]] = field(default_factory=list)
    widths: list[tuple[float, float]] = field(default_factory=list)

    def goodput(self, first: int, last: int) -> float:
        """Return accepted calls a second between two seconds."""
        return sum(self.accepted[first:last]) / (last - first)

    def refused_share(self, first: int, last: int) -> float:
        """Return the share of calls that were refused between two seconds."""
        refused = sum(self.refused[first:last])
        return refused / max(1, refused + sum(self.accepted[first:last]))


class Simulation:
    """One run. `changes` are (second, server) pairs: LivePerson's limit from then on."""

    def __init__(
        self,
        limiter: Limiter,
        server: Server,
        *,
        pool: Pool,
        seconds: int,
        changes: Sequence[tuple[float, Server]] = (),
        seed: int = 1,
    ) -> None:
        self._limiter = limiter
        self._server = server
        self._pool = pool
        self._seconds = seconds
        self._random = random.Random(seed)
        self._numbers = itertools.count(1)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._free = [pool.slots] * pool.workers
        self._asks = [False] * pool.workers
        # Who waits for a request to end has a number, so that it asks once: then, or in due course.
        self._polls = [0] * pool.workers
        self._backlog = 0
        self._run = Run([0] * (seconds + 1), [0] * (seconds + 1))
        for second, changed in changes:
            self._at(second, self._change, changed)

    def run(self) -> Run:
        """Run it to its end."""
        if self._pool.demand is not None:
            self._at(0, self._enqueue)
        for worker in range(self._pool.workers):
            self._at(self._random.random() * 0.005, self._next, worker)
        while self._events and self._events[0][0] < self._seconds:
            now, _, event, arguments = heapq.heappop(self._events)
            event(now, *arguments)
        return self._run

    def _at(self, time: float, event: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event, arguments))

    def _wake(self) -> float:
        return self._pool.overhead * self._random.uniform(0.3, 2)

    def _change(self, now: float, server: Server) -> None:
        del now
        self._server = server

    def _enqueue(self, now: float) -> None:
        assert self._pool.demand is not None
        self._backlog += 1
        for worker in self._random.sample(range(self._pool.workers), self._pool.workers):
            self._next(now, worker)
        self._at(now + self._random.expovariate(self._pool.demand(now)), self._enqueue)

    def _next(self, now: float, worker: int) -> None:
        """Let a worker's next job ask; one thread of a worker asks at a time."""
        waiting = self._pool.demand is None or self._backlog > 0
        if waiting and not self._asks[worker] and self._free[worker] > 0:
            self._backlog -= 1
            self._asks[worker] = True
            self._at(now + self._wake(), self._ask, worker)

    def _ask(self, now: float, worker: int) -> None:
        call = next(self._numbers)
        answer = self._limiter.ask(now, call, 0)
        if isinstance(answer, str):
            self._free[worker] -= 1
            self._asks[worker] = False
            self._at(now + 0.001, self._arrive, worker, call, answer)
            self._next(now, worker)
            return
        wait, booked = answer
        if booked:
            # Those with a slot that is near wait by themselves, and let the next one ask.
            self._at(now + max(0, wait - AHEAD_SECONDS), self._let_next_ask, worker)
            self._free[worker] -= 1
            self._at(now + wait + self._wake(), self._claim, worker, booked)
        elif wait:
            pause = min(wait, LONGEST_SLEEP_SECONDS)
            self._at(now + pause + self._wake(), self._ask, worker)
        else:
            self._polls[worker] = call
            self._at(now + POLL_SECONDS, self._poll, worker, call)

    def _poll(self, now: float, worker: int, number: int) -> None:
        if number == self._polls[worker]:
            self._polls[worker] = 0
            self._at(now + self._wake(), self._ask, worker)

    def _let_next_ask(self, now: float, worker: int) -> None:
        self._asks[worker] = False
        self._next(now, worker)

    def _claim(self, now: float, worker: int, slot: float) -> None:
        """Ask again when the booked slot is due; without it, stand in line again."""
        self._free[worker] += 1
        call = next(self._numbers)
        answer = self._limiter.ask(now, call, slot)
        if isinstance(answer, str):
            self._free[worker] -= 1
            self._at(now + 0.001, self._arrive, worker, call, answer)
        elif answer[1]:
            self._free[worker] -= 1
            self._at(now + answer[0] + self._wake(), self._claim, worker, answer[1])
        else:
            self._backlog += 1
            self._next(now, worker)

    def _arrive(self, now: float, worker: int, call: int, record: str) -> None:
        pool, server = self._pool, self._server
        accepted = server.enter(now)
        counts = self._run.accepted if accepted else self._run.refused
        counts[int(now)] += 1
        takes = pool.refusal
        if accepted:
            takes = pool.latency * self._random.uniform(1 - pool.jitter, 1 + pool.jitter)
        self._at(now + takes, self._answer, worker, call, record, server if accepted else None)

    def _answer(
        self, now: float, worker: int, call: int, record: str, server: Server | None
    ) -> None:
        if server is not None:
            server.leave()
        later = now + self._wake()
        self._at(later, self._finish, worker, call, record, server is not None)

    def _finish(self, now: float, worker: int, call: int, record: str, accepted: bool) -> None:  # noqa: FBT001 - called by the event loop alone
        rate, width = self._limiter.answer(now, call, record, accepted=accepted)
        if not self._run.rates or now > self._run.rates[-1][0] + LOOK_SECONDS:
            self._run.rates.append((now, rate))
            self._run.widths.append((now, width))
        self._free[worker] += 1
        if not accepted:
            self._backlog += 1
        if self._polls[worker]:
            self._poll(now, worker, self._polls[worker])
        self._next(now, worker)
