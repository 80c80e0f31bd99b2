"""Where the broker and the store are: as configured, or the embedded Valkey for what is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from config.settings import Settings
from worker.embedded.server import ensure_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The URLs of the broker and of the store; they may hold passwords."""

    broker_url: str = field(repr=False)
    store_url: str = field(repr=False)


@contextlib.contextmanager
def servers(settings: Settings) -> Iterator[Servers]:
    """Give the broker's and the store's URLs, with the embedded server running if it is needed.

    A Redis broker is the store too, unless a store is named; the settings demand one beside
    RabbitMQ. The embedded server serves as store only where it is the broker as well: it is this
    folder's alone. Raises what `ensure_server` raises.
    """
    store = settings.store_url.get_secret_value() if settings.store_url else None
    if settings.broker_url is not None:
        broker = settings.broker_url.get_secret_value()
        yield Servers(broker_url=broker, store_url=store or broker)
        return
    with ensure_server(settings.data_dir) as embedded:
        yield Servers(broker_url=embedded.url, store_url=store or embedded.url)
