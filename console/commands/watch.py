"""`overture watch`: counts, queues and limits, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Final

import click
from rich.console import RenderableType
from rich.live import Live

from console.admin.overview import take_overview
from console.help import examples
from console.output import writing
from console.params import Number
from console.servers import open_servers, read_settings
from console.tables import console, show_overview, width_of_terminal

SLOWEST_SECONDS: Final = 24 * 60 * 60


@click.command(epilog=examples("overture watch --every 5"))
@click.option(
    "--every",
    type=Number(min=0.2, max=SLOWEST_SECONDS),
    default=1.0,
    show_default=True,
    help="Seconds between updates.",
)
def command(*, every: float) -> None:
    """Show counts, queues and limits, live, until Ctrl-C."""
    settings = read_settings()
    screen = console()
    with open_servers(settings) as servers, ExitStack() as stack:
        show: Callable[[RenderableType], None] = screen.print
        if screen.is_terminal and not screen.is_dumb_terminal:
            live = stack.enter_context(Live(console=screen, auto_refresh=False))
            show = partial(live.update, refresh=True)
        while True:
            overview = take_overview(servers.broker, servers.store, settings)
            with writing():
                show(show_overview(overview, width_of_terminal()))
            time.sleep(every)
