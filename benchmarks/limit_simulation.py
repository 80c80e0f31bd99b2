"""A discrete-event model of a pool at a limit.

The limiter in it is any that can be asked; the time, the workers and LivePerson are made up, so
that a minute takes seconds.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis import Redis

from benchmarks.limit_servers import Server
from tasks.store.connection import LIMITER, sources

# Long enough ago that nothing the limiter remembers is in the future, ms.
EPOCH_MS = 1.7e12
POLL_SECONDS = 0.02
AHEAD_SECONDS = 0.25
MAX_SLEEP_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
FLIGHT_MS = 40_000
NOTE_SECONDS = 0.25

ASK = """
local now = tonumber(ARGV[1])
local a = recall(KEYS[1], now)
give(a, tonumber(ARGV[2]), tonumber(ARGV[3]))
local wait = permit(a, KEYS[2], now, tonumber(ARGV[4]), 1000)
local record = not wait and depart(a, KEYS[2], now, ARGV[5], tonumber(ARGV[6]), ARGV[7] == '1')
save(a, KEYS[1])
return wait and { tostring(wait[1]), tostring(wait[2]) } or record
"""
ANSWER = """
local now = tonumber(ARGV[1])
local a = recall(KEYS[1], now)
redis.call('ZREM', KEYS[2], ARGV[2])
if ARGV[3] == 'accepted' then
  accepted(a, now, ARGV[4])
else
  refused(a, now, ARGV[4], tonumber(ARGV[5]))
end
save(a, KEYS[1])
return { tostring(rate_in_force(a)), tostring(width_in_force(a)) }
"""


class Limiter(Protocol):
    """What limits an account in the model; times are seconds of the model's clock."""

    def ask(self, now: float, owner: int, slot: float, *, again: bool) -> tuple[float, float] | str:
        """Ask for a permit: its record, or (seconds to wait, booked slot)."""

    def answer(
        self, now: float, owner: int, record: str, *, accepted: bool, retry_after: float
    ) -> tuple[float, float]:
        """Tell what LivePerson answered; returns rate and width in force."""


