"""Where broker and store are: as configured, or the embedded Valkey for what it may serve as."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from config.settings import Settings
from worker.embedded import servers as module
from worker.embedded.server import EmbeddedServer
from worker.embedded.servers import servers

EMBEDDED = "redis://embedded/0"


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Put something that starts nothing in place of the embedded server."""
    folders: list[Path] = []

    @contextmanager
    def ensure(folder: Path) -> Iterator[object]:
        folders.append(folder)
        yield EmbeddedServer(url=EMBEDDED, pid=0)

    monkeypatch.setattr(module, "ensure_server", ensure)
    return folders


@pytest.mark.parametrize(
    ("broker", "store", "used"),
    [
        (None, None, (EMBEDDED, EMBEDDED)),
        (None, "redis://shared/0", (EMBEDDED, "redis://shared/0")),
        ("redis://own/0", None, ("redis://own/0", "redis://own/0")),
        ("valkey://own/0", "redis://shared/0", ("valkey://own/0", "redis://shared/0")),
        ("amqp://own//", "redis://shared/0", ("amqp://own//", "redis://shared/0")),
    ],
)
def test_the_embedded_server_is_a_store_where_it_is_the_broker_too(
    started: list[Path], broker: str | None, store: str | None, used: tuple[str, str]
) -> None:
    """Beside another broker it would be this folder's alone."""
    settings = Settings(
        broker_url=SecretStr(broker) if broker else None,
        store_url=SecretStr(store) if store else None,
    )
    with servers(settings) as found:
        assert (found.broker_url, found.store_url) == used
    assert bool(started) == (EMBEDDED in used)
