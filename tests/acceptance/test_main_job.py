"""The main job with real parts: worker processes, each broker, a store, the simulator over HTTP."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.broker_client import BrokerClient
from tests.jobs import ACCOUNT, SECRET, job_document
from tests.redis_server import RedisServer
from tests.simulator_process import SimulatorProcess
from tests.store_contents import everything_in
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

BODIES = Path(__file__).parent.parent / "bodies"


@pytest.fixture
def settings(settings: dict[str, object], simulator: SimulatorProcess) -> dict[str, object]:
    """Put the account's limits out of the way, and make pauses short."""
    return {
        **settings,
        "domain_api_url": simulator.url,
        "trusted_hosts": "127.0.0.1",
        "max_rate": 1000,
        "retry_schedule": "0.2,0.4,0.6",
        "read_timeout": 2,
    }


def fault(simulator: SimulatorProcess, number: int, name: str, *, times: int = 1) -> None:
    """Have the next calls for a job's consumer end in a fault."""
    queued = {"consumer": f"consumer-{number}", "fault": name, "times": times}
    simulator.control("faults", queued)


def latency(simulator: SimulatorProcess, milliseconds: int) -> None:
    """Have LivePerson take so long to answer."""
    simulator.control("limits", {"latency": milliseconds})


@pytest.mark.usefixtures("worker")
def test_jobs_become_conversations(client: BrokerClient, simulator: SimulatorProcess) -> None:
    """Every job has one result, whose id is a conversation that LivePerson opened for it."""
    client.put([job_document(number, metadata={"n": number}) for number in range(100)])
    out = client.wait_for(100)
    opened = {c["extConsumerId"]: c for c in simulator.conversations()}
    assert (len(out.results), len(opened), out.dead_letters) == (100, 100, [])
    for result in out.results:
        conversation = opened[result["consumerId"]]
        assert result["conversationId"] == result["dialogId"] == conversation["conversationId"]
        assert result["lpConsumerId"] == conversation["lpConsumerId"]
        assert result["jobId"] == f"job-{result['metadata']['n']}"
        assert (result["status"], result["attempts"], result["accountId"]) == (
            "created",
            1,
            ACCOUNT,
        )


@pytest.mark.usefixtures("worker")
def test_every_way_to_enqueue_is_the_same(client: BrokerClient) -> None:
    """Plain Celery, protocol 1 by hand, and the bare job; at once or at a moment of its own.

    The broker keeps what waits, without a slot, and brings it back as it was, compressed or not.
    """
    start = datetime.now(UTC) + timedelta(seconds=2)
    later = {"notBefore": start.isoformat()}
    client.send_task(job_document(1))
    client.send_task(job_document(2), countdown=1)
    proto_1 = {"task": "conversations.create", "id": "x", "args": [job_document(3)]}
    client.put_raw([json.dumps(proto_1).encode(), json.dumps(job_document(4)).encode()])
    client.put([job_document(5, **later)])
    client.send_task(job_document(6, **later), compression="gzip")
    out = client.wait_for(6)
    found = {result["jobId"]: result for result in out.results}
    assert found.keys() == {f"job-{n}" for n in range(1, 7)}
    assert out.dead_letters == []
    for name in ("job-5", "job-6"):
        assert datetime.fromisoformat(found[name]["createdAt"]) >= start


