"""Finds jobs that a file contains twice, for any number of jobs, in bounded memory."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Final

# How much SQLite keeps in memory; the rest is in a temporary file of its own.
CACHE_KIB: Final = 4096


class NotKept(Exception):
    """The disk is full, or not writable; the text says where, and what to do."""


class Repeats:
    """The jobs of a file so far, on disk. Its methods can raise NotKept."""

    def __init__(self) -> None:
        with _on_disk():
            # An empty name means a temporary file, which is deleted with the connection.
            self._database = sqlite3.connect("", isolation_level=None)
            for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{CACHE_KIB}"):
                self._database.execute(f"PRAGMA {pragma}")
            self._database.execute("CREATE TABLE jobs (id BLOB PRIMARY KEY) WITHOUT ROWID")
            self._database.execute("BEGIN")

    def close(self) -> None:
        """Delete the temporary file."""
        self._database.close()

    def is_new(self, account_id: str, job_id: str, digest: str) -> bool:
        """Note a job; False if one with the same id and content was noted before."""
        known = sha256(f"{account_id}\0{job_id}\0{digest}".encode()).digest()[:16]
        with _on_disk():
            noted = self._database.execute("INSERT OR IGNORE INTO jobs VALUES (?)", (known,))
        return noted.rowcount == 1


@contextmanager
def _on_disk() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise NotKept(
            f"the ids of the file's jobs cannot be kept in {tempfile.gettempdir()}: {error}; "
            "set TMPDIR to another folder"
        ) from None
