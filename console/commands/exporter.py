"""`overture exporter`: serves metrics of what the pool shares."""

from __future__ import annotations

import threading

import click
import structlog

from config.extras import demand_extra
from config.logs import configure_logging
from config.values import address as checked
from console.help import examples
from console.output import Problem
from console.servers import open_servers, read_settings
from worker.redacted import secrets_of
from worker.serving import CannotServe, PageServer
from worker.stop import on_signals

DEFAULT_ADDRESS = "127.0.0.1:9465"

log = structlog.get_logger()


class Address(click.ParamType[str]):
    """`host:port`."""

    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Refuse anything that is not an address."""
        try:
            return checked(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(epilog=examples("overture exporter --address 0.0.0.0:9465 --workers 2"))
@click.option(
    "--address",
    type=Address(),
    help=f"Where to serve.  [default: OVERTURE_METRICS_ADDRESS, else {DEFAULT_ADDRESS}]",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="How many workers there should be; an alert tells of fewer.",
)
def command(*, address: str | None, workers: int) -> int:
    """Serve metrics of what the pool shares, for Prometheus, until SIGTERM or Ctrl-C.

    Queues, limits, holds, workers and the ledger's counts are at /metrics; /healthz says that it
    serves. It looks at broker and store when it is scraped, and goes on while they are away. One
    exporter is enough for a pool.
    """
    settings = read_settings()
    where = address or settings.metrics_address or DEFAULT_ADDRESS
    demand_extra("metrics", "prometheus_client")
    from console.admin.exporter import Exporter  # noqa: PLC0415 - what it imports may be missing

    ended = threading.Event()
    on_signals(lambda *_: ended.set())
    configure_logging(
        level=settings.log_level, log_format=settings.log_format, secrets=secrets_of(settings)
    )
    with open_servers(settings) as servers:
        exporter = Exporter(
            servers.broker, servers.store, settings, store_url=servers.store_url, workers=workers
        )
        pages = {"/metrics": exporter.metrics, "/healthz": exporter.health}
        try:
            PageServer(where, pages, named_by="--address" if address else "the address")
        except CannotServe as error:
            raise Problem(str(error)) from None
        log.info("exporter.ready", metrics=f"http://{where}/metrics")
        ended.wait()
    return 0
