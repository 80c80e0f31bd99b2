"""Keeps all threads of a worker on one processor; also the collector, and the limit of open files.

Only one thread at a time can run Python. On several processors, each switch of threads has to wake
another processor and move the interpreter's data there, which takes as long as the work itself
(docs/performance.md). On one processor they run as fast, and the others are free for more workers.
The kernel cannot move them away from a processor that others make busy, so that is done here.
"""

from __future__ import annotations

import gc
import os
import resource
import threading
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

import structlog

# Between two checks, in seconds; random, so that two workers on one processor do not both leave it.
POLL_SECONDS: Final = (1.0, 3.0)
# A processor with this share in use is full ...
FULL: Final = 0.9
# ... and is left if another one has at least this much more to offer.
WORTH_MOVING: Final = 0.25

STAT: Final = Path("/proc/stat")
SELF: Final = Path("/proc/self")
# Fields of a processor's line in /proc/stat, and of a process's behind its name (proc(5)).
BUSY_FIELDS: Final = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq
ALL_FIELDS: Final = slice(0, 8)
PROCESSOR_FIELD: Final = 36

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Reading:
    """Each processor's busy and total ticks, and the seconds that this process ran."""

    ticks: Mapping[int, tuple[int, int]]
    ran: float
    at: float


def keep_together() -> None:
    """Keep this process's threads, and those to come, on one processor at a time.

    Does nothing if there is only one, or if the system has no such function.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    allowed = os.sched_getaffinity(0)
    if len(allowed) > 1:
        threading.Thread(target=_keep, args=(allowed,), name="processor", daemon=True).start()


def choose(here: int, used: Mapping[int, float], ours: float) -> int:
    """Choose the processor: `here`, unless it is full and another one has room.

    `used` is the share of each processor that was in use, `ours` what we used of the one here.
    """
    if not used:
        return here
    best = min(used, key=lambda one: used[one])
    # If our processor is no longer listed, it was taken offline: count it as overfull.
    at_all = used.get(here, 1.0 + ours)
    return best if at_all >= FULL and used[best] + WORTH_MOVING <= at_all - ours else here


def shares(before: Reading, after: Reading) -> tuple[dict[int, float], float]:
    """Return the share of each processor that was in use between two readings, and ours of one."""
    used = {
        one: (busy - before.ticks[one][0]) / max(1, whole - before.ticks[one][1])
        for one, (busy, whole) in after.ticks.items()
        if one in before.ticks
    }
    return used, (after.ran - before.ran) / (after.at - before.at)


def _keep(allowed: Collection[int]) -> None:
    random = Random()  # noqa: S311 - no secret hangs on it
    try:
        here = _where()
        _move_to(here)
        reading = _read(allowed)
        while True:
            time.sleep(random.uniform(*POLL_SECONDS))
            before, reading = reading, _read(allowed)
            chosen = choose(here, *shares(before, reading))
            if chosen != here:
                log.info("processor.changed", was=here, now=chosen)
                here = chosen
                _move_to(here)
    except Exception as error:  # noqa: BLE001 - after any error the worker goes on without this
        log.warning("processor.not_chosen", error=str(error)[:200])


def _move_to(processor: int) -> None:
    moved: set[int] = set()
    while threads := {int(one.name) for one in (SELF / "task").iterdir()} - moved:
        for thread in threads:
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, {processor})
        moved |= threads


def _where() -> int:
    return int((SELF / "stat").read_text().rpartition(")")[2].split()[PROCESSOR_FIELD])


def _read(allowed: Collection[int]) -> Reading:
    ticks = {}
    for line in STAT.read_text().splitlines():
        name, *numbers = line.split()
        if name.startswith("cpu") and name != "cpu" and int(name[3:]) in allowed:
            counts = list(map(int, numbers))
            ticks[int(name[3:])] = sum(counts[at] for at in BUSY_FIELDS), sum(counts[ALL_FIELDS])
    times = os.times()
    return Reading(ticks, ran=times.user + times.system, at=time.monotonic())


# New objects between two collections of the young generation; Python's default of 700 is one or two
# jobs.
YOUNG_OBJECTS: Final = 20_000


def relax_collector() -> None:
    """Exclude the existing objects from garbage collection, and collect less often.

    Modules and schemas live as long as the process, and jobs leave few cycles behind.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


# A thread may have connections to the two services of a new consumer (IDP and CONVERSATION), one to
# the store, and one that is being opened.
FILES_A_SLOT: Final = 4
# Other open files of a worker: the broker, the store, its log, certificates while they are read.
FILES_BESIDE: Final = 40


def allow_files(slots: int) -> int:
    """Raise the limit of open files for these slots; return how many slots it is enough for.

    With too few files connections fail, which would look like a failure of LivePerson.
    """
    needed = FILES_BESIDE + slots * FILES_A_SLOT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A system without a hard limit may refuse "unlimited" all the same (macOS).
    for wanted in (hard, max(soft, needed)):
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            break
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    possible = slots_for(allowed, slots)
    if possible < slots:
        log.error("worker.few_files", allowed=allowed, needed=needed, slots=possible, wanted=slots)
    return possible


def slots_for(allowed: int, slots: int) -> int:
    """Return how many of these slots a limit of open files is enough for; at least one."""
    if allowed == resource.RLIM_INFINITY:
        return slots
    return max(1, min(slots, (allowed - FILES_BESIDE) // FILES_A_SLOT))
