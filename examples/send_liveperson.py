"""LivePerson's side of the SEND stage, shared by send_stage.py and send_stage_celery.py.

An `Account` sends first messages as fast as it may. It keeps both tokens: the AppJWT, which lasts
an hour, and each consumer's ConsumerJWS, which does not expire. A 401 renews them once. A message
that is still refused then is refused for good, and holds up no other.

Accounts come from the worker's settings in the environment: OVERTURE_ACCOUNT_ID, OVERTURE_CLIENT_ID
and OVERTURE_CLIENT_SECRET for one, OVERTURE_ACCOUNTS__<id>__CLIENT_ID and …__CLIENT_SECRET for each
of several, and for the simulator OVERTURE_DOMAIN_API_URL. SEND_RATE is how many messages per second
each account may have from one process; the default is 10.
"""

from __future__ import annotations

import json
import os
import re
import threading
import time
import uuid
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests

GREETING = "Hello! How can we help you?"
TIMEOUT = (5, 30)  # to connect, and to get the answer, in seconds
TOKEN_SECONDS = 55 * 60  # an AppJWT lasts an hour; it is renewed five minutes before that
FRESH_SECONDS = 5  # an AppJWT this young is not what a 401 is about
HOST_SECONDS = 24 * 60 * 60  # LivePerson lets a host be kept for a day
KEPT_CONSUMERS = 10_000  # whose ConsumerJWS is kept
AUTOMATIC_SECONDS = 10  # with AUTO_MESSAGES the first message is due so soon after the creation
PAUSES = (5, 10, 15, 120)  # before each repeat, in seconds; the last one is reused
OUTAGE = 5  # so many failures in a row are the account's, and no single message's
APP_JWT_CODES = {40001, 40102, 40105}  # LivePerson's errorCodes that blame the AppJWT


class RefusedError(Exception):
    """LivePerson refuses this message, however often it is sent."""


class NotNowError(Exception):
    """The message was not sent, or nobody knows; it can be sent again in `seconds`.

    `is_outage`: the whole account is held, so it says nothing about this message.
    """

    def __init__(self, reason: str, *, seconds: float, is_outage: bool = True) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.is_outage = is_outage


class Account:
    """Sends messages for one account, from any number of threads."""

    def __init__(
        self, account: str, client_id: str, client_secret: str, *, domain_api: str, rate: float
    ) -> None:
        self._account = account
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._domain_api = domain_api
        self._of_thread = threading.local()
        self._hosts: dict[str, tuple[str, float]] = {}
        self._consumers: OrderedDict[str, str] = OrderedDict()
        self._app_jwt, self._app_jwt_at = "", float(-TOKEN_SECONDS)
        self._renewing = threading.Lock()
        self._lock = threading.Lock()
        self._interval = 1 / rate
        self._next_at = self._held_until = 0.0
        self._failures = self._holds = 0

    def held(self) -> float:
        """Return for how many seconds nothing can be sent for this account."""
        return max(0.0, self._held_until - time.monotonic())

    def pace(self) -> None:
        """Wait until the account's rate allows another message."""
        with self._lock:
            at = max(self._next_at, time.monotonic())
            self._next_at = at + self._interval
        time.sleep(max(0.0, at - time.monotonic()))

    def send(self, result: dict[str, Any]) -> None:
        """Send a result's first message. Raises RefusedError or NotNowError."""
        app_jwt = self._get_app_jwt()
        service, answer = self._try(result, app_jwt)
        if _is_unauthorized(answer):
            with self._lock:
                self._consumers.pop(result["consumerId"], None)
            service, answer = self._try(result, self._get_app_jwt(instead_of=app_jwt))
        why = f"{service}: HTTP {answer.status_code}: {answer.text[:300]}"
        is_send, document = service == "asyncMessagingEnt", _document(answer)
        if answer.status_code == 429:
            raise self._hold(why, seconds=_retry_after(answer))
        if answer.status_code >= 500 or "code" not in document:
            raise self._failed(why)  # without it, the answer is a proxy's or a firewall's
        if _is_unauthorized(answer) and (not is_send or _error_code(answer) in APP_JWT_CODES):
            raise self._hold(why)
        if not answer.ok or document["code"] != "OK":
            raise RefusedError(why)
        self._failures = self._holds = 0

    def _try(self, result: dict[str, Any], app_jwt: str) -> tuple[str, requests.Response]:
        """Send once; returns SEND's answer, or that of IDP if it gives no token."""
        consumer = result["consumerId"]
        with self._lock:
            consumer_jws = self._consumers.get(consumer)
        if consumer_jws is None:
            path = f"/api/account/{self._account}/consumer?v=1.0"
            headers, body = {"Authorization": app_jwt}, {"ext_consumer_id": consumer}
            answer = self._post("idp", path, json=body, headers=headers)
            if (consumer_jws := _document(answer).get("token")) is None:
                return "idp", answer
            with self._lock:
                self._consumers[consumer] = consumer_jws
                if len(self._consumers) > KEPT_CONSUMERS:
                    self._consumers.popitem(last=False)
        headers = {"Authorization": app_jwt, "X-LP-ON-BEHALF": consumer_jws}
        if properties := result.get("clientProperties"):
            # Given once, LivePerson wants them with every message.
            headers["Client-Properties"] = json.dumps(properties)
        service = "asyncMessagingEnt"
        path = f"/api/account/{self._account}/messaging/consumer/conversation/send?v=3"
        return service, self._post(service, path, json=first_message(result), headers=headers)

    def _get_app_jwt(self, *, instead_of: str | None = None) -> str:
        """Return the AppJWT; of the threads that want another, the first one gets it for all."""
        with self._renewing:
            age = time.monotonic() - self._app_jwt_at
            is_refused = instead_of == self._app_jwt and age > FRESH_SECONDS
            if age < TOKEN_SECONDS and not is_refused:
                return self._app_jwt
            path = f"/sentinel/api/account/{self._account}/app/token"
            query = "?v=1.0&grant_type=client_credentials"
            answer = self._post("sentinel", path + query, data=self._credentials)
            if (token := _document(answer).get("access_token")) is None:
                raise self._hold(f"sentinel: HTTP {answer.status_code} without a token")
            self._app_jwt, self._app_jwt_at = token, time.monotonic()
            return self._app_jwt

    def _post(self, service: str, path: str, **request: Any) -> requests.Response:
        try:
            return self._http().post(self._host(service) + path, timeout=TIMEOUT, **request)
        except requests.RequestException as error:
            raise self._failed(f"{service}: {type(error).__name__}") from None

    def _host(self, service: str) -> str:
        host, found_at = self._hosts.get(service, ("", 0.0))
        if not host or time.monotonic() - found_at > HOST_SECONDS:
            path = f"/api/account/{self._account}/service/{service}/baseURI.json?version=1.0"
            answer = self._http().get(self._domain_api + path, timeout=TIMEOUT)
            answer.raise_for_status()
            host = f"{urlsplit(self._domain_api).scheme}://{answer.json()['baseURI']}"
            self._hosts[service] = host, time.monotonic()
        return host

    def _http(self) -> requests.Session:
        """Return this thread's session: requests promises nothing of one that threads share."""
        session: requests.Session | None = getattr(self._of_thread, "session", None)
        if session is None:
            session = self._of_thread.session = requests.Session()
        return session

    def _failed(self, reason: str) -> NotNowError:
        """Count a failure: one message's, or with those before it an outage."""
        self._failures += 1
        if self._failures >= OUTAGE:
            return self._hold(reason)
        return NotNowError(reason, seconds=PAUSES[0], is_outage=False)

    def _hold(self, reason: str, *, seconds: float = 0) -> NotNowError:
        """Hold the account; for longer each time, unless it is said for how long."""
        with self._lock:
            if not self.held():
                pause = seconds or PAUSES[min(self._holds, len(PAUSES) - 1)]
                self._held_until = time.monotonic() + pause
                self._holds += 1
            return NotNowError(reason, seconds=self.held())


