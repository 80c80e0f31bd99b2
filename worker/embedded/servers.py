"""The broker's and the store's URLs: as configured, or those of the embedded Valkey."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from config.settings import Settings
from worker.embedded.server import ensure_server


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The URLs of broker and store, which may contain passwords."""

    broker_url: str = field(repr=False)
    store_url: str = field(repr=False)


@contextlib.contextmanager
def servers(settings: Settings) -> Iterator[Servers]:
    """Yield the broker's and the store's URLs; the embedded server runs meanwhile, if needed.

    A Redis broker is also the store, unless one is named; with RabbitMQ the settings demand one.
    The embedded server is the store only if it is the broker, too: it belongs to one folder. Raises
    what `ensure_server` raises.
    """
    store = settings.store_url.get_secret_value() if settings.store_url else None
    if settings.broker_url is not None:
        broker = settings.broker_url.get_secret_value()
        yield Servers(broker_url=broker, store_url=store or broker)
        return
    with ensure_server(settings.data_dir) as embedded:
        yield Servers(broker_url=embedded.url, store_url=store or embedded.url)
