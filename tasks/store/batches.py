"""The store's scripts, called by many threads at once: what is waiting goes out together.

One thread and one connection serve them all. Calls that come while an exchange is under way make up
the next one, so that under load the store reads, and writes to its disk, once for many jobs.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog
from redis import Redis
from redis.commands.core import Script
from redis.exceptions import NoScriptError

from tasks.store.connection import StoreError
from tasks.store.replies import classify, report

BATCH_CALLS: Final = 100
# When a call that has to succeed is repeated, in seconds.
REPEAT_SECONDS: Final = 0.5
# How often a call is repeated whose own error it is: what it stumbles over may be gone by then.
OWN_REPEATS: Final = 20

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Call:
    """A script, its keys and arguments, and who gets its answer, or an error."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Any]
    answered: Callable[[Any], object]
    until_it_succeeds: bool
    group: str = ""
    failures: int = 0

    def command(self, name: str, script: str) -> tuple[Any, ...]:
        return (name, script, len(self.keys), *self.keys, *self.arguments)


class ScriptBatches:
    """Calls scripts for any thread. Its own thread starts with the first call."""

    def __init__(self, store: Redis) -> None:
        self._pool = store.connection_pool
        self._connection: Any = None
        self._waiting: queue.SimpleQueue[_Call] = queue.SimpleQueue()
        self._again: list[_Call] = []
        self._again_at = 0.0
        self._is_started = threading.Lock()
        self._gathering: dict[str, list[str]] = {}
        self._gather_lock = threading.Lock()

    def call(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Call a script and wait for its answer. Raises StoreError."""
        answers: list[Any] = []
        answered = threading.Lock()
        answered.acquire()

        def take(answer: Any) -> None:
            answers.append(answer)
            answered.release()

        self._put(_Call(script, keys, arguments, take, until_it_succeeds=False))
        answered.acquire()
        (answer,) = answers
        if isinstance(answer, Exception):
            raise answer
        return answer

    def post(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[Any],
        answered: Callable[[Any], object],
    ) -> None:
        """Have a script called until the store answers it; only for what may run twice.

        An error that is the script's own is an answer, too, once it has come OWN_REPEATS times.
        `answered` is called in the thread that serves everybody, so it has to be quick.
        """
        self._put(_Call(script, keys, arguments, answered, until_it_succeeds=True))

    def gather(self, script: Script, key: str, *, group: str) -> None:
        """Have a script called with a key, and with the others that its group has by then.

        Each group has one script, which takes any number of keys; else as `post`, but that nobody
        gets the answer.
        """
        with self._gather_lock:
            keys = self._gathering.get(group)
            if keys is not None:
                keys.append(key)
                return
            keys = self._gathering[group] = [key]
        call = _Call(script, keys, (), lambda _: None, until_it_succeeds=True, group=group)
        self._put(call)

    def _put(self, call: _Call) -> None:
        self._waiting.put(call)
        if self._is_started.acquire(blocking=False):
            threading.Thread(target=self._run, name="scripts", daemon=True).start()

    def _run(self) -> None:
        while True:
            calls = self._take()
            try:
                answers = self._exchange(calls)
            except Exception as error:  # noqa: BLE001 - without this thread nothing goes on
                self._disconnect()
                answers = [error if isinstance(error, StoreError) else StoreError(error)]
                answers *= len(calls)
            for call, answer in zip(calls, answers, strict=True):
                self._answer(call, answer)

    def _take(self) -> list[_Call]:
        """Wait for calls; return those that are there, or whose repetition is due."""
        calls: list[_Call] = []
        seconds = max(0.0, self._again_at - time.monotonic()) if self._again else None
        try:
            calls.append(self._waiting.get(timeout=seconds))
            while len(calls) < BATCH_CALLS:
                calls.append(self._waiting.get_nowait())
        except queue.Empty:
            pass
        for call in calls:
            if call.group:
                with self._gather_lock:
                    del self._gathering[call.group]
        if self._again and time.monotonic() >= self._again_at:
            calls, self._again = self._again + calls, []
        return calls

    def _exchange(self, calls: list[_Call]) -> list[Any]:
        answers = self._send([call.command("EVALSHA", call.script.sha) for call in calls])
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            in_full = [calls[at] for at in unknown]
            late = self._send([call.command("EVAL", str(call.script.script)) for call in in_full])
            for at, answer in zip(unknown, late, strict=True):
                answers[at] = answer
        return answers

    def _send(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send commands in one write; errors that are answers stand among the answers.

        Raises what says that the connection is no good.
        """
        if self._connection is None:
            self._connection = self._pool.get_connection()
        connection = self._connection
        connection.send_packed_command(connection.pack_commands(commands))
        answers: list[Any] = []
        is_gone = False
        for _ in commands:
            try:
                answers.append(connection.read_response())
            except StoreError as error:
                if not connection.is_connected:
                    raise
                answers.append(error)
                # A demoted server stays one; its address may lead to the primary now.
                is_gone = is_gone or classify(error).kind == "gone"
        if is_gone:
            self._disconnect()
            # The pool's other connections are as old as this one.
            self._pool.disconnect(inuse_connections=False)
        return answers

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)

    def _answer(self, call: _Call, answer: Any) -> None:
        if call.until_it_succeeds and isinstance(answer, StoreError):
            trouble = classify(answer)
            is_own = trouble.kind == "ours"
            if is_own or not self._again:
                report(trouble, retry_in=REPEAT_SECONDS)
            if call.failures < OWN_REPEATS:
                self._again.append(replace(call, failures=call.failures + is_own))
                self._again_at = time.monotonic() + REPEAT_SECONDS
                return
        try:
            call.answered(answer)
        except Exception:
            log.exception("store.answer_not_taken")
