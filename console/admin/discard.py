"""Discards dead letters, each only after it was written to a file."""

from __future__ import annotations

from typing import Final

from kombu import Message

from console.admin.dead_letters import Dead
from console.output import Output, escaped
from tasks.messages.json_text import dumps_compact

BATCH_LETTERS: Final = 200


class Discarder:
    """Writes dead letters to a file in batches, and acknowledges them once they are on disk."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._batch: list[Message] = []

    def add(self, message: Message, letter: Dead) -> None:
        """Discard one more dead letter, with the next batch."""
        self._out.write(escaped(dumps_compact(letter.document).decode()))
        self._batch.append(message)
        if len(self._batch) == BATCH_LETTERS:
            self.flush()

    def flush(self) -> None:
        """Commit the file and acknowledge its letters. It can be stopped and repeated anywhere."""
        self._out.commit()
        for message in self._batch:
            message.ack()
        self._batch = []
