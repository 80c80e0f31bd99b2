"""`overture dead-letters` against real brokers: looking takes nothing, replaying loses nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from redis import Redis

from config.names import DEAD_LETTERS_QUEUE, FAILED_KEY, JOBS_QUEUE
from console import main
from console.admin.records import reopen
from tasks.messages.attempt import Attempt
from tasks.messages.fields.messages import AttemptMessage
from tasks.messages.outcome import failed, malformed, opened
from tasks.store.answers import Claimed, Recorded
from tasks.store.ledger import Ceiling, Ledger
from tests.broker_client import BrokerClient, publish
from tests.finishing import finish
from tests.jobs import ACCOUNT, job_document, make_job
from tests.overture_command import overture
from tests.simulator_process import SimulatorProcess
from tests.worker_process import WorkerProcess
from worker.broker.brokers import broker_at

CEILING = Ceiling(rate=100, in_flight=10)
UNKNOWN: AttemptMessage = {
    "at": "2026-01-31T09:00:01.250Z",
    "httpStatus": 502,
    "outcome": "unknown",
}


def letter(number: int, code: str = "rejected", **error: Any) -> dict[str, Any]:
    """Make the dead letter of a job."""
    return {
        "job": job_document(number),
        "status": "failed",
        "error": {
            "code": code,
            "message": "because",
            "httpStatus": None,
            "errorCode": None,
            "attempts": [],
            **error,
        },
        "failedAt": "2026-01-31T09:00:06.510Z",
    }


def publish_letters(broker_url: str, letters: Iterable[object]) -> None:
    """Publish dead letters, or what lies among them."""
    bodies = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in letters]
    publish(broker_url, FAILED_KEY, bodies)


def jobs_in(broker_url: str, queue: str) -> list[str]:
    """Return the ids of the jobs in a queue, of jobs or of dead letters."""
    documents = [json.loads(message.body) for message in broker_at(broker_url).look(queue)]
    return sorted(document.get("job", document).get("jobId", "raw") for document in documents)


def test_looking_takes_nothing(
    settings: dict[str, object], broker_url: str, tmp_path: Path
) -> None:
    """A list, one letter whole, and all of them written out, again and again."""
    raw = json.loads(malformed(b"order;1", "it is no JSON").body)
    publish_letters(broker_url, [letter(1), letter(2, "in_doubt"), raw])
    listed = overture("dead-letters", "list", settings=settings).stdout.splitlines()
    assert [line.split()[2] for line in listed[1:]] == [
        "rejected",
        "in_doubt",
        "malformed_message",
    ]
    shown = overture("dead-letters", "show", "job-2", settings=settings)
    assert json.loads(shown.stdout) == letter(2, "in_doubt")
    chosen = overture("dead-letters", "list", "--code", "in_doubt", settings=settings)
    assert len(chosen.stdout.splitlines()) == 2
    file = tmp_path / "letters.jsonl"
    for _ in range(2):
        overture("dead-letters", "export", "--output", str(file), settings=settings)
        exported = [json.loads(line) for line in file.read_text().splitlines()]
        assert sorted(exported, key=str) == sorted([letter(1), letter(2, "in_doubt"), raw], key=str)
    rows = overture("dead-letters", "export", "--format", "csv", settings=settings).stdout
    assert sorted(row["raw"] for row in csv.DictReader(io.StringIO(rows))) == ["", "", "order;1"]
    missing = overture("dead-letters", "show", "job-7", settings=settings)
    assert missing.returncode == 1
    assert missing.stderr == "overture: there is no dead letter for job job-7\n"
    assert len(jobs_in(broker_url, DEAD_LETTERS_QUEUE)) == 3


def test_a_replayed_job_is_enqueued_and_its_letter_gone(
    settings: dict[str, object], broker_url: str
) -> None:
    """The others stay; a job that nobody knows is said to be missing."""
    publish_letters(broker_url, [letter(1), letter(2), letter(3, "expired")])
    ended = overture("dead-letters", "replay", "job-2", "job-7", settings=settings)
    assert (ended.returncode, ended.stdout) == (1, "replayed 1 dead letter\n")
    assert ended.stderr == "overture: there is no dead letter for job job-7\n"
    assert jobs_in(broker_url, JOBS_QUEUE) == ["job-2"]
    assert jobs_in(broker_url, DEAD_LETTERS_QUEUE) == ["job-1", "job-3"]
    ended = overture("dead-letters", "replay", "--code", "expired", settings=settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert jobs_in(broker_url, JOBS_QUEUE) == ["job-2", "job-3"]
    assert jobs_in(broker_url, DEAD_LETTERS_QUEUE) == ["job-1"]


def test_all_does_not_mean_what_is_in_doubt_or_no_job(
    settings: dict[str, object], broker_url: str
) -> None:
    """An in_doubt job is repeated when somebody says so, a raw message never."""
    raw = json.loads(malformed(b"order;1", "it is no JSON").body)
    publish_letters(broker_url, [letter(1), letter(2, "in_doubt"), raw])
    ended = overture("dead-letters", "replay", "--all", settings=settings)
    assert (ended.returncode, ended.stdout) == (1, "replayed 1 dead letter\n")
    assert ended.stderr.splitlines() == [
        "overture: 1 message is not a job and cannot be replayed",
        "overture: 1 job in doubt was not replayed; --yes replays it",
    ]
    ended = overture("dead-letters", "replay", "--code", "in_doubt", "--yes", settings=settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert jobs_in(broker_url, JOBS_QUEUE) == ["job-1", "job-2"]
    assert jobs_in(broker_url, DEAD_LETTERS_QUEUE) == ["raw"]


def replay(*arguments: str, settings: dict[str, object]) -> Result:
    """Replay in this process."""
    variables = {f"OVERTURE_{name.upper()}": str(value) for name, value in settings.items()}
    return CliRunner().invoke(main, ["dead-letters", "replay", *arguments], env=variables)


@pytest.mark.parametrize(
    ("kept", "status", "said"),
    [
        (2, 0, ""),
        (3, 0, ""),
        (4, 1, "overture: stopped after 3 dead letters that stay in the queue\n"),
    ],
)
def test_no_more_letters_are_in_hand_than_the_limit(
    settings: dict[str, object],
    broker_url: str,
    monkeypatch: pytest.MonkeyPatch,
    kept: int,
    status: int,
    said: str,
) -> None:
    """It stops before it would take one more, and not where there is no more to take."""
    monkeypatch.setattr("console.admin.chosen.MAX_HELD", 3)
    publish_letters(broker_url, [letter(number) for number in range(kept)])
    result = replay("--code", "expired", settings=settings)
    assert (result.exit_code, result.stderr) == (status, said)
    assert len(jobs_in(broker_url, DEAD_LETTERS_QUEUE)) == kept


def test_letters_that_are_not_replayed_count_as_in_hand(
    settings: dict[str, object], broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason why they stay: not selected, no job, or in doubt."""
    monkeypatch.setattr("console.admin.chosen.MAX_HELD", 2)
    raw = json.loads(malformed(b"order;1", "it is no JSON").body)
    publish_letters(broker_url, [raw, letter(1), letter(2, "in_doubt"), letter(3)])
    result = replay("--all", settings=settings)
    assert (result.exit_code, result.stdout) == (1, "replayed 1 dead letter\n")
    assert "overture: stopped after 2 dead letters" in result.stderr
    assert jobs_in(broker_url, DEAD_LETTERS_QUEUE) == ["job-2", "job-3", "raw"]


