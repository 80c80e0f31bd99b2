"""Monitoring's Engagement call: a consumer's campaign, or their open conversation.

Sources: Monitoring API, "Overview" and "Engagement". Numbers in its answers are strings in a
CONVERSATION request.
"""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from tasks.liveperson import reading
from tasks.liveperson.answer import Answer, CallFailed, Kind, Pause, no_answer, refusal
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Services
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tasks.messages.fields.conversation import SHARK_CONTEXT
from tasks.messages.job import Job
from tasks.messages.json_text import dumps_compact

_SERVICE = "smt"
_NAME = "Monitoring"
# The two kinds of identity, by their `acr`.
UNAUTHENTICATED = "0"
AUTHENTICATED = "loa1"
ConsumerIdentity = Literal["auth", "unauth", "both"]
_JSON = {"Content-Type": "application/json"}
# The pause after a 429, as LivePerson asks.
PAUSE_SECONDS = 1.0
# Monitoring's internal codes for a visitor and a session that it no longer knows.
_VISITOR_UNKNOWN = 37
_SESSION_UNKNOWN = 39
# And for an app installation, which is the client_id's.
_APP_UNKNOWN = 18
_OF_THE_REQUEST = frozenset({400, 404, 409, 413, 414, 415, 422, 431})
_LOADING = re.compile(r"\bvid: ([\x21-\x7e]{1,256})")


@dataclass(frozen=True, slots=True)
class Visit:
    """The visitor and session of an earlier call; LivePerson refuses clients that open many."""

    visitor_id: str | None = None
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engaged:
    """What Monitoring offered: the campaign, and the context to open a conversation in."""

    campaign_info: Mapping[str, str]
    context: Mapping[str, str]
    visit: Visit

    def merged_into(self, conversation: Mapping[str, Any]) -> dict[str, Any]:
        """Return the conversation with campaign and context.

        Its own language is kept. A context of another type is kept unchanged: only SharkContext has
        the visitor's ids.
        """
        given = conversation.get("conversationContext", {})
        is_shark = given.get("type", SHARK_CONTEXT) == SHARK_CONTEXT
        context = {**given, **self.context} if is_shark else given
        return {
            **conversation,
            "campaignInfo": dict(self.campaign_info),
            "conversationContext": context,
        }


class MonitoringFailed(CallFailed):
    """Monitoring gave no usable answer; `visit` is the one for the next call."""

    def __init__(self, answer: Answer, visit: Visit) -> None:
        super().__init__(answer)
        self.visit = visit


class EngagementFailure(MonitoringFailed):
    """There is no engagement for the job."""


class LookupFailed(MonitoringFailed):
    """It is not known whether the consumer has an open conversation."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The app installation that Monitoring is called for, and the kinds of identity in the call.

    An empty `app_id` means the connector's own installation: the client id. `issuer` is that of
    authenticated identities; "the brand should supply the URL". Without it, the issuer of
    unauthenticated ones is used, since LivePerson's pages differ on whether it may be missing.
    """

    app_id: str = ""
    identity: ConsumerIdentity = "both"
    issuer: str = ""


CONNECTORS_OWN = Installation()


@dataclass(frozen=True, slots=True)
class _Offer:
    """A documented answer: the visit, and the details of its engagements."""

    visit: Visit
    details: tuple[Mapping[str, Any], ...]

    @property
    def open_conversations(self) -> list[Mapping[str, Any]]:
        return [detail for detail in self.details if detail.get("status") == "conversation"]


