"""Reads from a server that may be away or hang, without waiting long."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from config.urls import said

T = TypeVar("T")

log = structlog.get_logger()


class Looking(Generic[T]):
    """Reads from a server in its own thread, one call at a time.

    `is_up` tells whether the server answered the last time.
    """

    def __init__(self, server: str, url: str, look: Callable[[], T]) -> None:
        """`server` is its name in the log; passwords in its `url` are not logged."""
        self.server = server
        self.is_up = True
        self._url = url
        self._look = look
        self._changed = threading.Condition()
        self._wanted = self._ended = 0
        self._found: T | None = None
        self._error: Exception | None = None
        threading.Thread(target=self._run, name=f"look-{server}", daemon=True).start()

    def look(self, *, seconds: float) -> T | None:
        """Return what `look` returns; None if the server does not answer within `seconds`."""
        with self._changed:
            self._wanted += 1
            mine = self._wanted
            self._changed.notify_all()
            if self._changed.wait_for(lambda: self._ended >= mine, seconds):
                found, error = self._found, self._error
            else:
                found, error = None, TimeoutError(f"no answer within {seconds:g} s")
        self._note(error)
        return found

    def _note(self, error: Exception | None) -> None:
        """Log when the server goes away, and when it is back."""
        was_up, self.is_up = self.is_up, error is None
        if error is not None and was_up:
            log.warning("exporter.server_away", server=self.server, error=said(error, self._url))
        elif error is None and not was_up:
            log.info("exporter.server_back", server=self.server)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted > self._ended)
                began = self._wanted
            found: T | None = None
            error: Exception | None = None
            try:
                found = self._look()
            except Exception as raised:  # noqa: BLE001 - whoever waits for it is to know
                error = raised
            with self._changed:
                self._found, self._error, self._ended = found, error, began
                self._changed.notify_all()
