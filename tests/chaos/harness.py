"""One run: submit, break things while workers work, let everything settle, and audit."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.chaos.audit import FAULTS, audit
from tests.chaos.crew import Crew
from tests.chaos.malformed import malformed, odd
from tests.chaos.monkey import Monkey
from tests.chaos.plan import BrokerName, Plan
from tests.chaos.progress import ENOUGH, Progress
from tests.chaos.report import Report
from tests.chaos.stage import Stage, set_up
from tests.chaos.submissions import Submission, submissions, utc_now

POLL_SECONDS: Final = 0.05
# What may stand in no log: a signed token, the client's secret.
SECRET: Final = re.compile(r"eyJ[\w-]{8,}\.|demo-secret")
MAX_LINE: Final = 1000
# What the watchdog says before it ends its worker.
STALLED: Final = "worker.stalled"
# Lines that deserve a look; that a broker cannot be reached while it is down does not.
UNEXPECTED: Final = re.compile(r"Traceback|\"level\": \"(error|critical)\"")
EXPECTED: Final = "Cannot connect to"


def run(plan: Plan, broker: BrokerName, seed: int, folder: Path) -> Report:
    """Do what the plan says; whatever the servers and workers write stays in the folder."""
    rng = random.Random(seed)
    with set_up(plan, broker, seed, folder) as stage:
        sent = submissions(plan.jobs, plan.mix, rng, now=utc_now(), accounts=plan.accounts)
        sent += malformed(plan.malformed, plan.large, rng, lists=broker == "valkey")
        sent += odd(plan.odd, rng, lists=broker == "valkey")
        rng.shuffle(sent)
        stage.broker.submit(sent)
        print(f"{len(sent)} messages on {broker}, seed {seed}, files in {folder}", flush=True)
        started = time.monotonic()
        crew = Crew(folder, plan.workers, stage.environment(plan), plan.beside)
        try:
            monkey = Monkey(stage, crew, plan, rng)
            is_settled, pause = _work(stage, crew, monkey, plan, sent)
            seconds = time.monotonic() - started
            crew.stop()
        finally:
            crew.kill_all()
        return _report(
            *(stage, crew, monkey, plan, sent),
            seconds=seconds,
            is_settled=is_settled,
            longest_pause=pause,
        )


def _work(
    stage: Stage, crew: Crew, monkey: Monkey, plan: Plan, sent: list[Submission]
) -> tuple[bool, float]:
    """Break things until nearly all is done, then wait until all is.

    Tells whether it was, and for how many seconds nothing came out at the longest before that.
    """
    with Progress(stage, sent) as progress:
        while progress.share() < ENOUGH or not monkey.is_done:
            monkey.turn(progress.share())
            time.sleep(POLL_SECONDS)
            if progress.seconds() > plan.longest:
                break
        monkey.stop()
        deadline = time.monotonic() + plan.settle
        while time.monotonic() < deadline:
            crew.look_after()
            if progress.is_settled():
                return True, progress.longest_pause
            time.sleep(POLL_SECONDS)
    return False, progress.longest_pause


def _report(
    stage: Stage,
    crew: Crew,
    monkey: Monkey,
    plan: Plan,
    sent: list[Submission],
    *,
    seconds: float,
    is_settled: bool,
    longest_pause: float,
) -> Report:
    found = audit(
        sent,
        stage.broker.read(),
        stage.simulator.conversations(),
        one_open_rule=not plan.close_at_once,
        may_repeat=plan.unknown_outcome == "repeat",
    )
    stats: dict[str, Any] = stage.simulator.stats()["total"]
    faults = {kind: list(found.faults[kind]) for kind in FAULTS}
    waiting, peak = stage.broker.waiting(), stats["maxConcurrent"]
    faults["waiting"] = [f"{waiting} messages still wait"] if waiting else []
    allowed = plan.max_in_flight * plan.accounts
    if peak > allowed:
        faults["in flight"] = [f"{peak} requests at once, {allowed} are allowed"]
    faults["locked"] = stage.leftovers()
    faults["denied"] = stage.denied()
    exits = Counter(map(str, crew.exits))
    faults["exit status"] = [f"{one}: {number}" for one, number in exits.items() if one != "0"]
    # A worker that finds no broker at its start says so and ends with 1: its supervisor's to mend.
    faults["crashed"] = [str(status) for status in crew.crashes if status != 1]
    lines = crew.log_lines()
    faults["stalled"] = [line for line in lines if STALLED in line]
    faults["secret"] = [line[:200] for line in lines if SECRET.search(line)]
    return Report(
        seconds=round(seconds, 1),
        is_settled=is_settled,
        counts={
            **found.counts,
            "waiting": waiting,
            "most in flight": peak,
            "starts in vain": crew.crashes.count(1),
            "longest pause, in ms": round(longest_pause * 1000),
        },
        outcomes=found.outcomes,
        faults=faults,
        exits=dict(exits),
        story=monkey.story,
        liveperson={name: stats[name] for name in ("calls", "faults")},
        errors=[
            line[:MAX_LINE] for line in lines if UNEXPECTED.search(line) and EXPECTED not in line
        ],
    )