@pytest.mark.usefixtures("worker")
def test_what_is_sent_is_what_liveperson_documents(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Each documented request body comes out of the worker field by field, ids aside."""
    samples = sorted(BODIES.glob("req_0[1-8]*.json"))
    for number, path in enumerate(samples):
        profile, conversation = json.loads(path.read_text())[:2]
        body = {k: v for k, v in conversation["body"].items() if k != "brandId"}
        client.put([job_document(number, profile=profile["body"], conversation=body)])
    client.wait_for(len(samples))
    assert len(samples) == 8
    sent = {c["extConsumerId"]: c for c in simulator.conversations()}
    for number, path in enumerate(samples):
        profile, conversation = json.loads(path.read_text())[:2]
        found = sent[f"consumer-{number}"]
        assert found["profile"] == profile["body"]
        # Two samples leave out what the property table demands.
        expected = {**conversation["body"], "brandId": ACCOUNT, "channelType": "MESSAGING"}
        assert found["body"] == expected


@pytest.mark.usefixtures("worker")
def test_each_way_to_fail_has_its_code(client: BrokerClient, simulator: SimulatorProcess) -> None:
    """Dead letters say what went wrong, and hold the job as it was received.

    So do those of messages that cannot be read, and the worker goes on.
    """
    past = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
    fault(simulator, 5, "server_error", times=10)
    fault(simulator, 6, "consumer_token_refused", times=10)
    jobs = {
        "invalid_job": job_document(1, conversation={"skilId": "1"}),
        "unknown_account": job_document(2, accountId="999"),
        "expired": job_document(3, expiresAt=past),
        "retries_exhausted": job_document(5),
        "unauthorized": job_document(6),
    }
    client.put(jobs.values())
    client.wait_for(len(jobs))
    assert client.out.codes() == {job["jobId"]: code for code, job in jobs.items()}
    received = {letter["job"]["jobId"]: letter["job"] for letter in client.out.dead_letters}
    assert received == {job["jobId"]: job for job in jobs.values()}
    exhausted = next(x for x in client.out.dead_letters if x["job"]["jobId"] == "job-5")["error"]
    assert [a["outcome"] for a in exhausted["attempts"]] == ["unknown"] * 4
    assert exhausted["httpStatus"] in {500, 502, 503, 504}
    client.out.dead_letters.clear()
    client.put_raw([b"{nope", b"\xff\xfe", b"[1]", b'{"jobId": "a", "jobId": "b"}', b"{}", b""])
    client.put_raw([b"\x80\x04."], content_type="application/x-python-serialize")
    client.put([job_document(7)])
    client.wait_until(
        lambda out: len(out.dead_letters) == 7 and len(out.results) == 1, "seven dead letters"
    )
    found = sorted(letter["error"]["code"] for letter in client.out.dead_letters)
    assert found == ["invalid_job"] * 2 + ["malformed_message"] * 5


@pytest.mark.usefixtures("worker")
def test_an_open_conversation_fails_or_is_reused(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """One open conversation per consumer; its id is a result only for who asked."""
    properties = {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"]}
    client.put([job_document(1, clientProperties=properties)])
    first = client.wait_for(1).results[0]
    campaign = {"campaignInfo": {"campaignId": "1", "engagementId": "2"}}
    client.put(
        [
            job_document(2, consumerId="consumer-1"),
            job_document(
                3,
                consumerId="consumer-1",
                onOpenConversation="reuse",
                conversation=campaign,
                submissionId="spring",
            ),
        ]
    )
    out = client.wait_for(3)
    assert out.codes() == {"job-2": "already_open"}
    reused = out.by_job()["job-3"]
    assert (reused["status"], reused["resolvedBy"]) == ("reused", "monitoring")
    assert reused["conversationId"] == first["conversationId"]
    assert reused["clientProperties"] == properties
    assert ("campaignInfo" in reused, reused["submissionId"]) == (False, "spring")
    assert len(simulator.conversations()) == 1


@pytest.mark.usefixtures("worker")
def test_a_lost_answer_is_found_again_and_opens_nothing_twice(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """The conversation was opened, the answer never came: the repeat finds it."""
    fault(simulator, 1, "lost_answer")
    client.put([job_document(1)])
    (result,) = client.wait_for(1).results
    (conversation,) = simulator.conversations()
    assert result["conversationId"] == conversation["conversationId"]
    assert (result["status"], result["resolvedBy"], result["attempts"]) == (
        "created",
        "monitoring",
        2,
    )


@pytest.mark.usefixtures("worker")
def test_a_conversation_that_is_known_to_be_open_is_looked_for_and_not_opened_again(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """Monitoring is asked until it answers; where it never does, the job is in doubt."""
    simulator.control("faults", {"probabilities": {"smt.server_error": 1}})
    fault(simulator, 1, "lost_answer")
    fault(simulator, 2, "lost_answer")
    client.put([job_document(1)])
    assert client.wait_for(1).codes() == {"job-1": "in_doubt"}
    outcomes = [one["outcome"] for one in client.out.dead_letters[0]["error"]["attempts"]]
    assert outcomes == ["unknown", "already_open", *["unresolved"] * 4]
    client.put([job_document(2)])
    wait_until(lambda: sum(simulator.stats()["total"]["calls"]["smt"].values()) > 6, "two looks")
    simulator.control("faults", {"probabilities": {}})
    found = client.wait_for(2).by_job()["job-2"]
    assert (found["status"], found["resolvedBy"], found["attempts"]) == ("created", "monitoring", 2)
    assert simulator.stats()["total"]["calls"]["conversation"]["400"] == 2
    assert len(simulator.conversations()) == 2


@pytest.mark.usefixtures("worker")
def test_what_another_job_opened_is_not_taken_for_ones_own(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """A request of unknown fate opened nothing: the open conversation is the first job's."""
    client.put([job_document(1)])
    first = client.wait_for(1).results[0]
    fault(simulator, 1, "server_error", times=2)
    client.put([job_document(2, consumerId="consumer-1")])
    assert client.wait_for(2).codes() == {"job-2": "already_open"}
    attempts = client.out.dead_letters[0]["error"]["attempts"]
    assert [one["outcome"] for one in attempts] == ["unknown", "unknown", "already_open"]
    fault(simulator, 1, "server_error")
    client.put([job_document(3, consumerId="consumer-1", onOpenConversation="reuse")])
    reused = client.wait_for(3).by_job()["job-3"]
    assert (reused["status"], reused["resolvedBy"]) == ("reused", "monitoring")
    assert reused["conversationId"] == first["conversationId"]
    assert len(simulator.conversations()) == 1


@pytest.mark.usefixtures("worker")
def test_the_same_job_twice_is_one_conversation(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """The jobId is the producer's idempotency key; other content under it is a conflict."""
    client.put([job_document(1), job_document(1), job_document(1)])
    client.wait_until(lambda out: len(out.results) >= 3, "three results")
    assert len({json.dumps(result) for result in client.out.results}) == 1
    assert len(simulator.conversations()) == 1
    client.put([job_document(1, metadata={"other": "content"})])
    client.wait_until(lambda out: out.dead_letters, "a conflict")
    assert client.out.codes() == {"job-1": "conflict"}


@pytest.mark.usefixtures("worker")
def test_an_engagement_routes_by_campaign(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """The Monitoring API's numbers go out as strings, with its context."""
    client.put([job_document(1, engagement={})])
    (result,) = client.wait_for(1).results
    (conversation,) = simulator.conversations()
    campaign = conversation["body"]["campaignInfo"]
    context = conversation["body"]["conversationContext"]
    assert all(isinstance(value, str) for value in (*campaign.values(), *context.values()))
    assert (context["type"], result["campaignInfo"]) == ("SharkContext", campaign)
    assert result["conversationContext"] == context
    simulator.control("close")
    client.put([job_document(2, consumerId="consumer-1", engagement={})])
    again = client.wait_for(2).by_job()["job-2"]["conversationContext"]
    assert (again["visitorId"], again["sessionId"]) == (context["visitorId"], context["sessionId"])


@pytest.mark.usefixtures("worker")
def test_a_repeat_comes_as_the_visitor_who_came_first(
    client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """One new session (201), however often the conversation is tried; LivePerson asks for that."""
    fault(simulator, 1, "server_error", times=2)
    client.put([job_document(1, engagement={})])
    (result,) = client.wait_for(1).results
    assert result["attempts"] == 3
    assert simulator.stats()["total"]["calls"]["smt"] == {"200": 2, "201": 1}


def test_a_killed_workers_jobs_are_done_by_another(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """After kill -9 in the middle of a call: redelivered, found, and opened once."""
    latency(simulator, 600)
    with WorkerProcess(settings) as first:
        client.put([job_document(number) for number in range(10)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 5, "calls are under way")
        first.kill()
    latency(simulator, 0)
    with WorkerProcess(settings):
        out = client.wait_for(10, seconds=40)
    assert out.dead_letters == []
    assert len(simulator.conversations()) == 10
    ids = {c["conversationId"] for c in simulator.conversations()}
    assert {result["conversationId"] for result in out.results} == ids


def test_sigterm_drains(
    settings: dict[str, object], client: BrokerClient, simulator: SimulatorProcess
) -> None:
    """What is in hand is finished, the rest stays in the queue, and the exit status is 0."""
    latency(simulator, 300)
    with WorkerProcess(settings, concurrency=5) as worker:
        client.put([job_document(number) for number in range(40)])
        wait_until(lambda: simulator.stats()["total"]["inFlight"] >= 5, "calls are under way")
        assert worker.stop() == 0
        assert worker.events("worker.drained")[0]["handed_back"] == 0
    done = client.take().results
    assert 5 <= len(done) < 40
    assert len(simulator.conversations()) == len(done) == len({r["jobId"] for r in done})
    with WorkerProcess(settings):
        client.wait_for(40)
    assert len(simulator.conversations()) == 40


@pytest.mark.usefixtures("_shown")
def test_no_secret_is_in_any_output(
    client: BrokerClient,
    simulator: SimulatorProcess,
    worker: WorkerProcess,
    valkey_server: RedisServer,
) -> None:
    """Logs, results, dead letters and the store hold neither secrets nor tokens."""
    fault(simulator, 2, "server_error", times=10)
    client.put([job_document(1), job_document(2), job_document(3, engagement={})])
    out = client.wait_for(3)
    with valkey_server.client() as store:
        kept = "".join(everything_in(store))
    assert "sealed-" in kept
    text = worker.output() + json.dumps([out.results, out.dead_letters])
    assert "eyJ" not in text
    assert SECRET not in text + kept
    # Any JSON in base64 begins as both tokens do, a job in kombu's envelope too.
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.[\w-]+", kept)


@pytest.fixture
def _shown(settings: dict[str, object]) -> None:
    """Log everything there is to log."""
    settings["log_level"] = "debug"
