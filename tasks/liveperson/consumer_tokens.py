"""ConsumerJWSs: one per consumer; they do not expire, so each process keeps the latest ones.

Source: Connector API, "Authorization and authentication", and its overview (to be cached);
LivePerson's retry policy (5 s between token calls after 429).
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from tasks.liveperson import reading
from tasks.liveperson.answer import CLAIM_MISSING, Kind, Pause, is_about_app_jwt, no_answer, refusal
from tasks.liveperson.app_tokens import AppTokens
from tasks.liveperson.domains import Services
from tasks.liveperson.http import FateUnknown, HttpResponse, NotSent
from tasks.liveperson.tokens import TokenFailure, Tokens, claims, token_in

# A retry comes within minutes; 4,096 tokens of about a kilobyte are 4 MiB.
KEPT_CONSUMERS = 4096
# The pause after a 429, as LivePerson's retry policy asks.
PAUSE_SECONDS = 5.0
_SERVICE = "idp"
_JSON = {"Content-Type": "application/json"}


class ConsumerTokens:
    """Returns both tokens for a consumer of one account; threads share one."""

    def __init__(
        self,
        services: Services,
        app_tokens: AppTokens,
        *,
        account_id: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._services = services
        self._app_tokens = app_tokens
        self._pause = Pause(PAUSE_SECONDS, clock=clock)
        self._path = f"/api/account/{quote(account_id, safe='')}/consumer?v=1.0"
        self._kept: OrderedDict[str, Tokens] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, consumer_id: str) -> Tokens:
        """Return the consumer's tokens; raises TokenFailure."""
        app_jwt = self._app_tokens.get()
        with self._lock:
            kept = self._kept.get(consumer_id)
            if kept:
                self._kept.move_to_end(consumer_id)
        if kept is None:
            return self._ask(consumer_id, app_jwt)
        return kept if kept.app_jwt == app_jwt else replace(kept, app_jwt=app_jwt)

    def forget(self, tokens: Tokens) -> None:
        """Drop a ConsumerJWS that was refused, unless it has been replaced already."""
        with self._lock:
            kept = self._kept.get(tokens.consumer_id)
            if kept and kept.consumer_jws == tokens.consumer_jws:
                del self._kept[tokens.consumer_id]

    def _ask(self, consumer_id: str, app_jwt: str) -> Tokens:
        response = self._call(consumer_id, app_jwt)
        if _is_refused(response) and not self._app_tokens.invalidate(app_jwt):
            app_jwt = self._app_tokens.get()
            response = self._call(consumer_id, app_jwt)
            if _is_refused(response):
                self._app_tokens.invalidate(app_jwt)  # so that the next try has another one
        token = token_in(response, "token") if response.status in {200, 201} else None
        if token is None:
            answer = refusal(self._services.place(_SERVICE), response)
            if is_about_app_jwt(answer):
                answer = replace(answer, kind=Kind.CREDENTIALS)
            answer = replace(answer, message=reading.printable(answer.message, app_jwt))
            self._pause.after(answer)
            raise TokenFailure(answer)
        lp_consumer_id = reading.identifier(claims(token).get("lp_consumer_id"))
        tokens = Tokens(consumer_id, app_jwt, token, lp_consumer_id)
        with self._lock:
            self._kept[consumer_id] = tokens
            if len(self._kept) > KEPT_CONSUMERS:
                self._kept.popitem(last=False)
        return tokens

    def _call(self, consumer_id: str, app_jwt: str) -> HttpResponse:
        if refused := self._pause.refusal():
            raise TokenFailure(refused)
        body = json.dumps({"ext_consumer_id": consumer_id}).encode("ascii")
        headers = {**_JSON, "Authorization": app_jwt}
        try:
            return self._services.call(_SERVICE, "POST", self._path, headers=headers, body=body)
        except (NotSent, FateUnknown) as error:
            answer = no_answer(self._services.place(_SERVICE), error)
        raise TokenFailure(answer)


def _is_refused(response: HttpResponse) -> bool:
    """Tell whether the AppJWT may have been refused; the call is then repeated with a new one.

    A 401 counts with any body: IDP sends it for an expired token, and its body is undocumented.
    """
    code = reading.error_code(reading.document(response.body))
    return response.status == 401 or (response.status == 400 and code == CLAIM_MISSING)
