"""The promises, held against a LivePerson that the simulator's authors did not write for it."""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from contextlib import ExitStack
from typing import Any, Final

from tests.broker_client import BrokerClient
from tests.standin import ACCOUNT, BEHAVIOURS, SECRET, StandIn
from tests.waiting import wait_until
from tests.worker_process import WorkerProcess

JOBS: Final = 400
# Of twenty consumers one is refused three times, as by an account that others use as well.
SHARE_REFUSED: Final = 0.05
KILL_SECONDS: Final = 2.0
KILLING_SECONDS: Final = 9.0
SETTLED_SECONDS: Final = 75.0


def test_killed_workers_lose_nothing_and_open_nothing_twice(
    broker_url: str, valkey_url: str, client: BrokerClient
) -> None:
    """400 jobs of many behaviours, a worker killed every two seconds: each ends as it may, once."""
    rng = random.Random(4)
    names = [name for name in BEHAVIOURS if name != "thrice"]
    jobs = [_job(number, rng, names) for number in range(JOBS)]
    with StandIn() as liveperson, ExitStack() as stack:
        settings = {
            "broker_url": broker_url,
            "store_url": valkey_url,
            "account_id": ACCOUNT,
            "client_id": "stand-in",
            "client_secret": SECRET,
            "domain_api_url": liveperson.url,
            "max_rate": 50,
        }
        workers = [stack.enter_context(WorkerProcess(settings)) for _ in range(2)]
        client.put(jobs)
        started = time.monotonic()
        while time.monotonic() - started < KILLING_SECONDS:
            time.sleep(KILL_SECONDS)
            worker = rng.choice(workers)
            worker.kill()
            worker.start()
        left = SETTLED_SECONDS - (time.monotonic() - started)
        seen: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)

        def all_out() -> bool:
            _note(client.take(), seen)
            return len(seen) == JOBS

        wait_until(all_out, "every job has its outcome", seconds=left)
        _note(client.take(), seen)
        assert [worker.stop() for worker in workers] == [0, 0]
        opened = liveperson.state.opened
    assert {job_id: ends for job_id, ends in seen.items() if len(ends) > 1} == {}
    wrong = {
        job["jobId"]: seen[job["jobId"]]
        for job in jobs
        if not all(_may_end(job, *end) for end in seen[job["jobId"]])
    }
    assert wrong == {}
    assert [name for name, count in Counter(one[1] for one in opened).items() if count > 1] == []
    told = {conversation for ends in seen.values() for _, conversation in ends}
    assert {one[0] for one in opened} <= told


def _job(number: int, rng: random.Random, names: list[str]) -> dict[str, Any]:
    name = "thrice" if rng.random() < SHARE_REFUSED else rng.choice(names)
    return {
        "jobId": f"job-{number}",
        "consumerId": f"{name}-{number}",
        "clientProperties": {"type": ".ClientProperties", "appId": f"job-{number}"},
        **BEHAVIOURS[name].job,
    }


def _may_end(job: dict[str, Any], end: str, conversation_id: str) -> bool:
    # Whose worker was killed in the midst of the call takes a stranger's conversation for its own.
    is_mistaken = end == "created" and conversation_id.startswith("older-")
    return is_mistaken or end in BEHAVIOURS[job["consumerId"].partition("-")[0]].endings


def _note(out: Any, seen: defaultdict[str, set[tuple[str, str]]]) -> None:
    for result in out.results:
        seen[result["jobId"]].add((result["status"], result["conversationId"]))
    for letter in out.dead_letters:
        job_id = (letter.get("job") or {}).get("jobId", letter.get("raw", "")[:60])
        seen[job_id].add((letter["error"]["code"], ""))
