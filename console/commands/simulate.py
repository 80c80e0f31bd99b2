"""`overture simulate`: runs the LivePerson simulator on its own."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from config.extras import demand_extra

# The simulator and its libraries; an image for production has none of them.
SIMULATOR: Final = ("simulator", "aiohttp", "jwt")


@click.command(
    add_help_option=False,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def command(options: tuple[str, ...]) -> None:
    """Become the simulator, which parses its own options; none of our code imports it."""
    demand_extra("demo", *SIMULATOR)
    os.execv(sys.executable, [sys.executable, "-m", "simulator", *options])  # noqa: S606 - no shell is wanted