class OurLimiter:
    """The product's limiter of one account: its Lua scripts in a real store."""

    def __init__(self, store: Redis, *, rate: float, in_flight: int) -> None:
        text = "\n".join(sources(*LIMITER))
        self._ask = store.register_script(text + ASK)
        self._answer = store.register_script(text + ANSWER)
        self._ceiling = (rate, in_flight)
        self._keys = [f"model:{{{id(self)}}}:limit", f"model:{{{id(self)}}}:in-flight"]
        store.delete(*self._keys)

    def ask(self, now: float, owner: int, slot: float, *, again: bool) -> tuple[float, float] | str:
        """Ask for a permit: its record, or (seconds to wait, booked slot)."""
        at = EPOCH_MS + now * 1000
        given: list[float] = [at, *self._ceiling, slot, owner, FLIGHT_MS, int(again)]
        answer: Any = self._ask(self._keys, given)
        if isinstance(answer, bytes):
            return answer.decode()
        return float(answer[0]) / 1000, float(answer[1])

    def answer(
        self, now: float, owner: int, record: str, *, accepted: bool, retry_after: float
    ) -> tuple[float, float]:
        """Tell what LivePerson answered; returns rate and width in force."""
        at, what = EPOCH_MS + now * 1000, "accepted" if accepted else "refused"
        told: list[Any] = [at, owner, what, record, retry_after * 1000]
        rate, width = self._answer(self._keys, told)
        return float(rate), float(width)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Workers and the way to LivePerson; times in seconds.

    An answer takes `latency`, give or take the share `jitter`; a 429 `refusal`, and says to come
    back after `retry_after`. Waking a thread takes `overhead` on average. `demand` is jobs a second
    at a time; None is an endless backlog. The share `strays` of the jobs is refused `stray_times`
    times at whatever pace. A call takes a worker `work` of its processor, one after the other.
    """

    workers: int = 2
    slots: int = 50
    latency: float = 0.1
    jitter: float = 0.2
    refusal: float = 0.004
    retry_after: float = 0.0
    overhead: float = 0.0015
    work: float = 0.0
    demand: Callable[[float], float] | None = None
    strays: float = 0.0
    stray_times: int = 1


@dataclass(slots=True)
class Job:
    """A job: how often it is still refused whatever the pace, and was refused in a row."""

    strays: int
    row: int = 0

    def pause(self) -> float:
        """Return how long it waits after a 429, as tasks/retry.py has it, in seconds."""
        return min(2.0 ** (self.row - 1), MAX_PAUSE_SECONDS)


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
        self._works_until = [0.0] * pool.workers
        # Who waits for a request to end has a number, so that it asks once: then, or in due course.
        self._polls: list[tuple[int, Job] | None] = [None] * pool.workers
        self._ready: deque[Job] = deque()
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

    def _job(self) -> Job:
        is_stray = self._pool.strays and self._random.random() < self._pool.strays
        return Job(self._pool.stray_times if is_stray else 0)

    def _enqueue(self, now: float) -> None:
        assert self._pool.demand is not None
        self._put(now, self._job())
        self._at(now + self._random.expovariate(self._pool.demand(now)), self._enqueue)

    def _put(self, now: float, job: Job) -> None:
        """Have a job wait for a slot of any worker."""
        self._ready.append(job)
        for worker in self._random.sample(range(self._pool.workers), self._pool.workers):
            self._next(now, worker)

    def _next(self, now: float, worker: int) -> None:
        """Let a worker's next job ask; one thread of a worker asks at a time."""
        waiting = bool(self._ready) or self._pool.demand is None
        if waiting and not self._asks[worker] and self._free[worker] > 0:
            job = self._ready.popleft() if self._ready else self._job()
            self._free[worker] -= 1
            self._asks[worker] = True
            self._at(now + self._wake(), self._ask, worker, job)

    def _ask(self, now: float, worker: int, job: Job) -> None:
        call = next(self._numbers)
        answer = self._limiter.ask(now, call, 0, again=job.row > 0)
        if isinstance(answer, str):
            self._asks[worker] = False
            self._leave(now, worker, call, answer, job)
            self._next(now, worker)
            return
        wait, booked = answer
        if booked:
            # Those with a slot that is near wait by themselves, and let the next one ask.
            self._at(now + max(0, wait - AHEAD_SECONDS), self._let_next_ask, worker)
            self._at(now + wait + self._wake(), self._claim, worker, booked, job)
        elif wait:
            pause = min(wait, MAX_SLEEP_SECONDS)
            self._at(now + pause + self._wake(), self._ask, worker, job)
        else:
            self._polls[worker] = (call, job)
            self._at(now + POLL_SECONDS, self._poll, worker, call)

    def _poll(self, now: float, worker: int, number: int) -> None:
        waiting = self._polls[worker]
        if waiting is not None and waiting[0] == number:
            self._polls[worker] = None
            self._at(now + self._wake(), self._ask, worker, waiting[1])

    def _let_next_ask(self, now: float, worker: int) -> None:
        self._asks[worker] = False
        self._next(now, worker)

    def _claim(self, now: float, worker: int, slot: float, job: Job) -> None:
        """Ask again when the booked slot is due; without it, stand in line again."""
        call = next(self._numbers)
        answer = self._limiter.ask(now, call, slot, again=job.row > 0)
        if isinstance(answer, str):
            self._leave(now, worker, call, answer, job)
        elif answer[1]:
            self._at(now + answer[0] + self._wake(), self._claim, worker, answer[1], job)
        else:
            self._free[worker] += 1
            self._ready.appendleft(job)
            self._next(now, worker)

    def _leave(self, now: float, worker: int, call: int, record: str, job: Job) -> None:
        """Send a call, once the worker has the processor for it."""
        self._works_until[worker] = max(now, self._works_until[worker]) + self._pool.work
        at = self._works_until[worker] + 0.001
        self._at(at, self._arrive, worker, call, record, job)

    def _arrive(self, now: float, worker: int, call: int, record: str, job: Job) -> None:
        pool, server = self._pool, self._server
        accepted = job.strays == 0 and server.enter(now)
        job.strays = max(0, job.strays - 1)
        counts = self._run.accepted if accepted else self._run.refused
        counts[int(now)] += 1
        takes = pool.refusal
        if accepted:
            takes = pool.latency * self._random.uniform(1 - pool.jitter, 1 + pool.jitter)
        self._at(now + takes, self._answer, worker, call, record, job, server if accepted else None)

    def _answer(
        self, now: float, worker: int, call: int, record: str, job: Job, server: Server | None
    ) -> None:
        if server is not None:
            server.leave()
        later = now + self._wake()
        self._at(later, self._finish, worker, call, record, job, server is not None)

    def _finish(
        self,
        now: float,
        worker: int,
        call: int,
        record: str,
        job: Job,
        accepted: bool,  # noqa: FBT001 - called by the event loop alone
    ) -> None:
        retry_after = 0 if accepted else self._pool.retry_after
        rate, width = self._limiter.answer(
            now, call, record, accepted=accepted, retry_after=retry_after
        )
        if not self._run.rates or now > self._run.rates[-1][0] + NOTE_SECONDS:
            self._run.rates.append((now, rate))
            self._run.widths.append((now, width))
        if accepted:
            self._free[worker] += 1
        else:
            self._refused(now, worker, job)
        waiting = self._polls[worker]
        if waiting is not None:
            self._poll(now, worker, waiting[0])
        self._next(now, worker)

    def _refused(self, now: float, worker: int, job: Job) -> None:
        """Let a job wait: for a second in its slot, longer in the broker."""
        job.row += 1
        pause = max(job.pause(), self._pool.retry_after)
        if pause <= 1:
            self._at(now + pause, self._wait_no_longer, worker, job)
        else:
            self._free[worker] += 1
            self._at(now + pause, self._put, job)

    def _wait_no_longer(self, now: float, worker: int, job: Job) -> None:
        self._free[worker] += 1
        self._put(now, job)
