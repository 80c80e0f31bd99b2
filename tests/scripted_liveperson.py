"""A LivePerson that says what a test tells it to, in place of the real client.

What it says is made by the client's own code, from what a server would have answered.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast

from pydantic import SecretStr

from tasks.liveperson.answer import Answer, Kind, cause_of, is_page, no_answer
from tasks.liveperson.app_tokens import AppTokens, Sentinel
from tasks.liveperson.consumer_tokens import ConsumerTokens
from tasks.liveperson.conversation import read_answer
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Domains, Services
from tasks.liveperson.engagement import Engaged, EngagementFailure, LookupFailed, Monitoring, Visit
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tasks.liveperson.tokens import TokenFailure, Tokens
from tasks.messages.job import Job
from tests.jobs import ACCOUNT, make_job
from tests.unit.liveperson.scripted import ScriptedHttp, response

PLACE: Final = "asyncMessagingEnt va.example.liveperson.net"
# Where the ids of an attempt's two items belong in a reply.
PROFILE: Final = "$profile"
CONVERSATION: Final = "$conversation"

_BODIES: Final = Path(__file__).parent / "bodies"

# What a server did with a call: it answered, or it was not reached, or nobody knows.
Heard = HttpResponse | NotSent | FateUnknown


class LivePerson(Protocol):
    """What the tasks ask of LivePerson."""

    @property
    def called_at(self) -> float: ...

    def tokens(self, consumer_id: str) -> Tokens: ...

    def renew(self, tokens: Tokens, stale: Literal["app", "consumer"]) -> None: ...

    def create(
        self,
        job: Job,
        tokens: Tokens,
        *,
        profile_id: str,
        conversation_id: str,
        conversation: Mapping[str, Any] | None = None,
        resends: int = 0,
    ) -> Answer: ...

    def engage(self, job: Job, visit: Visit | None = None) -> Engaged: ...

    def find_open_conversation(self, job: Job, *, visit: Visit | None = None) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What comes back for a CONVERSATION call: its status, and a body, as JSON or to the byte."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def read(self, profile_id: str, conversation_id: str) -> Answer:
        """Judge it as `LivePersonClient.create` does."""
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        body = body.replace(PROFILE.encode(), profile_id.encode())
        body = body.replace(CONVERSATION.encode(), conversation_id.encode())
        answer = read_answer(
            self.status,
            response(self.status, **self.headers).headers,
            body,
            profile_id=profile_id,
            request_id=conversation_id,
        )
        if answer.kind is Kind.CREATED:
            return answer
        page = is_page(answer.kind, self.status)
        cause = cause_of(PLACE, status=self.status, code=answer.error_code, is_page=page)
        return replace(answer, cause=cause)


@dataclass(frozen=True, slots=True)
class Shown:
    """What Monitoring shows of a consumer: the id of the open conversation, or None."""

    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """What happens during the next call that the script answers, before it does."""

    happen: Callable[[], object]


Said = Reply | Answer | TokenFailure | EngagementFailure | Engaged | LookupFailed | Shown
Script = Said | Meanwhile


class ScriptedLivePerson:
    """Says what its script says, in that order, and notes each call in `calls`.

    Tokens are given unless the script has a TokenFailure in their place; they are new ones once
    they were renewed. `sent` holds the conversations of the CONVERSATION calls.
    """

    def __init__(self, *script: Script) -> None:
        self.script: Final = deque(script)
        self.calls: Final[list[str]] = []
        self.sent: Final[list[Mapping[str, Any]]] = []
        self.resends: Final[list[int]] = []
        self._called_at = time.monotonic()
        self._numbers: dict[str, int] = {"app": 1, "consumer": 1}

    @property
    def called_at(self) -> float:
        return self._called_at

    def tokens(self, consumer_id: str) -> Tokens:
        self._note("tokens")
        if self.script and isinstance(failure := self.script[0], TokenFailure):
            self.script.popleft()
            raise failure
        return self._tokens(consumer_id)

    def renew(self, tokens: Tokens, stale: Literal["app", "consumer"]) -> None:
        self._note(f"renew {stale}")
        assert tokens == self._tokens(tokens.consumer_id), "these are no longer the tokens"
        self._numbers[stale] += 1

    def create(
        self,
        job: Job,
        tokens: Tokens,
        *,
        profile_id: str,
        conversation_id: str,
        conversation: Mapping[str, Any] | None = None,
        resends: int = 0,
    ) -> Answer:
        self._note("create")
        self.resends.append(resends)
        assert tokens == self._tokens(job.consumer_id), "these are no longer the tokens"
        assert profile_id != conversation_id
        self.sent.append(job.conversation if conversation is None else conversation)
        match self._next():
            case Reply() as reply:
                return reply.read(profile_id, conversation_id)
            case Answer() as answer:
                return answer
            case other:
                raise AssertionError(f"a conversation was asked for, and the script has {other!r}")

    def engage(self, job: Job, visit: Visit | None = None) -> Engaged:
        del job, visit
        self._note("engage")
        match self._next():
            case Engaged() as engaged:
                return engaged
            case EngagementFailure() as failure:
                raise failure
            case other:
                raise AssertionError(f"an engagement was asked for, and the script has {other!r}")

    def find_open_conversation(self, job: Job, *, visit: Visit | None = None) -> str | None:
        del job, visit
        self._note("look up")
        match self._next():
            case Shown(conversation_id):
                return conversation_id
            case LookupFailed() as failure:
                raise failure
            case other:
                raise AssertionError(f"a look-up was made, and the script has {other!r}")

    def _note(self, call: str) -> None:
        self.calls.append(call)
        self._called_at = time.monotonic()

    def _next(self) -> object:
        """Take the next answer off the script, once what comes before it has happened."""
        while self.script:
            said = self.script.popleft()
            if not isinstance(said, Meanwhile):
                return said
            said.happen()
        return "nothing more"

    def _tokens(self, consumer_id: str) -> Tokens:
        app, consumer = (f"{name}-{number}" for name, number in self._numbers.items())
        return Tokens(consumer_id, app, consumer, f"lp-{consumer_id}")


# What a CONVERSATION call can come to

PROFILE_SET: Final = {"code": "OK", "reqId": PROFILE, "body": {"msg": "OK User Profile set"}}


def created(conversation_id: str = "conversation-1") -> Reply:
    """Answer that the conversation is open."""
    body = {"conversationId": conversation_id}
    return Reply(200, [PROFILE_SET, {"code": "OK", "reqId": CONVERSATION, "body": body}])


def refused_item(code: str, text: str) -> Reply:
    """Refuse the conversation's item, with 400 for the batch."""
    body = {"msg": text}
    return Reply(400, [PROFILE_SET, {"code": code, "reqId": CONVERSATION, "body": body}])


