"""`overture schema`: prints a message schema."""

from __future__ import annotations

from pathlib import Path

import click

from console.help import examples
from console.listing import as_json, output_option, write_text
from tasks.messages.schema import NAMES, Name, schema


@click.command(epilog=examples("overture schema result"))
@click.argument("name", type=click.Choice(NAMES), default="job")
@output_option
def command(name: Name, *, output: Path | None) -> None:
    """Print the JSON Schema of a job, a result or a dead letter, or all three as AsyncAPI."""
    write_text(as_json(schema(name)), output)
