"""`overture watch`: the overview, live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import click
from rich.console import RenderableType
from rich.live import Live

from worker.cli.reach import reach, read_settings
from worker.cli.view import console, show_overview
from worker.operator.overview import take_overview


@click.command()
@click.option(
    "--every",
    type=click.FloatRange(min=0.2),
    default=1.0,
    show_default=True,
    help="Seconds between two looks.",
)
def command(*, every: float) -> None:
    """Show counts, queues and limits until Ctrl-C."""
    settings = read_settings()
    screen = console()
    with reach(settings) as within, ExitStack() as stack:
        show: Callable[[RenderableType], None] = screen.print
        if screen.is_terminal:
            live = stack.enter_context(Live(console=screen, auto_refresh=False))
            show = partial(live.update, refresh=True)
        while True:
            show(show_overview(take_overview(within.broker_url, within.store, settings)))
            time.sleep(every)
