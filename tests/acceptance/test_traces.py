"""A job's trace context: it comes back on whatever came of the job, whatever happens meanwhile."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import job_document
from tests.overture_command import overture
from tests.simulator_process import SimulatorProcess
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

BARE, PROTOCOL_1, CELERY, LATER, FAILING, EXPIRED = range(6)
OTHER = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-00", "tracestate": "other=1"}


def trace(number: int) -> dict[str, str]:
    """Make a trace context like no other; nobody writes its state so."""
    return {
        "traceparent": f"00-{number + 1:032x}-{number + 1:016x}-01",
        "tracestate": f"Rojo@x=00f067aa0ba902b7,  congo=t61rcWkgMzE ,n={number}",
    }


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Have a repeat wait in the broker."""
    return {
        **settings,
        "domain_api_url": simulator.url,
        "max_rate": 1000,
        "retry_schedule": "1.2,1.2",
    }


def enqueue(client: BrokerClient, number: int, **fields: Any) -> None:
    """Enqueue a job in the way that its number stands for."""
    job = job_document(number, **fields)
    if number == CELERY:
        client.send_task(job, headers=trace(number))
        return
    body = job if number != PROTOCOL_1 else {"task": "conversations.create", "args": [job]}
    client.put_raw([json.dumps(body).encode()], headers=trace(number))


def test_a_jobs_trace_comes_back_byte_for_byte(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """From each kind of message; after a wait, a repeat, and the loss of a worker.

    A repeated outcome has the trace of the job that it is of, and so has a replayed one.
    """
    simulator.control("faults", {"consumer": "consumer-4", "fault": "server_error", "times": 2})
    simulator.control("limits", {"latency": 600})
    now = datetime.now(UTC)
    with WorkerProcess(settings) as first:
        enqueue(client, LATER, notBefore=(now + timedelta(seconds=3)).isoformat())
        enqueue(client, EXPIRED, expiresAt=now.isoformat())
        for number in (BARE, PROTOCOL_1, CELERY, FAILING):
            enqueue(client, number)
        client.put_raw([b"{nope"], headers=trace(6))
        wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 4, "calls are under way")
        first.kill()
    simulator.control("limits", {"latency": 0})
    with WorkerProcess(settings):
        client.wait_until(lambda out: len(out.headers) >= 7, "seven outcomes", seconds=40)
        (malformed,) = client.out.headers.keys() - {f"job-{number}" for number in range(6)}
        expected = {f"job-{number}": trace(number) for number in range(6)} | {malformed: trace(6)}
        assert len(client.out.results) >= 5
        assert client.out.codes() == {"job-5": "expired"}
        for name, headers in client.out.headers.items():
            assert all(one == expected[name] for one in headers), name
        client.out.headers.clear()
        # The same jobs with another trace, and one whose dead letter is replayed.
        again = [json.dumps(job_document(number)).encode() for number in (BARE, FAILING)]
        client.put_raw(again, headers=OTHER)
        client.wait_until(lambda out: len(out.headers) == 2, "both outcomes again")
        assert client.out.headers == {name: [expected[name]] for name in ("job-0", "job-4")}


@pytest.mark.usefixtures("worker")
def test_a_replayed_dead_letter_keeps_its_trace(
    settings: dict[str, object], client: BrokerClient
) -> None:
    """Its job is enqueued with it."""
    enqueue(client, EXPIRED, expiresAt="2026-01-01T00:00:00Z")
    wait_until(lambda: client.waiting("conversations.dead-letters") == 1, "its dead letter")
    ended = overture("dead-letters", "replay", "job-5", settings=settings)
    assert ended.stdout == "replayed 1 dead letter\n"
    client.wait_for(1)
    assert client.out.headers == {"job-5": [trace(EXPIRED)]}
