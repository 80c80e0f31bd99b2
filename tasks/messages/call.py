"""An outcome as a call of a Celery task, so that an ordinary Celery worker can take it.

Source: Celery's message protocol 2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from tasks.messages.json_text import MAX_DEPTH, loads_strict
from tasks.messages.outgoing import Outgoing

_BEFORE: Final = b"[["
_AFTER: Final = b'],{},{"callbacks":null,"errbacks":null,"chain":null,"chord":null}]'
# What a call has beside its argument.
CALL_BYTES: Final = len(_BEFORE) + len(_AFTER)

# How much deeper than in its own message a job can lie in a dead letter that is a call.
MORE_LEVELS: Final = 3


def call_body(argument: bytes) -> bytes:
    """Write the body of a call with one argument, which is JSON already."""
    return _BEFORE + argument + _AFTER


def as_call(message: Outgoing, task: str) -> Outgoing:
    """Write a message as a call of `task` whose one argument is what the message holds.

    The call's id is the message's own: a repeat is the same call. Workers show no arguments of it,
    as these are personal data.
    """
    headers = {
        **message.headers,
        "lang": "py",
        "task": task,
        "id": message.message_id,
        "root_id": message.message_id,
        "parent_id": None,
        "group": None,
        "shadow": None,
        "eta": None,
        "expires": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": "",
        "kwargsrepr": "",
        "origin": "overture",
    }
    return replace(message, body=call_body(message.body), headers=headers)


def read_outcome(body: bytes) -> object:
    """Read a result or a dead letter, whether it is published plain or as a call.

    Raises MalformedJSON.
    """
    return argument_of(loads_strict(body, max_bytes=len(body), max_depth=MAX_DEPTH + MORE_LEVELS))


def argument_of(document: object) -> object:
    """Return what a call holds; a message that is no call is what it holds itself."""
    match document:
        case [[argument], dict(), *_]:
            return argument
    return document