def test_what_the_broker_gave_up_can_be_replayed(
    settings: dict[str, object], broker_url: str
) -> None:
    """It lies there as its producer wrote it."""
    publish_letters(broker_url, [json.dumps(job_document(1)).encode()])
    ended = overture("dead-letters", "replay", "--all", settings=settings)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert jobs_in(broker_url, JOBS_QUEUE) == ["job-1"]


def test_a_replayed_job_gets_its_conversation(settings: dict[str, object], broker_url: str) -> None:
    """What made it fail is over; the job keeps its id, and the counts add up."""
    with BrokerClient(broker_url) as client, SimulatorProcess() as simulator:
        both = {**settings, "domain_api_url": simulator.url, "max_rate": 1000}
        client.put([job_document(1)])
        with WorkerProcess(both):
            client.wait_for(1)
            client.put([job_document(1, jobId="second")])
            client.wait_until(lambda out: out.dead_letters, "the second job fails")
            publish_letters(broker_url, client.out.dead_letters)
            simulator.control("close")
            client.out.dead_letters.clear()
            ended = overture("dead-letters", "replay", "second", settings=both)
            assert (ended.returncode, ended.stderr) == (0, "")
            client.wait_until(lambda out: len(out.results) == 2, "the second job succeeds")
        status = overture("status", "--format", "json", settings=both)
    assert client.out.results[1]["jobId"] == "second"
    assert json.loads(status.stdout)["accounts"][0]["outcomes"] == {
        "created": 2,
        "failed:already_open": 0,
    }


