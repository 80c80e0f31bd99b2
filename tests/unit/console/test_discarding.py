"""What takes away or asks first: `dead-letters discard` and `cancel`, on a broker in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from config.names import DEAD_LETTERS_QUEUE, EXCHANGE_NAME, FAILED_KEY, JOBS_QUEUE
from console.admin.records import read_record
from tasks.messages.outgoing import Outgoing
from tests.jobs import ACCOUNT, job_document
from tests.memory_servers import MemoryServers, memory_servers

KEPT = Path("discarded-dead-letters.jsonl")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryServers]:
    """Give a dead-letter queue with two rejected jobs, and an expired one between them."""
    with memory_servers(monkeypatch) as found:
        letters = [letter(1, "rejected"), letter(2, "expired"), letter(3, "rejected")]
        with found.broker.connection() as connection:
            found.broker.declare(connection, [JOBS_QUEUE])
            found.broker.producer(connection).publish(
                [
                    Outgoing(
                        exchange=EXCHANGE_NAME,
                        routing_key=FAILED_KEY,
                        body=json.dumps(one).encode(),
                        message_id=one["job"]["jobId"],
                    )
                    for one in letters
                ]
            )
        yield found


def letter(number: int, code: str) -> dict[str, Any]:
    """Make a dead letter."""
    return {
        "job": job_document(number),
        "status": "failed",
        "error": {"code": code, "message": "because", "attempts": []},
        "failedAt": "2026-01-31T09:00:06.510Z",
    }


def left(servers: MemoryServers) -> list[str]:
    """Return the jobs whose dead letters are on the queue."""
    seen = servers.broker.look(DEAD_LETTERS_QUEUE)
    return sorted(json.loads(one.body)["job"]["jobId"] for one in seen)


def kept() -> list[dict[str, Any]]:
    """Return what the file holds."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()]


def answer(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Have somebody sit there who says this."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("click.confirm", lambda *_, **__: said == "y")


def test_what_is_discarded_is_in_a_file(servers: MemoryServers) -> None:
    """Whole, and one run after the other; the rest stays where it was."""
    result = servers.run("dead-letters", "discard", "--code", "expired", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"discarded 1 dead letter, written to {KEPT}\n"
    assert left(servers) == ["job-1", "job-3"]
    result = servers.run("dead-letters", "discard", "job-3", "job-7", "--yes")
    assert (result.exit_code, result.stderr) == (
        1,
        "overture: there is no dead letter for job job-7\n",
    )
    assert left(servers) == ["job-1"]
    assert kept() == [letter(2, "expired"), letter(3, "rejected")]
    servers.run("dead-letters", "discard", "--all", "--yes")
    assert (left(servers), len(kept())) == ([], 3)
    result = servers.run("dead-letters", "discard", "--all")
    assert (result.exit_code, result.stdout) == (0, "there is nothing to discard\n")


@pytest.mark.parametrize(("said", "remain"), [("y", ["job-2"]), ("n", ["job-1", "job-2", "job-3"])])
def test_it_asks_first(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch, said: str, remain: list[str]
) -> None:
    """A no changes nothing, and writes nothing."""
    answer(monkeypatch, said)
    result = servers.run("dead-letters", "discard", "--code", "rejected")
    assert (result.exit_code, left(servers)) == (int(said == "n"), remain)
    assert KEPT.exists() == (said == "y")


def test_nobody_is_taken_for_a_yes(servers: MemoryServers, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script has to say --yes."""
    monkeypatch.setattr("sys.stdin", None)
    result = servers.run("dead-letters", "discard", "--all")
    assert (result.exit_code, len(left(servers))) == (1, 3)
    assert result.stderr == "overture: nobody is there to be asked; give --yes to go on\n"


def test_what_cannot_be_written_down_stays(servers: MemoryServers) -> None:
    """In the queue, and the reason is said."""
    result = servers.run("dead-letters", "discard", "--all", "--yes", "--output", "/dev/full")
    assert (result.exit_code, len(left(servers))) == (1, 3)
    assert result.stderr == "overture: /dev/full cannot be written: No space left on device\n"


@pytest.mark.parametrize("verb", ["list", "export", "replay", "discard"])
def test_an_unknown_code_is_a_mistake(servers: MemoryServers, verb: str) -> None:
    """It would match nothing, and look as if there were nothing."""
    result = servers.run("dead-letters", verb, "--code", "indoubt")
    assert result.exit_code == 2
    assert "'indoubt' is not one of 'malformed_message', " in result.stderr


@pytest.mark.parametrize("verb", ["list", "export"])
@pytest.mark.parametrize("codes", [["rejected", "expired"], ["conflict"]])
def test_a_list_is_one_json_document(
    servers: MemoryServers, tmp_path: Path, verb: str, codes: list[str]
) -> None:
    """On standard output or in a file; empty, too."""
    found = []
    for code in codes:
        file = tmp_path / code
        arguments = ["dead-letters", verb, "--code", code, "--format", "json"]
        result = servers.run(*arguments)
        assert servers.run(*arguments, "--output", str(file)).stdout == ""
        assert file.read_text() == result.stdout
        found += [one["error"]["code"] for one in json.loads(result.stdout)]
    assert found == [code for code in ("rejected", "rejected", "expired") if code in codes]


@pytest.mark.parametrize("said", ["y", "n"])
def test_cancelling_asks_who_sits_there(
    servers: MemoryServers, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    """A script is not asked, as it could not be before; --yes does the same for people."""
    answer(monkeypatch, said)
    result = servers.run("cancel", "job-9")
    assert result.exit_code == int(said == "n")
    record = read_record(servers.store, ACCOUNT, "job-9")
    assert (record is not None) == (said == "y")
    assert servers.run("cancel", "job-8", "--yes").exit_code == 0


def test_the_brokers_url_is_printed(servers: MemoryServers) -> None:
    """On a line of its own, for a producer's environment."""
    assert servers.run("broker-url").stdout == f"{servers.broker.url}\n"
