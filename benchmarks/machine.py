"""What processes cost: processor time and memory of a whole session, from /proc."""

from __future__ import annotations

import os
import platform
from pathlib import Path

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024


def members(session: int) -> list[int]:
    """List the processes of a session: everything that a worker or a server started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))) and fields[3] == session:
            found.append(int(folder.name))
    return found


def cpu_seconds(pids: list[int]) -> float:
    """Sum user and system time."""
    times = [fields for pid in pids if (fields := _stat(pid))]
    return sum(fields[11] + fields[12] for fields in times) * TICK_SECONDS


def pss_mib(pids: list[int]) -> float:
    """Sum the memory, shared pages divided among those who share them."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total / MIB


def anonymous_mib(pid: int) -> float:
    """Return what a process holds for itself: no libraries, whose share others change."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:"))


def description() -> str:
    """Name the machine: what it computes with, and what with."""
    info = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1] for line in info if line.startswith("model name")), "?")
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    memory = pages * size / 1024**3
    return (
        f"{os.cpu_count()} × {model}, {memory:.0f} GiB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def _stat(pid: int) -> list[int] | None:
    """Read /proc/<pid>/stat from its third field on (the fourth, ppid, is at 1), as numbers."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return [0, *map(int, fields[1:])]
