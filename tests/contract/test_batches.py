"""The store's scripts in batches, in memory and on a real Valkey that comes and goes."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis import Redis

from tasks.store import connection
from tasks.store.answers import Go
from tasks.store.batches import ScriptBatches
from tasks.store.connection import Keys, StoreError, Together, connect, together
from tasks.store.ledger import Ceiling, Ledger
from tasks.store.replies import classify
from tests.jobs import ACCOUNT, make_job
from tests.memory_store import ON_EITHER_STORE
from tests.redis_server import RedisServer, free_port

ADD = "return redis.call('INCRBY', KEYS[1], ARGV[1])"
FAIL = "return redis.call('INCRBY', KEYS[1], 'no number')"
ANSWER_SECONDS = 20.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """Start a Valkey of this test's own."""
    server = RedisServer(tmp_path).start()
    yield server
    server.stop()


@ON_EITHER_STORE
def test_every_thread_gets_its_own_answer(store: Redis) -> None:
    """Many threads at once, each with a key of its own; one of many calls may fail."""
    batches = ScriptBatches(store)
    add, fail = store.register_script(ADD), store.register_script(FAIL)

    def work(number: int) -> list[int]:
        answers = []
        for step in range(1, 21):
            answers.append(batches.call(add, [f"key-{number}"], [step]))
            with pytest.raises(StoreError, match="not an integer"):
                batches.call(fail, [f"key-{number}"], [])
        return answers

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(work, range(16)))
    assert answers == [[step * (step + 1) // 2 for step in range(1, 21)]] * 16


@ON_EITHER_STORE
def test_a_store_that_forgot_the_scripts_is_told_again(store: Redis) -> None:
    """As after a restart or SCRIPT FLUSH, and between two calls of a batch as well."""
    batches, add = ScriptBatches(store), store.register_script(ADD)
    assert batches.call(add, ["key"], [1]) == 1
    store.script_flush()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: batches.call(add, ["key"], [1]), range(8)))
    assert store.get("key") == b"9"


def test_posts_outlast_the_store(server: RedisServer) -> None:
    """A call fails at once while the store is away; what was posted is done when it is back.

    Its arguments are made once, however often it is tried.
    """
    store = connect(server.url)
    batches, add = ScriptBatches(store), store.register_script(ADD)
    assert batches.call(add, ["key"], [1]) == 1
    server.kill()
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    made = 0

    def ten() -> list[int]:
        nonlocal made
        made += 1
        return [10]

    for _ in range(3):
        batches.post(add, ["key"], ten, answers.put)
    with pytest.raises(StoreError):
        batches.call(add, ["key"], [1])
    server.start()
    assert sorted(answers.get(timeout=ANSWER_SECONDS) for _ in range(3)) == [11, 21, 31]
    assert made == 3
    assert batches.call(add, ["key"], [1]) == 32


MARK = (
    "redis.call('RPUSH', '{t}calls', #KEYS) "
    "for _, key in ipairs(KEYS) do redis.call('INCR', key) end"
)


@ON_EITHER_STORE
def test_keys_are_gathered_while_the_store_is_busy(store: Redis) -> None:
    """Each is there once; those of a group that wait go out as one call, and of no other group."""
    batches, mark = ScriptBatches(store), store.register_script(MARK)
    add = store.register_script(ADD)
    held, entered = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        entered.set()
        held.wait(ANSWER_SECONDS)

    batches.post(add, ["{t}other"], [1], hold)
    assert entered.wait(ANSWER_SECONDS)
    for number in range(300):
        batches.gather(mark, f"{{t}}key-{number}", group="a")
    batches.gather(mark, "{t}key-of-b", group="b")
    held.set()
    assert batches.call(add, ["{t}other"], [1]) == 2
    batches.gather(mark, "{t}key-0", group="a")
    assert batches.call(add, ["{t}other"], [1]) == 3
    assert store.lrange("{t}calls", 0, -1) == [b"300", b"1", b"1"]
    assert [store.get(key) for key in ("{t}key-0", "{t}key-299", "{t}key-of-b")] == [
        b"2",
        b"1",
        b"1",
    ]


def test_what_was_gathered_outlasts_the_store(server: RedisServer) -> None:
    """Like any other post."""
    store = connect(server.url)
    batches, mark = ScriptBatches(store), store.register_script(MARK)
    server.kill()
    for number in range(3):
        batches.gather(mark, f"key-{number}", group="a")
    told = threading.Event()
    batches.post(mark, [], [], lambda _: told.set())
    server.start()
    assert told.wait(ANSWER_SECONDS)
    assert [store.get(f"key-{number}") for number in range(3)] == [b"1"] * 3


def test_a_store_that_became_a_replica_is_looked_up_anew(server: RedisServer) -> None:
    """After a failover the same address may lead elsewhere: a new connection finds out."""
    watching = server.client()
    before = {client["id"] for client in watching.client_list()}
    batches, add = ScriptBatches(connect(server.url)), watching.register_script(ADD)
    assert batches.call(add, ["key"], [1]) == 1
    ours = {client["id"] for client in watching.client_list()} - before
    watching.replicaof("127.0.0.1", free_port())
    with pytest.raises(StoreError, match="read only"):
        batches.call(add, ["key"], [1])
    watching.replicaof("NO", "ONE")
    assert batches.call(add, ["key"], [1]) == 2
    assert ours
    assert not ours & {client["id"] for client in watching.client_list()}


