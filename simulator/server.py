"""Serves until told to stop."""

import asyncio
import signal

import click
from aiohttp import web

from simulator.app import create_app
from simulator.state import State

SHUTDOWN_SECONDS = 0.2
"""How long calls in flight may go on once the simulator is told to stop."""
IDLE_SECONDS = 300.0
"""How long an unused connection is kept open."""
BACKLOG = 1024
MAX_HEADER_BYTES = 32 * 1024
"""Room for a ConsumerJWS whose ext_consumer_id is long and escaped."""


async def _serve(state: State, host: str, port: int) -> None:
    runner = web.AppRunner(
        create_app(state),
        access_log=None,
        keepalive_timeout=IDLE_SECONDS,
        max_field_size=MAX_HEADER_BYTES,
        shutdown_timeout=SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, backlog=BACKLOG).start()
        stop = asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(name, stop.set)
        bound_port = runner.addresses[0][1]
        shown = f"[{host}]" if ":" in host else host
        click.echo(f"simulator ready on http://{shown}:{bound_port}")
        await stop.wait()
    finally:
        await runner.cleanup()


def run(state: State, *, host: str, port: int) -> None:
    """Listen and serve until SIGTERM or SIGINT; raise OSError if the address cannot be had."""
    asyncio.run(_serve(state, host, port))
