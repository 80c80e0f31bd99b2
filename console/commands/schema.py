"""`overture schema`: prints a message schema."""

from __future__ import annotations

import json

import click

from console.output import say
from tasks.messages.schema import NAMES, Name, schema


@click.command()
@click.argument("name", type=click.Choice(NAMES), default="job")
def command(name: Name) -> None:
    """Print the JSON Schema of a job, a result or a dead letter, or all three as AsyncAPI."""
    say(json.dumps(schema(name), indent=2, ensure_ascii=False))
