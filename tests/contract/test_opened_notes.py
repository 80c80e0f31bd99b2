"""For which job a conversation was opened: many notes in little memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from redis import Redis

from tasks.store.connection import Keys, script
from tasks.store.finished import note_name, read_note, write_note
from tests.jobs import ACCOUNT
from tests.memory_store import ON_EITHER_STORE
from tests.store_clock import StoreClock

pytestmark = ON_EITHER_STORE

KEYS = Keys(ACCOUNT)
DAY_MS = 86_400_000
DAYS = 8
NOTE = "note_opened(KEYS[1], ARGV[1], ARGV[2], clock(), tonumber(ARGV[3]))\nreturn 1\n"


class Notes:
    """An account's notes, by the store's scripts alone."""

    def __init__(self, store: Redis, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.clock = StoreClock(store, folder, patch)
        (folder / "lua" / "note.lua").write_text(NOTE)
        self._note = script(store, "clock", "opened", "note")
        self._opener = script(store, "clock", "opened", "opener")

    def write(self, conversation_id: str, job_id: str) -> None:
        """Note for which job a conversation was opened."""
        arguments: list[bytes | int] = [note_name(conversation_id), write_note(job_id), DAY_MS]
        self._note([KEYS.opened], arguments)

    def read(self, conversation_id: str) -> str:
        """Look it up."""
        keys = [KEYS.opened, KEYS.old_conversation(conversation_id)]
        note, _ = self._opener(keys, [note_name(conversation_id), DAYS])
        return read_note(note) if note else ""


@pytest.fixture
def notes(store: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notes:
    """Give the notes of an account that has none."""
    return Notes(store, tmp_path, monkeypatch)


def test_each_of_many_is_found(notes: Notes, store: Redis) -> None:
    """In hashes that a server keeps in one piece, which all go in time."""
    wanted = {f"conversation-{number}": f"job-{number}" for number in range(2000)}
    for conversation_id, job_id in wanted.items():
        notes.write(conversation_id, job_id)
    assert {name: notes.read(name) for name in wanted} == wanted
    assert notes.read("conversation-2000") == ""
    names = list(store.scan_iter(f"{KEYS.opened}:*"))
    hashes = [name for name in names if store.type(name) == b"hash"]
    assert max(store.hlen(name) for name in hashes) <= 128
    assert len(hashes) < len(wanted) / 20
    assert all(DAY_MS < store.pttl(name) <= 2 * DAY_MS for name in names)


def test_those_of_the_last_days_are_found(notes: Notes) -> None:
    """As those that were written before the clock was set back."""
    notes.write("first", "job-1")
    notes.clock.advance(7 * 86_400)
    notes.write("second", "job-2")
    assert (notes.read("first"), notes.read("second")) == ("job-1", "job-2")
    notes.clock.advance(-86_400)
    assert (notes.read("first"), notes.read("second")) == ("job-1", "job-2")


@pytest.mark.parametrize("job_id", ["order 4711", "8602832d-1c5f-4a8e-9a0b-0c6f3d2e1a11", 'ß\\"{}'])
def test_any_id_is_kept(notes: Notes, job_id: str) -> None:
    """Whatever it looks like; and the last one counts."""
    notes.write("conversation", "another")
    notes.write("conversation", job_id)
    assert notes.read("conversation") == job_id