def error_object(status: int, code: int | None = None, title: str = "Refused") -> Reply:
    """Refuse the call with LivePerson's error object."""
    body = {"title": title, **({} if code is None else {"errorCode": code})}
    return Reply(status, {"kind": "resp", "code": status, "body": body})


def page(status: int) -> Reply:
    """Answer as a proxy or a firewall does."""
    return Reply(status, b"<html><title>Request blocked</title></html>")


def documented(name: str, *, status: int) -> Reply:
    """Answer as LivePerson's page prints it; the items of a batch answer ours."""
    body = json.loads((_BODIES / f"{name}.json").read_text(encoding="utf-8"))
    if isinstance(body, list):
        body = [
            {**item, "reqId": ours}
            for item, ours in zip(body, (PROFILE, CONVERSATION), strict=True)
        ]
    return Reply(status, body)


def not_sent(error: str) -> Answer:
    """Say that the call did not get as far as LivePerson."""
    return no_answer(PLACE, NotSent(error))


def fate_unknown(error: str) -> Answer:
    """Say that the call was sent, and no answer to it could be read."""
    return Answer(kind=Kind.UNKNOWN, message=error, cause=cause_of(PLACE, error))


# What comes of the calls before it and after it


def _services(*heard: Heard) -> Services:
    host = response(200, {"baseURI": "va.example.liveperson.net"})
    http = ScriptedHttp([host, *heard])
    return Services(http, _domains(http))


def _domains(http: ScriptedHttp) -> Domains:
    return Domains(
        http,
        account_id=ACCOUNT,
        domain_api_url="https://api.liveperson.net",
        trusted_hosts=[".liveperson.net"],
    )


_CREDENTIALS: Final = Credentials("demo-client", SecretStr("demo-secret"))


def domain_api_says(heard: Heard) -> TokenFailure:
    """Have the Domain API say so, when it is asked for the host of a conversation."""
    try:
        _domains(ScriptedHttp([heard])).base_url("asyncMessagingEnt")
    except NotSent as error:
        return TokenFailure(no_answer("asyncMessagingEnt", error))
    raise AssertionError("the host was found")


def sentinel_says(heard: Heard) -> TokenFailure:
    """Have sentinel say so, when it is asked for an AppJWT."""
    try:
        Sentinel(_services(heard), account_id=ACCOUNT, credentials=_CREDENTIALS).ask()
    except TokenFailure as failure:
        return failure
    raise AssertionError("a token was given")


class _SameToken:
    """An AppJWT that is taken for good."""

    def get(self) -> str:
        return "app-1"

    def invalidate(self, token: str) -> bool:
        del token
        return False


def idp_says(heard: Heard) -> TokenFailure:
    """Have IDP say so, and again to a new AppJWT, when it is asked for a ConsumerJWS."""
    tokens = cast("AppTokens", _SameToken())
    try:
        ConsumerTokens(_services(heard, heard), tokens, account_id=ACCOUNT).get("consumer-1")
    except TokenFailure as failure:
        return failure
    raise AssertionError("a token was given")


def _monitoring(*heard: Heard) -> Monitoring:
    return Monitoring(
        _services(*heard),
        account_id=ACCOUNT,
        credentials=_CREDENTIALS,
        domain_api_url="https://api.liveperson.net",
    )


def look_up_says(heard: Heard) -> LookupFailed:
    """Have Monitoring say so, when it is asked for an open conversation."""
    try:
        _monitoring(heard).find_open_conversation(make_job())
    except LookupFailed as failure:
        return failure
    raise AssertionError("the look-up told something")


def engagement_says(heard: Heard) -> Engaged | EngagementFailure:
    """Have Monitoring say so, when it is asked for an engagement."""
    try:
        return _monitoring(heard).engage(make_job(engagement={}))
    except EngagementFailure as failure:
        return failure
