"""A message as it reaches us, whichever broker had it: for the worker, and for every command."""

from __future__ import annotations

from kombu import Message

from tasks.messages.intake import Received
from worker.broker.broker import body_of
from worker.broker.properties import note_of


def received(message: Message) -> Received:
    """Return what is read of a message, and what is known about it."""
    note = note_of(message.properties)
    fault = note.fault
    if message.errors and not fault:
        fault = f"the body cannot be unpacked: {str(message.errors[0][1])[:200]}"
    return Received(
        body=body_of(message),
        headers=message.headers,
        content_type=message.content_type or "",
        content_encoding=message.content_encoding or "",
        left_out=note.left_out,
        cut=note.cut,
        fault=fault,
    )
