"""The call that every endpoint takes, and the answer that it returns: both are plain values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

JSON_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Call:
    """One request, read whole.

    `path` has the variable parts of the URL; `at` is when the call came, in Unix seconds.
    """

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    at: float

    @property
    def account_id(self) -> str:
        """The account named in the URL: every LivePerson URL names one."""
        return self.path["account_id"]

    @property
    def media_type(self) -> str:
        """The Content-Type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Answer:
    """One response, ready to be written."""

    status: int
    content: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Ends a call with an answer; nothing is done."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def json_answer(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Answer:
    """Encode `body` as compact JSON; in ASCII, so that whatever was sent can be echoed."""
    content = json.dumps(body, separators=(",", ":")).encode()
    return Answer(status, content, headers=headers or {})


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def read_json(content: bytes) -> Any:
    """Decode strict JSON; raise ValueError for anything else, NaN and bad UTF-8 included."""
    try:
        return _DECODER.decode(content.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
