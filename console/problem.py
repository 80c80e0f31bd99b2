"""How a command speaks and fails: in sentences, never with a traceback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from console.plain import printable


class Problem(click.ClickException):
    """Something failed; each sentence says what, and what to do about it. Exit status 1."""

    def __init__(self, *sentences: str) -> None:
        super().__init__("\n".join(sentences))
        self.sentences = sentences

    def show(self, file: IO[Any] | None = None) -> None:
        """Say it on standard error."""
        del file
        for sentence in self.sentences:
            complain(sentence)


class Interrupted(Exception):
    """Ctrl-C, where there is something to say about what is done and what is not."""


class OutputClosed(Exception):
    """Whoever read the output has closed it."""


@contextmanager
def writing() -> Iterator[None]:
    """Tell a failure to write standard output from one to reach a server.

    Raises OutputClosed or Problem.
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
    """Write a sentence to standard error, with the program's name before it."""
    click.echo(f"overture: {printable(sentence)}", err=True)
