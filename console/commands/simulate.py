"""`overture simulate`: runs the LivePerson simulator on its own."""

from __future__ import annotations

import os
import sys

import click


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(options: tuple[str, ...]) -> None:
    """Become the simulator, which parses its own options; none of our code imports it."""
    os.execv(sys.executable, [sys.executable, "-m", "simulator", *options])  # noqa: S606 - no shell is wanted
