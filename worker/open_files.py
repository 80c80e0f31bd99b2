"""The number of open files that the system allows a process, and how many a worker needs."""

from __future__ import annotations

import resource
from contextlib import suppress
from typing import Final

import structlog

# A thread may keep a connection to each of the two services that a new consumer takes (IDP and
# CONVERSATION) and one to the store, and open another one.
FILES_A_SLOT: Final = 4
# What else a worker has open: the broker, the store, its log, certificates while they are read.
FILES_BESIDE: Final = 40

log = structlog.get_logger()


def allow_files(slots: int) -> int:
    """Have the system allow as many open files as these slots need; return for how many it does.

    Without, connections fail for want of files, which looks like LivePerson's failure.
    """
    needed = FILES_BESIDE + slots * FILES_A_SLOT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A system that names no hard limit may have one nevertheless (macOS).
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
    """Return how many of these slots a number of open files is enough for: at least one."""
    if allowed == resource.RLIM_INFINITY:
        return slots
    return max(1, min(slots, (allowed - FILES_BESIDE) // FILES_A_SLOT))