@ON_EITHER_STORE
def test_an_answer_that_cannot_be_taken_harms_nobody_else(store: Redis) -> None:
    """The thread that serves everybody goes on."""
    batches, add = ScriptBatches(store), store.register_script(ADD)

    def fails(_: object) -> None:
        raise ValueError("not taken")

    batches.post(add, ["key"], [1], fails)
    assert batches.call(add, ["key"], [1]) == 2


@ON_EITHER_STORE
def test_a_call_that_cannot_be_made_harms_nobody_else(store: Redis) -> None:
    """The error is its answer, and nothing is called, nor tried again; others go on."""
    batches, add = ScriptBatches(store), store.register_script(ADD)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def fails() -> list[Any]:
        raise ValueError("not made")

    with structlog.testing.capture_logs() as lines:
        batches.post(add, ["key"], fails, answers.put)
        batches.post(add, ["key"], lambda: [1], answers.put)
        assert isinstance(answers.get(timeout=ANSWER_SECONDS), ValueError)
        assert answers.get(timeout=ANSWER_SECONDS) == 1
        with pytest.raises(ValueError, match="not made"):
            batches.call(add, ["key"], fails)
    assert [line["event"] for line in lines] == ["store.call_not_made"] * 2


@ON_EITHER_STORE
def test_a_script_whose_own_error_it_is_holds_up_nobody(
    store: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again a few times, then whoever posted it gets the error; others go on."""
    monkeypatch.setattr("tasks.store.batches.OWN_REPEATS", 2)
    monkeypatch.setattr("tasks.store.batches.REPEAT_SECONDS", 0.05)
    batches = ScriptBatches(store)
    add, fail = store.register_script(ADD), store.register_script(FAIL)
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with structlog.testing.capture_logs() as lines:
        batches.post(fail, ["key"], [], answers.put)
        batches.post(add, ["key"], [1], answers.put)
        assert answers.get(timeout=ANSWER_SECONDS) == 1
        assert isinstance(answers.get(timeout=ANSWER_SECONDS), StoreError)
    assert [line["event"] for line in lines] == ["store.failed"] * 3
    assert {line["kind"] for line in lines} == {"ours"}


PROBE = "return { KEYS[1] or '', KEYS[2] or '', ARGV[1] or '', #KEYS, #ARGV }"


@pytest.fixture
def probe(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Together:
    """Give a script that tells what it was called with; its calls come together."""
    folder = tmp_path / "lua"
    shutil.copytree(connection.SCRIPTS, folder)
    (folder / "probe.lua").write_text(PROBE)
    monkeypatch.setattr(connection, "SCRIPTS", folder)
    return together(store, "probe")


@ON_EITHER_STORE
def test_calls_that_are_one_script_have_their_own_keys_and_arguments(
    store: Redis, probe: Together
) -> None:
    """However many each has; those of other accounts are other scripts."""
    batches = ScriptBatches(store)

    def ask(number: int) -> bool:
        prefix = f"{{account-{number % 2}}}"
        keys = [f"{prefix}:{number}:{at}" for at in range(1 + number % 2)]
        arguments = [f"{number} 9 9"] * (number % 3)
        found = batches.call(probe, keys, arguments)
        second = keys[1] if len(keys) > 1 else ""
        words = [part.decode() for part in found[:3]]
        counts = [len(keys), len(arguments)]
        return words == [keys[0], second, arguments[0] if arguments else ""] and counts == found[3:]

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(300)))


@ON_EITHER_STORE
def test_a_call_that_fails_harms_none_that_it_is_one_script_with(store: Redis) -> None:
    """Foreign data under the key of one job: the others are begun."""
    ledger = Ledger(
        store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True
    )
    ceiling, foreign = Ceiling(rate=1e6, in_flight=1000), 7
    store.lpush(Keys(ACCOUNT).job(make_job(foreign).job_id), "foreign")

    def begin(number: int) -> object:
        job = make_job(number)
        try:
            begun = ledger.begin(job, f"w/{number}", ceiling=ceiling, purpose="send", patience=9)
        except StoreError as error:
            return classify(error).kind
        return type(begun)

    with ThreadPoolExecutor(30) as pool:
        found = list(pool.map(begin, range(30)))
    assert found.pop(foreign) == "ours"
    assert set(found) == {Go}
    assert store.zcard(Keys(ACCOUNT).in_flight) == len(found)


def test_a_full_store_begins_nothing(server: RedisServer) -> None:
    """However many ask at once; nothing is sent that could not be written down."""
    store = connect(server.url)
    ledger = Ledger(
        store, dedupe_seconds=3600, flight_seconds=35, max_losses=1, repeat_unknown=True
    )
    ceiling = Ceiling(rate=1e6, in_flight=1000)

    def begin(number: int) -> object:
        job = make_job(number)
        return ledger.begin(job, f"w/{number}", ceiling=ceiling, purpose="send", patience=9)

    def refused(number: int) -> bool:
        with pytest.raises(StoreError, match="maxmemory") as error:
            begin(number)
        return classify(error.value).kind == "not yet"

    assert isinstance(begin(0), Go)
    store.config_set("maxmemory", 1)
    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(refused, range(1, 33)))
    store.config_set("maxmemory", 0)
    assert store.zcard(Keys(ACCOUNT).in_flight) == 1
    assert not store.exists(
        *(Keys(ACCOUNT).job(make_job(number).job_id) for number in range(1, 33))
    )
    assert isinstance(begin(1), Go)
