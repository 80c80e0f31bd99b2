"""Standard error that stops nobody, whatever is wrong with it, and that loses nothing else."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from config import streams
from config.streams import MAX_WAITING_BYTES, InBackground, Unfailing
from tests.waiting import wait_until
from tests.worker_process import environment

# Everything by which a process comes to write to standard error, its end included.
SPEAKS = """
import gc, logging, sys, threading, warnings
from config.logs import configure_logging
from config.streams import dropped_lines, protect, write_in_background
import structlog

class Broken:
    def __del__(self):
        raise ValueError("nobody catches this")

    def __repr__(self):
        raise ValueError("not to be shown")

def fail():
    raise ValueError("nor this")

protect()
if "worker" in sys.argv:
    write_in_background()
configure_logging(level="debug", log_format=sys.argv[1])
structlog.get_logger().info("ours", value=Broken())
logging.getLogger("celery.worker").error("theirs %s", "too")
logging.getLogger("kombu").error("wrongly %d formatted", "it is")
warnings.warn("a warning")
print("words", file=sys.stderr)
thread = threading.Thread(target=fail)
thread.start()
thread.join()
Broken()
gc.collect()
sys.stderr.flush()
"""


class Disk:
    """What stands in for the system's `write`: a disk with so many bytes left."""

    def __init__(self, left: int) -> None:
        self.left = left
        self.written = b""

    def write(self, descriptor: int, octets: memoryview) -> int:
        del descriptor
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        some = bytes(octets[: self.left])
        self.left -= len(some)
        self.written += some
        return len(some)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Give a disk that is full."""
    found = Disk(0)
    monkeypatch.setattr(os, "write", found.write)
    return found


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Give the two ends of a pipe."""
    reading, writing = os.pipe()
    yield reading, writing
    os.close(reading)
    os.close(writing)


def test_a_line_that_cannot_be_written_is_dropped_and_counted(disk: Disk) -> None:
    """Whoever writes it does not notice."""
    stream = Unfailing(2)
    assert stream.write(b"one\ntwo\n") == 8
    assert stream.write(b"three\n") == 6
    assert (stream.dropped, disk.written) == (3, b"")


@pytest.mark.parametrize(
    ("left", "written", "dropped"),
    [
        (0, b"third\n", 2),
        (2, b"fi\nthird\n", 2),
        (5, b"first\nthird\n", 2),
        (6, b"first\nthird\n", 1),
        (8, b"first\nse\nthird\n", 1),
    ],
)
def test_half_a_line_spoils_no_other(disk: Disk, left: int, written: bytes, dropped: int) -> None:
    """What is written once the disk has room again begins a line of its own."""
    stream = Unfailing(2)
    disk.left = left
    stream.write(b"first\nsecond\n")
    disk.left = 100
    stream.write(b"third\n")
    assert (disk.written, stream.dropped) == (written, dropped)


def test_a_descriptor_that_does_not_wait_is_waited_for(pipe: tuple[int, int]) -> None:
    """Another process that has the same pipe can have made it so."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    stream = InBackground(writing)
    line = b"x" * 999 + b"\n"
    for _ in range(1000):
        stream.write(line)
    with os.fdopen(os.dup(reading), "rb") as reader:
        assert [reader.readline() == line for _ in range(1000)] == [True] * 1000
    assert stream.dropped == 0


def test_a_pipe_that_nobody_reads_keeps_nobody(pipe: tuple[int, int]) -> None:
    """Beyond what may wait lines are dropped; once they can be written again, one says how many."""
    reading, writing = pipe
    stream = InBackground(writing)
    structlog.configure(
        processors=[structlog.processors.LogfmtRenderer()],
        logger_factory=structlog.WriteLoggerFactory(_text(stream)),
    )
    line = b"x" * 65535 + b"\n"
    try:
        written = 3 * MAX_WAITING_BYTES // len(line)
        for _ in range(written):
            stream.write(line)
        assert stream.dropped > 0
        stream.write_last()
        with os.fdopen(os.dup(reading), "rb") as reader:
            lines = [reader.readline() for _ in range(written - stream.dropped + 1)]
            told = [read for read in lines if read != line]
            assert [f"lines={stream.dropped}" in read.decode() for read in told] == [True]
            stream.write(b"on it goes\n")
            assert reader.readline() == b"on it goes\n"
    finally:
        structlog.reset_defaults()


def test_what_could_not_be_told_is_told_later(disk: Disk) -> None:
    """The line that says how many were dropped may be the next one that is."""
    stream = InBackground(2)
    structlog.configure(
        processors=[lambda _, __, event: f"{event['lines']} dropped"],
        logger_factory=structlog.WriteLoggerFactory(_text(stream)),
    )
    try:
        stream.write(b"a\nb\n")
        wait_until(lambda: stream.dropped == 2, "they are dropped")
        disk.left = len(b"one\n")
        stream.write(b"one\n")
        wait_until(lambda: stream.dropped == 3, "so is what tells of them")
        disk.left = 100
        stream.write(b"two\n")
        wait_until(lambda: b"dropped" in disk.written, "it is told")
    finally:
        structlog.reset_defaults()
    assert disk.written == b"one\ntwo\n3 dropped\n"


@pytest.mark.slow
@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("role", ["command", "worker"])
@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-", "2>/dev/full >&2", "<&- >&- 2>&-"])
def test_whatever_a_process_says_its_exit_status_is_its_own(
    redirection: str, role: str, log_format: str
) -> None:
    """Not even Python's own last flush fails."""
    process = subprocess.run(
        [
            "sh",
            "-c",
            f'exec "$0" "$@" {redirection}',
            sys.executable,
            "-c",
            SPEAKS,
            log_format,
            role,
        ],
        env=environment({}),
        timeout=30,
        check=False,
    )
    assert process.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("role", ["command", "worker"])
def test_everything_is_written_where_it_can_be(role: str) -> None:
    """A line with a value that cannot be shown as well."""
    process = subprocess.run(
        [sys.executable, "-c", SPEAKS, "json", role],
        env=environment({}),
        capture_output=True,
        timeout=30,
        check=True,
    )
    said = process.stderr.decode()
    parts = ['"ours"', "theirs too", "a warning", "words", "nor this", "nobody catches this"]
    assert [part for part in parts if part not in said] == []


@pytest.mark.slow
def test_the_last_lines_are_written_before_the_end() -> None:
    """However many they are, and also where the process ends itself at once."""
    script = (
        "import os, sys\n"
        "from config.streams import protect, write_in_background, write_last_lines\n"
        "protect(); write_in_background()\n"
        "for number in range(20000): print(number)\n"
        "if 'at once' in sys.argv: write_last_lines(); os._exit(1)\n"
    )
    for how in ("in order", "at once"):
        process = subprocess.run(
            [sys.executable, "-c", script, how],
            env=environment({}),
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert process.stderr.split() == [str(number).encode() for number in range(20000)]


def test_nobody_waits_long_for_lines_that_cannot_be_written(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process ends in bounded time."""
    monkeypatch.setattr(streams, "LAST_LINES_SECONDS", 0.1)
    stream = InBackground(pipe[1])
    stream.write(b"x" * 1_000_000)
    stream.write_last()
    assert os.read(pipe[0], 1) == b"x"


_text: Callable[[Unfailing], io.TextIOWrapper] = streams._text  # type: ignore[assignment]
