"""Stand-ins below the modules under test: an Http that answers from a list, and a clock."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from urllib3 import HTTPHeaderDict

from tasks.liveperson.http import FateUnknown, Http, HttpResponse, NotSent
from tasks.messages.job import Job, parse_job

ACCOUNT = "12345678"


def job(**fields: Any) -> Job:
    """Make a job of the one account."""
    document = {"jobId": "job-1", "consumerId": "c-9f2", **fields}
    return parse_job(document, accounts=[ACCOUNT])


def response(status: int, body: Any = b"", **headers: str) -> HttpResponse:
    """Make an answer; `Retry_After` in the keywords stands for `Retry-After`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return HttpResponse(status, HTTPHeaderDict(named), content)


def jwt(**claims: Any) -> str:
    """Make a token that can be read but not verified."""

    def part(content: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return f"{part({'typ': 'JWT', 'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None


@dataclass
class ScriptedHttp(Http):
    """Gives the next of its answers to each call, and keeps the calls."""

    answers: list[HttpResponse | NotSent | FateUnknown]
    calls: list[Call] = field(default_factory=list)

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        service: str = "",
        resends: int = 0,
    ) -> HttpResponse:
        assert service
        assert resends >= 0
        self.calls.append(Call(method, url, headers, body))
        answer = self.answers.pop(0)
        if isinstance(answer, HttpResponse):
            return answer
        raise answer


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float = 1_900_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now
