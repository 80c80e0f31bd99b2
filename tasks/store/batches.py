"""Calls of the store's scripts by many threads, sent in batches.

One thread and one connection make all calls; in a cluster, one of each per node. Calls that come
during a round trip go into the next one, so that under load the store reads, and writes to its
disk, once for many jobs.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import structlog
from redis import ConnectionPool, Redis
from redis.commands.core import Script
from redis.exceptions import AskError, MovedError, NoScriptError

from tasks.store.cluster import look_again, place_finder, place_named_in
from tasks.store.connection import StoreError, Together, tag_of
from tasks.store.replies import NoReplicas, classify, report

BATCH_CALLS: Final = 100
# How many calls one script run may answer: while it runs, the store does nothing else.
MAX_TOGETHER: Final = 25
# When a failed call that must succeed is repeated.
REPEAT_SECONDS: Final = 0.5
# How often a call is repeated if its own script fails: the cause may be gone by then.
OWN_REPEATS: Final = 20
# How many redirections of a cluster a call follows in a row.
MAX_REDIRECTIONS: Final = 5
# How long replicas have to confirm a write; and how long the key written for that is kept.
COPY_MS: Final = 1000
COPIED_MS: Final = 60_000
ASKING: Final = ("ASKING",)

# A script's arguments, or the function that makes them, in the thread that makes all calls: to make
# those of several calls in a row takes less time than in the threads that they come from.
Arguments = Sequence[Any] | Callable[[], Sequence[Any]]

log = structlog.get_logger()


@dataclass(slots=True)
class _Call:
    """A script, its keys and arguments, and the callback for its answer, or an error.

    With `asking` it goes to a node that is just getting its keys. With `copied` it is answered once
    the replicas have confirmed what it wrote. `made` are the arguments themselves.
    """

    script: Script
    keys: Sequence[str]
    arguments: Arguments
    answered: Callable[[Any], object]
    until_it_succeeds: bool
    group: str = ""
    failures: int = 0
    redirections: int = 0
    asking: bool = False
    copied: bool = False
    made: Sequence[Any] = ()

    @property
    def company(self) -> tuple[object, ...]:
        """Calls with the same value can be one script run: those of one account."""
        if isinstance(self.script, Together) and self.keys and not self.asking:
            return (self.script.sha, self.copied, self.keys[0].partition("}")[0])
        return (id(self),)


@dataclass(frozen=True, slots=True)
class _Run:
    """One script run for one or several calls; `places` are their indexes in the batch."""

    places: Sequence[int]
    calls: Sequence[_Call]

    @property
    def script(self) -> Script:
        return self.calls[0].script

    @property
    def asking(self) -> bool:
        return self.calls[0].asking

    @property
    def copied(self) -> bool:
        return self.calls[0].copied

    def command(self, name: str, script: str) -> tuple[Any, ...]:
        keys = [key for call in self.calls for key in call.keys]
        arguments = [argument for call in self.calls for argument in call.made]
        if isinstance(self.script, Together):
            counts = " ".join(f"{len(call.keys)} {len(call.made)}" for call in self.calls)
            arguments.insert(0, counts)
        return (name, script, len(keys), *keys, *arguments)

    def answers(self, answer: Any) -> Sequence[Any]:
        """Return the answer for each call."""
        if isinstance(answer, StoreError):
            return [answer] * len(self.calls)
        return cast("Sequence[Any]", answer) if isinstance(self.script, Together) else [answer]


def _runs(calls: Sequence[_Call]) -> Iterator[_Run]:
    company: dict[tuple[object, ...], list[int]] = {}
    for place, call in enumerate(calls):
        places = company.setdefault(call.company, [])
        places.append(place)
        if len(places) == MAX_TOGETHER:
            yield _Run(places, [calls[at] for at in company.pop(call.company)])
    for places in company.values():
        yield _Run(places, [calls[at] for at in places])


class ScriptBatches:
    """Calls scripts for any thread. Its own threads start with the first call."""

    def __init__(self, store: Redis, *, copies: int = 0) -> None:
        """Have `copies` replicas confirm the writes of a call that is to be `copied`."""
        self._store = store
        self._place_of = place_finder(store)
        self._copies = copies
        self._lanes: dict[str, _Lane] = {}
        self._lane_lock = threading.Lock()
        self._gathering: dict[str, list[str]] = {}
        self._gather_lock = threading.Lock()

    def call(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Arguments,
        *,
        copied: bool = False,
    ) -> Any:
        """Call a script and wait for its answer, and for the replicas if it is to be `copied`.

        Raises StoreError; if too few replicas have confirmed, the write is not undone.
        """
        answers: list[Any] = []
        answered = threading.Lock()
        answered.acquire()

        def take(answer: Any) -> None:
            answers.append(answer)
            answered.release()

        copied = copied and self._copies > 0
        self._put(_Call(script, keys, arguments, take, until_it_succeeds=False, copied=copied))
        answered.acquire()
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Arguments,
        answered: Callable[[Any], object],
        *,
        copied: bool = False,
    ) -> None:
        """Call a script in the background until it succeeds; it must be idempotent.

        With `copied` the replicas must confirm, too. An error of the script's own is given up after
        OWN_REPEATS, and is the answer. `answered` is called in the thread that makes all calls, so
        it must be quick.
        """
        copied = copied and self._copies > 0
        self._put(_Call(script, keys, arguments, answered, until_it_succeeds=True, copied=copied))

    def gather(self, script: Script, key: str, *, group: str) -> None:
        """Call a script in the background for all keys of a group that come before it is sent.

        A group has one script, which takes any number of keys. Otherwise as `post`, without an
        answer.
        """
        with self._gather_lock:
            keys = self._gathering.get(group)
            if keys is not None:
                keys.append(key)
                return
            keys = self._gathering[group] = [key]
        call = _Call(script, keys, (), lambda _: None, until_it_succeeds=True, group=group)
        self._put(call)

    def flush(self, script: Script, *, seconds: float) -> None:
        """Wait until the calls before this one are answered, at most `seconds`.

        The script is called without keys, and must do nothing then.
        """
        deadline = time.monotonic() + seconds
        told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.put(_Call(script, (), (), told.put, until_it_succeeds=True))
        with contextlib.suppress(queue.Empty):
            for _ in lanes:
                told.get(timeout=max(0.0, deadline - time.monotonic()))

    def _put(self, call: _Call) -> None:
        self._lane(*self._place_of(call.keys)).put(call)

    def _lane(self, name: str, pool: ConnectionPool) -> _Lane:
        if (lane := self._lanes.get(name)) is not None:
            return lane
        with self._lane_lock:
            return self._lanes.setdefault(name, _Lane(name, pool, self, copies=self._copies))

    def seal(self, call: _Call) -> None:
        """End the gathering of keys for a call, which is sent now."""
        if call.group:
            with self._gather_lock:
                # A call that has moved to another server is sealed twice.
                self._gathering.pop(call.group, None)

    def belongs(self, call: _Call, lane: str) -> bool:
        """Tell whether a call still belongs to this lane; if not, put it into its new one."""
        if not call.keys or self._place_of(call.keys)[0] == lane:
            return True
        self._put(call)
        return False

    def redirect(self, call: _Call, answer: AskError) -> bool:
        """Send a call to the node that the cluster named; False after too many redirections.

        While its slot moves, a node may name the one that it moves to.
        """
        place = place_named_in(self._store, answer)
        if place is None or call.redirections >= MAX_REDIRECTIONS:
            return False
        asking = not isinstance(answer, MovedError)
        call = replace(call, redirections=call.redirections + 1, asking=asking)
        self._lane(*place).put(call)
        return True

    def look_again(self, lane: str) -> None:
        """Read the cluster's map of slots again, after an error of this lane's server."""
        look_again(self._store, failed=lane)


class _Lane:
    """The calls to one server, with their own thread and connection."""

    def __init__(
        self, name: str, pool: ConnectionPool, batches: ScriptBatches, *, copies: int
    ) -> None:
        self._name = name
        self._pool: Any = pool
        self._copies = copies
        self._batches = batches
        self._connection: Any = None
        self._waiting: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._again: list[_Call] = []
        self._again_at = 0.0
        self._is_started = threading.Lock()

    def put(self, call: _Call) -> None:
        """Add a call to the next batch. For any thread."""
        self._waiting.put(call)
        if self._is_started.acquire(blocking=False):
            name = f"scripts {self._name}".rstrip()
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def _run(self) -> None:
        while True:
            calls = [call for call in self._take() if self._is_made(call)]
            try:
                answers = self._exchange(calls)
            except Exception as error:  # noqa: BLE001 - without this thread no call is made
                self._disconnect()
                self._batches.look_again(self._name)
                answers = [error if isinstance(error, StoreError) else StoreError(error)]
                answers *= len(calls)
            for call, answer in zip(calls, answers, strict=True):
                self._answer(call, answer)

    def _take(self) -> list[_Call]:
        """Wait for calls; return the new ones, and those whose repetition is due."""
        calls: list[_Call] = []
        seconds = max(0.0, self._again_at - time.monotonic()) if self._again else None
        try:
            calls.append(self._waiting.get(timeout=seconds))
            while len(calls) < BATCH_CALLS:
                calls.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        for call in calls:
            self._batches.seal(call)
        if self._again and time.monotonic() >= self._again_at:
            again, self._again = self._again, []
            calls = [one for one in again if self._batches.belongs(one, self._name)] + calls
        return calls

    def _is_made(self, call: _Call) -> bool:
        """Make a call's arguments; if that fails, the error is its answer."""
        try:
            if callable(call.arguments):
                call.arguments = call.arguments()  # once, however often the call is repeated
            call.made = call.arguments
        except Exception as error:
            log.exception("store.call_not_made")
            self._take_answer(call, error)
            return False
        return True

    def _exchange(self, calls: list[_Call]) -> list[Any]:
        if not calls:
            return []
        runs = list(_runs(calls))
        said = self._send(runs, [run.command("EVALSHA", run.script.sha) for run in runs])
        unknown = [at for at, answer in enumerate(said) if isinstance(answer, NoScriptError)]
        if unknown:
            again = [runs[at] for at in unknown]
            in_full = [run.command("EVAL", str(run.script.script)) for run in again]
            for at, answer in zip(unknown, self._send(again, in_full), strict=True):
                said[at] = answer
        answers: list[Any] = [None] * len(calls)
        for run, answer in zip(runs, said, strict=True):
            for place, one in zip(run.places, run.answers(answer), strict=True):
                answers[place] = one
        # After a failover the address may lead to the new primary: connect anew.
        if any(isinstance(one, StoreError) and classify(one).kind == "gone" for one in answers):
            self._disconnect()
            # The pool's other connections are as old as this one.
            self._pool.disconnect(inuse_connections=False)
        return answers

    def _send(self, runs: list[_Run], commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one write, and return their answers; an error can be an answer.

        Raises an error after which the connection cannot be used.
        """
        if self._connection is None:
            self._connection = self._pool.get_connection()
        connection = self._connection
        sent = []
        for run, command in zip(runs, commands, strict=True):
            sent += [ASKING, command] if run.asking else [command]
        copied = [at for at, run in enumerate(runs) if run.copied]
        if copied:
            sent += self._wait_for_copies(runs[copied[0]].calls[0].keys[0])
        connection.send_packed_command(connection.pack_commands(sent))
        answers: list[Any] = []
        for command in sent:
            try:
                answer = connection.read_response()
            except StoreError as error:
                if not connection.is_connected:
                    raise
                answer = error
            if command is not ASKING:
                answers.append(answer)
        if copied:
            self._demand_copies(answers, copied)
        return answers

    def _wait_for_copies(self, key: str) -> list[tuple[Any, ...]]:
        """Return the commands that wait until the replicas have all writes so far.

        WAIT counts from the connection's last write, but a call's first write may have been on
        another connection. So a key is written here, after all of them.
        """
        mark = f"overture:{tag_of(key)}:copied"
        return [("SET", mark, "", "PX", COPIED_MS), ("WAIT", self._copies, COPY_MS)]

    def _demand_copies(self, answers: list[Any], copied: list[int]) -> None:
        """Remove the answers to these commands; too few replicas are an error of the calls."""
        found, _ = answers.pop(), answers.pop()
        missing = self._copies if isinstance(found, StoreError) else self._copies - int(found)
        if missing > 0:
            error = NoReplicas(f"{missing} more replicas must have it", status_code="NOREPLICAS")
            for at in copied:
                if not isinstance(answers[at], StoreError):
                    answers[at] = error

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)

    def _answer(self, call: _Call, answer: Any) -> None:
        if isinstance(answer, AskError) and self._batches.redirect(call, answer):
            return
        if call.until_it_succeeds and isinstance(answer, StoreError):
            trouble = classify(answer)
            is_own = trouble.kind == "ours"
            if is_own or not self._again:
                report(trouble, retry_in=REPEAT_SECONDS)
            if call.failures < OWN_REPEATS:
                failures = call.failures + is_own
                self._again.append(replace(call, failures=failures, redirections=0, asking=False))
                self._again_at = time.monotonic() + REPEAT_SECONDS
                return
        self._take_answer(call, answer)

    def _take_answer(self, call: _Call, answer: Any) -> None:
        try:
            call.answered(answer)
        except Exception:
            log.exception("store.answer_not_taken")
