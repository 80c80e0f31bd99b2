"""The Lua scripts of the queues."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from redis import Redis
from redis.commands.core import Script

from tasks.store.connection import SCRIPTS as STORE_SCRIPTS
from tasks.store.connection import joined

SCRIPTS: Final = Path(__file__).parent / "lua"


def queue_script(client: Redis, name: str) -> Script:
    """Return a script of the queues, ready to be called; clocks are judged as the store's are."""
    files = (STORE_SCRIPTS / "clock.lua", SCRIPTS / "queue.lua", SCRIPTS / f"{name}.lua")
    return joined(client, *files)