class Monitoring:
    """Asks the Monitoring API of one account; threads share one."""

    def __init__(
        self,
        services: Services,
        *,
        account_id: str,
        credentials: Credentials,
        domain_api_url: str,
        installation: Installation = CONNECTORS_OWN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._pause = Pause(PAUSE_SECONDS, clock=clock)
        self._account = quote(account_id, safe="")
        self._credentials = credentials
        self._installation = installation
        # "The csds-domain/account-id": the Domain API was called CSDS.
        self._domain_issuer = f"{urlsplit(domain_api_url).netloc}/{account_id}"

    def engage(self, job: Job, visit: Visit | None = None) -> Engaged:
        """Return a campaign and context for a job's consumer; raises EngagementFailure.

        `visit` is that of an earlier attempt; without one, the job's own is used, if it has any.
        """
        if visit is None:
            visit = _own_visit(job)
        body = {**(job.engagement.body if job.engagement else {}), **self._who(job)}
        said, visit = self._ask(body, visit)
        if isinstance(said, _Offer):
            return _engaged(said)
        raise EngagementFailure(said, visit)

    def find_open_conversation(self, job: Job, *, visit: Visit | None = None) -> str | None:
        """Return the id of the open conversation of a job's consumer, None if there is none.

        `visit` is that of an earlier call for the consumer. Raises LookupFailed if Monitoring gave
        no usable answer. "None open" is not usable if only unauthenticated identities were asked
        about.
        """
        who = self._who(job)
        said, visit = self._ask(who, visit or _own_visit(job))
        if isinstance(said, Answer):
            raise LookupFailed(said, visit)
        found = said.open_conversations
        ids = [reading.identifier(detail.get("conversationId")) for detail in found]
        if not all(ids):
            raise _untold(f"{_NAME} shows an open conversation without an id", visit)
        # A connector's consumers are authenticated (its manifest's consumer_identity).
        if not ids and all(one["acr"] != AUTHENTICATED for one in who["identities"]):
            raise _untold(
                f"{_NAME} shows no open conversation, but was asked about an unauthenticated "
                "consumer alone",
                visit,
            )
        return next(iter(ids), None)

    def _who(self, job: Job) -> dict[str, Any]:
        """Identify the consumer both ways: `consumerId` is deprecated for `identities`.

        The job's own values are preferred.
        """
        own = job.engagement.body if job.engagement else {}
        sub, kind = job.consumer_id, self._installation.identity
        identities = [
            {"iss": issuer, "acr": acr, "sub": sub}
            for name, issuer, acr in (
                ("unauth", self._domain_issuer, UNAUTHENTICATED),
                ("auth", self._installation.issuer or self._domain_issuer, AUTHENTICATED),
            )
            if kind in {name, "both"}
        ]
        return {
            "consumerId": own.get("consumerId", sub),
            "identities": own.get("identities") or identities,
        }

    def _ask(self, body: Mapping[str, Any], visit: Visit) -> tuple[_Offer | Answer, Visit]:
        """Return Monitoring's offer, or why there is none, and the visit for the next call."""
        if refused := self._pause.refusal():
            return refused, visit
        try:
            response = self._call(body, visit)
            known = _still_known(visit, response)
            if known != visit:
                visit = known
                response = self._call(body, visit)
        except (NotSent, FateUnknown) as error:
            return no_answer(self._place(), error), visit
        offer = _read(response)
        if offer:
            return offer, offer.visit
        answer = self._refusal(response)
        self._pause.after(answer)
        loading = _LOADING.search(answer.message)
        return answer, Visit(loading[1], visit.session_id) if loading else visit

    def _place(self) -> str:
        return self._services.place(_SERVICE).replace(_SERVICE, _NAME, 1)

    def _refusal(self, response: HttpResponse) -> Answer:
        # The body of a 401 or 403 is undocumented, so any text in it counts.
        is_documented = reading.said if response.status in {401, 403} else reading.error_code
        answer = refusal(
            self._place(),
            response,
            of_the_request=_OF_THE_REQUEST,
            is_documented=lambda document: is_documented(document) not in {"", None},
        )
        unknown_app = answer.http_status == 404 and answer.error_code == _APP_UNKNOWN
        return replace(answer, kind=Kind.CREDENTIALS) if unknown_app else answer

    def _call(self, body: Mapping[str, Any], visit: Visit) -> HttpResponse:
        query = {"v": "1.1", "vid": visit.visitor_id, "sid": visit.session_id, "obh": "true"}
        given = urlencode({name: value for name, value in query.items() if value})
        # The connector's own installation has the client_id for its id (Connector guide).
        app = quote(self._installation.app_id or self._credentials.client_id, safe="")
        path = f"/api/account/{self._account}/app/{app}/engagement?{given}"
        return self._services.call(_SERVICE, "POST", path, headers=_JSON, body=dumps_compact(body))


def _own_visit(job: Job) -> Visit:
    asked = job.engagement
    return Visit(asked.visitor_id, asked.session_id) if asked else Visit()


def _untold(message: str, visit: Visit) -> LookupFailed:
    answer = Answer(kind=Kind.NOT_SENT, http_status=200, message=message, cause=message)
    return LookupFailed(answer, visit)


def _read(response: HttpResponse) -> _Offer | None:
    """Read a documented answer, which always names visitor and session; None for any other."""
    document = reading.document(response.body)
    if response.status not in {200, 201} or not isinstance(document, dict):
        return None
    visitor_id = reading.identifier(document.get("visitorId"))
    session_id = reading.identifier(document.get("sessionId"))
    details = document.get("engagementDetails") or []
    if visitor_id is None or session_id is None or not isinstance(details, list):
        return None
    known = tuple(detail for detail in details if isinstance(detail, dict))
    return _Offer(Visit(visitor_id, session_id), known)


def _still_known(visit: Visit, response: HttpResponse) -> Visit:
    """Return a visit without what Monitoring no longer knows; sessions end before visitors."""
    code = reading.error_code(reading.document(response.body)) if response.status == 404 else None
    if code == _VISITOR_UNKNOWN:
        return Visit()
    return Visit(visit.visitor_id) if code == _SESSION_UNKNOWN else visit


def _engaged(offer: _Offer) -> Engaged:
    for detail in (*offer.open_conversations, *offer.details):
        campaign_id = reading.identifier(detail.get("campaignId"))
        engagement_id = reading.identifier(detail.get("engagementId"))
        if campaign_id and engagement_id:
            context = {
                "type": SHARK_CONTEXT,
                "visitorId": offer.visit.visitor_id,
                "sessionId": offer.visit.session_id,
                "interactionContextId": reading.identifier(detail.get("contextId")),
            }
            return Engaged(
                campaign_info={"campaignId": campaign_id, "engagementId": engagement_id},
                context={name: value for name, value in context.items() if value},
                visit=offer.visit,
            )
    message = (
        f"{_NAME} offers this consumer no engagement; check that a published campaign targets them"
    )
    raise EngagementFailure(
        Answer(kind=Kind.REJECTED, http_status=200, message=message, cause=message), offer.visit
    )


def read_visit(written: str) -> Visit | None:
    """Read a visit as the ledger keeps it; None if it has none."""
    return Visit(*json.loads(written)) if written else None


def write_visit(visit: Visit) -> str:
    """Write a visit as the ledger keeps it."""
    return json.dumps([visit.visitor_id, visit.session_id])
