"""Where a command's data goes: a file, or standard output. Complaints go to standard error."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final
from unicodedata import category

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn


class Output:
    """Writes lines of UTF-8; `commit` makes them survive this process, in a file also a crash."""

    def __init__(self, path: Path | None, *, append: bool) -> None:
        """Append if the file may be the only copy of its content; else it is overwritten."""
        self._name = str(path or "standard output")
        if path is None and sys.stdout is None:
            raise Problem("standard output is closed, so nothing can be written")
        with self._failures():
            self._own = path.open("ab" if append else "wb") if path else None
            self._file: BinaryIO = self._own or sys.stdout.buffer
            self._is_file = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
            size = path.stat().st_size if path and self._is_file else 0
            self.is_fresh = size == 0
            self.written = self._arrived = 0
            if path and size and not _ends_in_newline(path, size):
                # End a line that was cut short: it was not acknowledged, so it comes again, whole.
                self._file.write(b"\n")

    def close(self) -> None:
        """Close the file; standard output stays open."""
        if self._own is not None:
            with self._failures():
                self._own.close()

    def write(self, line: str) -> None:
        """Write a line."""
        octets = f"{line}\n".encode()
        with self._failures():
            self._file.write(octets)
        self.written += len(octets)

    def commit(self) -> None:
        """Make everything that was written durable."""
        with self._failures():
            self._file.flush()
            if self._is_file:
                os.fsync(self._file.fileno())
        self._arrived = self.written

    def finish(self) -> None:
        """Commit, at the end of the command."""
        self.commit()

    def arrived(self) -> int:
        """Return how many of the written bytes have arrived."""
        return self._arrived

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise Problem(f"{self._name} cannot be written: {error.strerror}") from None


def _ends_in_newline(path: Path, size: int) -> bool:
    with path.open("rb") as file:
        file.seek(size - 1)
        return file.read(1) == b"\n"


class Problem(click.ClickException):
    """Something failed; each sentence says what, and what to do about it. Exit status 1."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the sentences on standard error."""
        del file
        for sentence in self.sentences:
            complain(sentence)


class Interrupted(Exception):
    """Ctrl-C, with sentences about what is done and what is not."""


class OutputClosed(Exception):
    """The reader of the output has closed it."""


@contextmanager
def writing() -> Iterator[None]:
    """Turn an error of writing standard output into OutputClosed or Problem.

    So it is not taken for an error of a server.
    """
    try:
        yield
    except BrokenPipeError:
        raise OutputClosed from None
    except OSError as error:
        raise Problem(f"standard output cannot be written: {error.strerror}") from None


def say(text: str) -> None:
    """Write a line to standard output. Raises OutputClosed or Problem."""
    with writing():
        click.echo(text)


def complain(sentence: str) -> None:
    """Write a sentence to standard error, after the program's name."""
    click.echo(f"overture: {printable(sentence)}", err=True)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 job`, `2 jobs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def is_plain() -> bool:
    """Tell whether the terminal supports neither colours nor cursor movements."""
    return os.environ.get("TERM") in {"dumb", "unknown"}


Report = Callable[[int], None]


@contextmanager
def progress(what: str, *, total: int | None) -> Iterator[Report]:
    """Show a progress bar while the block runs; yields a function to report progress with."""
    if not sys.stderr.isatty() or is_plain():
        yield lambda _: None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %" if total else ""),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=total)
        yield lambda completed: bar.update(task, completed=completed)


# Characters that JSON allows unescaped, but that can control a terminal: DEL, the C1 controls, and
# those that change the direction of text.
_STEERING: Final = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Replace characters that are neither visible nor blank by question marks."""
    return "".join(one if one.isprintable() or category(one) == "Zs" else "?" for one in text)


def escaped(json_text: str) -> str:
    """Escape such characters of a JSON text, so that it means the same."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)
