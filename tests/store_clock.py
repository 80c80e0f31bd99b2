"""A clock for the store's scripts that stands still until a test moves it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from redis import Redis

from tasks.store import connection as scripts

START_MS = 1.7e12
# Whose scripts can read it: in a cluster a script reads what has its keys' tag.
TAGS = ("12345678", "87654321")
# Behind the real one, which it hides.
SCRIPT = """
local function clock()
  return tonumber(redis.call('GET', 'test:now:' .. string.match(KEYS[1], '{.-}')))
end
"""


class StoreClock:
    """The time that every script made from now on goes by."""

    def __init__(self, store: Redis, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        copy = folder / "lua"
        shutil.copytree(scripts.SCRIPTS, copy)
        with (copy / "clock.lua").open("a") as script:
            script.write(SCRIPT)
        monkeypatch.setattr(scripts, "SCRIPTS", copy)
        self.store = store
        self._now = START_MS
        self.advance(0)

    def advance(self, seconds: float) -> None:
        """Let time pass; less than none sets the clock back."""
        self._now += seconds * 1000
        for tag in TAGS:
            self.store.set(f"test:now:{{{tag}}}", f"{self._now:.3f}")

    def seconds(self) -> float:
        """Return the time, in Unix seconds."""
        return self._now / 1000
