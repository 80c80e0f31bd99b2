"""All calls to LivePerson for one account, in one object that threads share."""

import ssl
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any, Literal
from urllib.parse import quote

from tasks.liveperson import reading
from tasks.liveperson.answer import OF_THE_ACCOUNT, Answer, Kind, cause_of, is_page, no_answer
from tasks.liveperson.app_tokens import AppTokens, Sentinel, TokenStore
from tasks.liveperson.consumer_tokens import ConsumerTokens
from tasks.liveperson.conversation import ALREADY_OPEN_TEXT, batch, read_answer
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.domains import Domains, Services
from tasks.liveperson.engagement import CONNECTORS_OWN, Engaged, Installation, Monitoring, Visit
from tasks.liveperson.http import FateUnknown, Http, NotSent
from tasks.liveperson.tokens import TokenFailure, Tokens
from tasks.measures import UNMEASURED, Measures
from tasks.messages.job import Job
from tasks.messages.json_text import dumps_ascii
from tasks.tracing import UNTRACED, Tracing

_SERVICE = "asyncMessagingEnt"


class LivePersonClient:
    """Opens conversations of one account, and fetches the tokens and engagements for them.

    `connect_timeout` and `read_timeout` are in seconds, see `Http`; `pool_size` is the number of
    threads. Raises ValueError for a Domain API URL that may not be used.
    """

    def __init__(
        self,
        *,
        account_id: str,
        credentials: Credentials,
        token_store: TokenStore,
        domain_api_url: str,
        trusted_hosts: Collection[str],
        connect_timeout: float,
        read_timeout: float,
        pool_size: int,
        user_agent: str,
        already_open_text: str = ALREADY_OPEN_TEXT,
        tls: ssl.SSLContext | None = None,
        monitoring: Installation = CONNECTORS_OWN,
        measures: Measures = UNMEASURED,
        tracing: Tracing = UNTRACED,
    ) -> None:
        self._http = Http(
            pool_size=pool_size,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            user_agent=user_agent,
            context=tls,
            measures=measures,
            tracing=tracing,
        )
        self.domains = Domains(
            self._http,
            account_id=account_id,
            domain_api_url=domain_api_url,
            trusted_hosts=trusted_hosts,
        )
        services = Services(self._http, self.domains)
        sentinel = Sentinel(services, account_id=account_id, credentials=credentials)
        self.app_tokens = AppTokens(sentinel, token_store, account_id=account_id)
        self._services = services
        self._consumer_tokens = ConsumerTokens(services, self.app_tokens, account_id=account_id)
        self._monitoring = Monitoring(
            services,
            account_id=account_id,
            credentials=credentials,
            domain_api_url=domain_api_url,
            installation=monitoring,
        )
        self._already_open_text = already_open_text
        account = quote(account_id, safe="")
        self._path = f"/api/account/{account}/messaging/consumer/conversation?v=3"

    @property
    def called_at(self) -> float:
        """When a call to LivePerson last ended, on the monotonic clock."""
        return self._http.ended_at

    def tokens(self, consumer_id: str) -> Tokens:
        """Return the tokens of a CONVERSATION call for this consumer; raises TokenFailure.

        The host is looked up here, too, so that `create`, which holds a permit, does not wait.
        """
        try:
            self.domains.base_url(_SERVICE)
        except NotSent as error:
            answer = no_answer(self._services.place(_SERVICE), error)
        else:
            return self._consumer_tokens.get(consumer_id)
        raise TokenFailure(answer)

    def renew(self, tokens: Tokens, stale: Literal["app", "consumer"]) -> None:
        """Drop a token that an answer called stale; `tokens` then fetches a new one."""
        if stale == "app":
            self.app_tokens.invalidate(tokens.app_jwt)
        else:
            self._consumer_tokens.forget(tokens)

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
        """Make one CONVERSATION call; every failure of network or server becomes an Answer.

        The ids are those of the two items, unique to this attempt. `conversation` replaces the
        job's own if an engagement was merged into it. The request was sent `resends` times before.
        """
        body = batch(
            job,
            profile_id=profile_id,
            conversation_id=conversation_id,
            conversation=conversation,
        )
        try:
            origin = self.domains.base_url(_SERVICE)
            response = self._services.call(
                _SERVICE,
                "POST",
                self._path,
                headers=_headers(job, tokens),
                body=body,
                resends=resends,
            )
        except NotSent as error:
            return no_answer(self._services.place(_SERVICE), error)
        except FateUnknown as error:
            cause = cause_of(self._services.place(_SERVICE), str(error))
            return Answer(kind=Kind.UNKNOWN, message=str(error), cause=cause)
        answer = read_answer(
            response.status,
            response.headers,
            response.body,
            profile_id=profile_id,
            request_id=conversation_id,
            already_open_text=self._already_open_text,
        )
        if answer.kind is Kind.CREATED:
            self.app_tokens.accepted()
        else:
            cause = cause_of(
                self._services.place(_SERVICE),
                status=response.status,
                code=answer.error_code,
                is_page=is_page(answer.kind, response.status),
            )
            answer = replace(answer, cause=cause)
        is_not_found = answer.http_status == 404 and answer.kind in OF_THE_ACCOUNT
        if is_not_found and self.domains.has_moved(_SERVICE, origin):
            answer = replace(answer, kind=Kind.NOT_SENT, message="HTTP 404: the service has moved")
        if not answer.message:
            return answer
        message = reading.printable(answer.message, tokens.app_jwt, tokens.consumer_jws)
        return replace(answer, message=message)

    def engage(self, job: Job, visit: Visit | None = None) -> Engaged:
        """Ask Monitoring for campaign and context; raises EngagementFailure."""
        return self._monitoring.engage(job, visit)

    def find_open_conversation(self, job: Job, *, visit: Visit | None = None) -> str | None:
        """Ask Monitoring for the open conversation of a job's consumer; raises LookupFailed."""
        return self._monitoring.find_open_conversation(job, visit=visit)

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()


def _headers(job: Job, tokens: Tokens) -> dict[str, str]:
    """Return the headers, with both tokens bare: LivePerson expects no `Bearer` here."""
    headers = {
        "Content-Type": "application/json",
        "Authorization": tokens.app_jwt,
        "X-LP-ON-BEHALF": tokens.consumer_jws,
    }
    if job.client_properties is not None:
        # A header must be ASCII; json escapes all other characters.
        headers["Client-Properties"] = dumps_ascii(job.client_properties)
    return headers
