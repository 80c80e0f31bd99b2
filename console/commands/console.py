"""`overture console`: the commands' reading and acting, as pages in a browser."""

from __future__ import annotations

import asyncio

import click

from config.extras import demand_extra
from config.logs import configure_logging
from config.values import host_and_port
from console.commands.exporter import Address
from console.help import examples
from console.output import say
from console.servers import open_servers, read_settings
from worker.redacted import secrets_of
from worker.stop import on_signals

DEFAULT_ADDRESS = "127.0.0.1:9466"


@click.command(epilog=examples("overture console", "overture console --address 127.0.0.1:8080"))
@click.option(
    "--address",
    type=Address(),
    default=DEFAULT_ADDRESS,
    show_default=True,
    help="Where to serve.",
)
def command(*, address: str) -> int:
    """Serve the console in a browser, until SIGTERM or Ctrl-C.

    It shows how everything stands, submissions, dead letters, jobs and workers, and pauses,
    resumes, cancels, replays and discards like the commands. Beyond this machine it is served only
    with a password (OVERTURE_CONSOLE_PASSWORD; OVERTURE_CONSOLE_READER_PASSWORD for whoever may
    only look). What is changed through it is written to the log.
    """
    settings = read_settings()
    demand_extra("console", "aiohttp", "jinja2")
    from console.web.app import make_app, serve  # noqa: PLC0415 - what it imports may be missing

    configure_logging(
        level=settings.log_level, log_format=settings.log_format, secrets=secrets_of(settings)
    )

    def ready(ended: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        on_signals(lambda *_: loop.call_soon_threadsafe(ended.set))
        say(f"the console is at http://{address}/")

    with open_servers(settings) as servers:
        app = make_app(servers, settings, host=host_and_port(address)[0])
        asyncio.run(serve(app, address, ready=ready))
    return 0
