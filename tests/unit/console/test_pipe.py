"""A pipe knows what its reader has taken."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from console import pipe
from console.output import OutputClosed
from console.pipe import Pipe, is_pipe


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """Give the two ends of a pipe: for reading, for writing."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with suppress(OSError):
            os.close(descriptor)


def test_only_a_pipe_is_one(ends: tuple[int, int]) -> None:
    """No file is, and no terminal."""
    assert is_pipe(ends[1])
    with Path(os.devnull).open("wb") as file:
        assert not is_pipe(file.fileno())


def test_what_was_read_has_arrived(ends: tuple[int, int]) -> None:
    """To the byte."""
    reading, writing = ends
    out = Pipe(writing, stop=threading.Event())
    out.write("ab")
    assert (out.written, out.arrived()) == (3, 0)
    assert os.read(reading, 2) == b"ab"
    assert out.arrived() == 2
    os.read(reading, 1)
    out.commit()
    assert out.arrived() == 3


def test_a_line_is_waited_for_until_it_is_read(ends: tuple[int, int]) -> None:
    """By a reader that comes to it later."""
    reading, writing = ends
    out = Pipe(writing, stop=threading.Event())
    out.write("ab")
    threading.Timer(0.05, os.read, (reading, 10)).start()
    out.commit()
    assert out.arrived() == 3


def test_a_reader_that_has_gone_closes_the_output(ends: tuple[int, int]) -> None:
    """What it left in the pipe has not arrived."""
    reading, writing = ends
    out = Pipe(writing, stop=threading.Event())
    out.write("ab")
    os.read(reading, 1)
    os.close(reading)
    with pytest.raises(OutputClosed):
        out.commit()
    assert out.arrived() == 1
    with pytest.raises(OutputClosed):
        out.write("c")


def test_a_reader_that_is_late_is_not_waited_for_at_each_line(
    ends: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until it has caught up."""
    reading, writing = ends
    monkeypatch.setattr(pipe, "MAX_WAIT_SECONDS", 0.01)
    out = Pipe(writing, stop=threading.Event())
    out.write("ab")
    out.commit()
    monkeypatch.setattr(pipe, "MAX_WAIT_SECONDS", 1000)
    out.write("cd")
    out.commit()
    assert out.arrived() == 0
    assert os.read(reading, 10) == b"ab\ncd\n"
    out.commit()
    threading.Timer(0.05, os.read, (reading, 10)).start()
    out.write("ef")
    out.commit()
    assert out.arrived() == 9


def test_a_signal_ends_the_wait(ends: tuple[int, int]) -> None:
    """Nobody has to wait for a reader in order to stop."""
    stop = threading.Event()
    out = Pipe(ends[1], stop=stop)
    out.write("ab")
    stop.set()
    out.commit()
    assert out.arrived() == 0
