"""Where the broker and the store are: as configured, or the embedded Valkey for what is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from config.server_urls import is_redis
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

    A Redis broker is the store too, unless a store is named. Raises what `ensure_server` raises.
    """
    broker = settings.broker_url.get_secret_value() if settings.broker_url else None
    store = settings.store_url.get_secret_value() if settings.store_url else None
    if store is None and broker is not None and is_redis(broker):
        store = broker
    if broker is not None and store is not None:
        yield Servers(broker_url=broker, store_url=store)
        return
    with ensure_server(settings.data_dir) as embedded:
        yield Servers(broker_url=broker or embedded.url, store_url=store or embedded.url)