def accounts() -> dict[str, Account]:
    """Make the accounts that the environment names."""
    found = {}
    names = {"": os.environ.get("OVERTURE_ACCOUNT_ID", "")}
    for name in os.environ:
        if match := re.fullmatch(r"(OVERTURE_ACCOUNTS__([\w-]+)__)CLIENT_ID", name):
            names[match[1]] = match[2]
    for prefix, account in names.items():
        if account:
            found[account] = Account(
                account,
                os.environ[f"{prefix or 'OVERTURE_'}CLIENT_ID"],
                os.environ[f"{prefix or 'OVERTURE_'}CLIENT_SECRET"],
                domain_api=os.environ.get("OVERTURE_DOMAIN_API_URL", "https://api.liveperson.net"),
                rate=float(os.environ.get("SEND_RATE", "10")),
            )
    return found


def first_message(result: dict[str, Any]) -> dict[str, Any]:
    """Build the request item for a result's first message."""
    text = result.get("metadata", {}).get("firstMessage", GREETING)
    return {
        "kind": "req",
        "id": str(uuid.uuid4()),
        "type": "ms.PublishEvent",
        "body": {
            "dialogId": result["dialogId"],
            "conversationId": result["conversationId"],
            "event": {"type": "ContentEvent", "contentType": "text/plain", "message": text},
        },
    }


def is_automatic(result: dict[str, Any]) -> bool:
    """Tell whether LivePerson's automatic messages wait for the first message."""
    return "AUTO_MESSAGES" in result.get("clientProperties", {}).get("features", ())


def seconds_late(result: dict[str, Any]) -> float:
    """Return by how much a message misses the time of automatic messages; 0 if it does not."""
    if not is_automatic(result) or result["status"] != "created":
        return 0.0
    age = (datetime.now(UTC) - datetime.fromisoformat(result["createdAt"])).total_seconds()
    return max(0.0, age - AUTOMATIC_SECONDS)


def _document(answer: requests.Response) -> dict[str, Any]:
    try:
        document = answer.json()
    except requests.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _error_code(answer: requests.Response) -> int | None:
    body = _document(answer).get("body")
    return body.get("errorCode") if isinstance(body, dict) else None


def _is_unauthorized(answer: requests.Response) -> bool:
    return answer.status_code == 401 or _error_code(answer) == 40001


def _retry_after(answer: requests.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(max(float(text), 1.0), 300.0) if text.isdigit() else 1.0
