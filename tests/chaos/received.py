"""A message that came out, whichever broker it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from config.names import DEAD_LETTERS_QUEUE, RESULTS_QUEUE

OUT_QUEUES: Final = (RESULTS_QUEUE, DEAD_LETTERS_QUEUE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that came out: its queue, its body and the properties it bears."""

    queue: str
    body: bytes
    message_id: str
    type: str
    content_type: str
    headers: Mapping[str, Any]