@pytest.fixture
def ledger(store: Redis) -> Ledger:
    """Give a ledger."""
    return Ledger(store, dedupe_seconds=60, flight_seconds=10, max_losses=5, repeat_unknown=True)


def test_reopening_keeps_what_was_sent(ledger: Ledger, store: Redis) -> None:
    """The next attempt knows that an earlier one may have opened a conversation."""
    job = make_job(1)
    ended = failed(
        job,
        job_document(1),
        code="retries_exhausted",
        message="because",
        attempts=[Attempt.from_dict(UNKNOWN)],
    )
    ledger.begin(job, "w/1", ceiling=CEILING, purpose="send", patience=1)
    finish(ledger, job, "w/1", outcome=ended)
    letter = json.loads(ended.body)
    assert reopen(store, ACCOUNT, job.job_id, letter=letter, seconds=60)
    begun = ledger.begin(job, "w/2", ceiling=CEILING, purpose="claim", patience=1)
    assert isinstance(begun, Claimed)
    assert [attempt.outcome for attempt in begun.claim.history] == ["unknown", "replayed"]
    assert begun.claim.sent == 1


def test_reopening_works_from_the_letter_alone(ledger: Ledger, store: Redis) -> None:
    """The ledger forgets a job in time; its dead letter still says what was sent for it."""
    job = make_job(1)
    ended = letter(1, "in_doubt", attempts=[UNKNOWN])
    assert reopen(store, ACCOUNT, job.job_id, letter=ended, seconds=60)
    begun = ledger.begin(job, "w/1", ceiling=CEILING, purpose="claim", patience=1)
    assert isinstance(begun, Claimed)
    assert [attempt.outcome for attempt in begun.claim.history] == ["unknown", "replayed"]


def test_reopening_leaves_another_outcome_alone(ledger: Ledger, store: Redis) -> None:
    """A dead letter that is older than the job's conversation cannot undo it."""
    job = make_job(1)
    new = opened(
        job,
        status="created",
        conversation_id="x",
        lp_consumer_id=None,
        attempts=1,
        enqueued_at="2026-01-31T09:00:00Z",
        resolved_by=None,
        conversation={},
    )
    ledger.begin(job, "w/1", ceiling=CEILING, purpose="send", patience=1)
    finish(ledger, job, "w/1", outcome=new)
    assert not reopen(store, ACCOUNT, job.job_id, letter=letter(1), seconds=60)
    begun = ledger.begin(job, "w/2", ceiling=CEILING, purpose="send", patience=1)
    assert isinstance(begun, Recorded)
    assert begun.outcome.body == new.body
