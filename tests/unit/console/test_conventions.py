"""What all commands have in common; a new one has to say which kind it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import click
import pytest
from click.testing import CliRunner

from console import main

# What lists or reports.
REPORTS: Final = {
    "results",
    "status",
    "workers",
    "find",
    "check",
    "schema",
    "limits show",
    "dead-letters list",
    "dead-letters show",
    "dead-letters export",
    "submissions list",
    "submissions show",
    "submissions report",
}
# Of these there is but one form, JSON.
OF_ONE_FORM: Final = {"schema", "dead-letters show"}
# What destroys something, or does it once more.
ASKS: Final = {
    "cancel",
    "forget",
    "dead-letters replay",
    "dead-letters discard",
    "submissions cancel",
}
# What runs, changes something that can be changed back, or says a word.
OTHERS: Final = {
    "demo",
    "worker",
    "submit",
    "watch",
    "pause",
    "resume",
    "broker-url",
    "health",
    "console",
    "exporter",
    "simulate",
    "limits set",
    "submissions pause",
    "submissions resume",
}


def commands() -> Iterator[tuple[str, click.Command]]:
    """Give every command with the words that call it, those of groups included."""
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            for below, one in command.commands.items():
                yield f"{name} {below}", one


EVERY: Final = dict(commands())


def options(name: str) -> set[str]:
    """Return the options of a command."""
    return {option for parameter in EVERY[name].params for option in parameter.opts}


def test_every_command_is_of_a_known_kind() -> None:
    """Whoever adds one decides what it has to offer."""
    leaves = {name for name, one in EVERY.items() if not isinstance(one, click.Group)}
    assert leaves == REPORTS | ASKS | OTHERS


@pytest.mark.parametrize("name", sorted(REPORTS))
def test_what_reports_has_a_format_and_an_output(name: str) -> None:
    """JSON among the forms, and a file instead of the terminal."""
    assert "--output" in options(name)
    if name not in OF_ONE_FORM:
        (form,) = [one for one in EVERY[name].params if "--format" in one.opts]
        assert isinstance(form.type, click.Choice)
        assert {"json", "jsonl"} & set(form.type.choices)


@pytest.mark.parametrize("name", sorted(ASKS))
def test_what_destroys_or_repeats_takes_a_yes(name: str) -> None:
    """For scripts; whoever sits there is asked."""
    assert "--yes" in options(name)


@pytest.mark.parametrize("name", sorted({*EVERY} - {"simulate"}))
def test_every_help_has_an_example(name: str) -> None:
    """Of that very command, on a line of its own."""
    result = CliRunner().invoke(main, [*name.split(), "--help"], terminal_width=80)
    assert result.exit_code == 0
    _, _, below = result.output.partition("\n  Example")
    _, *examples = below.splitlines()
    assert examples
    assert all(f"overture {name.split(maxsplit=1)[0]}" in example for example in examples)
    assert max(map(len, result.output.splitlines())) <= 80
