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
# The size of a call's body without its argument.
CALL_BYTES: Final = len(_BEFORE) + len(_AFTER)

# How many levels deeper a job is nested in a dead letter that is a call than in its own message.
MORE_LEVELS: Final = 3


def call_body(argument: bytes) -> bytes:
    """Return the body of a call with one argument, given as JSON."""
    return _BEFORE + argument + _AFTER


def as_call(message: Outgoing, task: str) -> Outgoing:
    """Turn a message into a call of `task`, with the message's body as its only argument.

    The call's id is the message's own, so that a repeat is the same call. `argsrepr` is empty, so
    that workers do not log arguments, which are personal data.
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
    """Read a result or a dead letter, published plain or as a call. Raises MalformedJSON."""
    return argument_of(loads_strict(body, max_bytes=len(body), max_depth=MAX_DEPTH + MORE_LEVELS))


def argument_of(document: object) -> object:
    """Return a call's argument; a document that is not a call is returned as it is."""
    match document:
        case [[argument], dict(), *_]:
            return argument
    return document
