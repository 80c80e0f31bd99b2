"""A second LivePerson, written from its documentation alone and sharing nothing with the simulator.

What the simulator never does cannot be found with it. This one behaves as the consumer's id says:
`<behaviour>-<anything>`. It keeps one open conversation for each consumer.
"""

from __future__ import annotations

import base64
import gzip
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Final, Self

ACCOUNT: Final = "12345678"
SECRET: Final = "stand-in-secret"
TOKEN_SECONDS: Final = 3600
SLOW_SECONDS: Final = 2.0
PAGE: Final = b"<html><body><h1>403 Forbidden</h1>Blocked by policy 17.</body></html>"
ALREADY: Final = (
    "Consumer request conversation failed: User {} already has open conversation. "
    "Can't open another one."
)


def jwt(claims: Mapping[str, Any]) -> str:
    """Write what looks like a signed token."""

    def part(value: Mapping[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"


def problem(code: int, error_code: int, title: str, details: str) -> dict[str, Any]:
    """Write the unified error object of February 2019."""
    body = {"title": title, "details": details, "errorCode": error_code}
    return {"kind": "resp", "code": code, "body": body, "type": ".ReqBody$ErrorResp"}


@dataclass(slots=True)
class Call:
    """One CONVERSATION call: the items' ids, and how often this consumer called before."""

    handler: Handler
    consumer: str
    profile_id: Any
    request_id: Any
    number: int
    opener: str

    def open(self) -> str:
        """Open a conversation, or return "" where one is open."""
        return self.handler.state.open(self.consumer, self.opener)

    def items(self, conversation_id: str) -> list[dict[str, Any]]:
        """Answer both items."""
        said = (
            {"code": "OK", "body": {"conversationId": conversation_id}}
            if conversation_id
            else {"code": "BAD_REQUEST", "body": {"msg": ALREADY.format(self.consumer)}}
        )
        return [
            {
                "code": "OK",
                "body": {"msg": "OK User Profile set successfully"},
                "reqId": self.profile_id,
            },
            {**said, "reqId": self.request_id},
        ]

    def answer(self) -> None:
        """Open a conversation and say so, or refuse."""
        conversation_id = self.open()
        self.handler.say(200 if conversation_id else 400, self.items(conversation_id))


def _ok(call: Call) -> None:
    call.answer()


def _slow(call: Call) -> None:
    time.sleep(SLOW_SECONDS)
    call.answer()


def _refused_thrice(call: Call) -> None:
    call.handler.say(429, b"") if call.number < 3 else call.answer()


def _asked_to_wait(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        call.handler.say(429, {"message": "slow down"}, {"Retry-After": "2"})


def _down_at_first(call: Call) -> None:
    call.handler.say(503, b"") if call.number < 2 else call.answer()


def _down_afterwards(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        call.open()
        call.handler.say(502, problem(502, 50201, "Unable to access resource", "no AC"))


def _silent_afterwards(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        call.open()
        call.handler.hang_up()


def _garbled(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        text = json.dumps(call.items(call.open())).encode()
        call.handler.say(200, text[: len(text) // 2])


def _open_already(call: Call) -> None:
    call.handler.say(400, call.items(""))


def _open_already_as_200(call: Call) -> None:
    call.handler.say(200, call.items(""))


def _invalid(call: Call) -> None:
    items = call.items("")
    items[1]["body"] = {"msg": "Bad Request: skillId is not known"}
    call.handler.say(400, items)


def _app_token_stale(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        details = "AppJWT has expired or is invalid"
        call.handler.say(401, problem(401, 40102, "Invalid AppJWT", details))


def _consumer_token_stale(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        details = "ConsumerJWS is invalid"
        call.handler.say(401, problem(401, 40103, "Invalid ConsumerJWS", details))


def _firewall(call: Call) -> None:
    if call.number:
        call.answer()
    else:
        call.handler.say(403, PAGE, {"Content-Type": "text/html"})


def _zipped(call: Call) -> None:
    text = json.dumps(call.items(call.open())).encode()
    half = len(text) // 2
    members = gzip.compress(text[:half]) + gzip.compress(text[half:])
    call.handler.say(200, members, {"Content-Encoding": "gzip, identity"})


def _numbered(call: Call) -> None:
    items = call.items(call.open())
    call.handler.say(200, [{**item, "code": 200} for item in reversed(items)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a consumer's calls meet, and how its jobs may end."""

    act: Callable[[Call], None]
    endings: frozenset[str] = frozenset({"created"})
    job: Mapping[str, Any] = field(default_factory=dict)


BEHAVIOURS: Final[Mapping[str, Behaviour]] = MappingProxyType(
    {
        "ok": Behaviour(act=_ok),
        "slow": Behaviour(act=_slow),
        "thrice": Behaviour(act=_refused_thrice),
        "wait": Behaviour(act=_asked_to_wait),
        "down": Behaviour(act=_down_at_first),
        "after": Behaviour(act=_down_afterwards),
        "silent": Behaviour(act=_silent_afterwards),
        "garbled": Behaviour(act=_garbled),
        "open": Behaviour(act=_open_already, endings=frozenset({"already_open"})),
        "open200": Behaviour(act=_open_already_as_200, endings=frozenset({"already_open"})),
        "reuse": Behaviour(
            act=_open_already,
            endings=frozenset({"reused"}),
            job={"onOpenConversation": "reuse"},
        ),
        "invalid": Behaviour(act=_invalid, endings=frozenset({"rejected"})),
        "app": Behaviour(act=_app_token_stale),
        "consumer": Behaviour(act=_consumer_token_stale),
        "firewall": Behaviour(act=_firewall),
        "zipped": Behaviour(act=_zipped),
        "numbered": Behaviour(act=_numbered),
    }
)


class State:
    """What the stand-in knows: tokens, conversations, calls."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.opened: list[tuple[str, str, str]] = []
        self.calls: Counter[str] = Counter()
        self.app_token = self._new_token()

    def _new_token(self) -> str:
        now = int(time.time())
        claims = {"aud": ACCOUNT, "iss": "Sentinel", "iat": now, "exp": now + TOKEN_SECONDS}
        return jwt({**claims, "jti": uuid.uuid4().hex})

    def open(self, consumer: str, opener: str) -> str:
        """Open a conversation; "" where the consumer has one."""
        with self._lock:
            if self.current(consumer):
                return ""
            conversation_id = str(uuid.uuid4())
            self.opened.append((conversation_id, consumer, opener))
            return conversation_id

    def current(self, consumer: str) -> str:
        """Return the open conversation of a consumer."""
        return next((one[0] for one in self.opened if one[1] == consumer), "")

    def count(self, consumer: str) -> int:
        """Count a call; returns how many came before it."""
        with self._lock:
            self.calls[consumer] += 1
            return self.calls[consumer] - 1


class Handler(BaseHTTPRequestHandler):
    """Answers by path, as the documentation has them."""

    protocol_version = "HTTP/1.1"
    timeout: ClassVar[float] = 60
    state: State
    server: ThreadingHTTPServer

    def do_GET(self) -> None:
        """Answer the Domain API."""
        service = self.path.split("/service/")[1].split("/")[0]
        host = "{}:{}".format(*self.server.server_address[:2])
        self.say(200, {"service": service, "account": ACCOUNT, "baseURI": host})

    def do_POST(self) -> None:
        """Answer sentinel, IDP, Monitoring or CONVERSATION."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        path = self.path.partition("?")[0]
        if path.endswith("/app/token"):
            self._sentinel(content)
        elif path.endswith("/engagement"):
            self._engagement(json.loads(content))
        elif self.headers.get("Authorization") != self.state.app_token:
            details = "AppJWT has expired or is invalid"
            self.say(401, problem(401, 40102, "Invalid AppJWT", details))
        elif path.endswith("/consumer"):
            consumer = json.loads(content)["ext_consumer_id"]
            claims = {"account_id": ACCOUNT, "ext_consumer_id": consumer}
            self.say(201, {"token": jwt({**claims, "lp_consumer_id": "a" * 64})})
        else:
            self._conversation(json.loads(content))

    def _sentinel(self, content: bytes) -> None:
        if f"client_secret={SECRET}".encode() not in content:
            self.say(401, {"error": "invalid_client"})
            return
        self.say(200, {"access_token": self.state.app_token, "token_type": "Bearer"})

    def _engagement(self, body: Mapping[str, Any]) -> None:
        consumer = str(body.get("consumerId") or body["identities"][0]["sub"])
        current = self.state.current(consumer)
        if not current and consumer.startswith(("open", "reuse")):
            current = f"older-{consumer}"
        ids = {"sessionId": "s", "visitorId": "v", "pageId": "1"}
        detail = {"campaignId": 1, "engagementId": 2, "contextId": "1", "status": "expose"}
        if current:
            detail |= {"status": "conversation", "conversationId": current}
        self.say(200, {**ids, "engagementDetails": [detail]})

    def _conversation(self, items: list[dict[str, Any]]) -> None:
        claims = self.headers["X-LP-ON-BEHALF"].split(".")[1]
        consumer = json.loads(base64.urlsafe_b64decode(claims + "=="))["ext_consumer_id"]
        opener = json.loads(self.headers.get("Client-Properties") or "{}").get("appId", "")
        call = Call(
            handler=self,
            consumer=consumer,
            profile_id=items[0]["id"],
            request_id=items[1]["id"],
            number=self.state.count(consumer),
            opener=opener,
        )
        BEHAVIOURS[consumer.partition("-")[0]].act(call)

    def say(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        """Answer with bytes, or with JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def hang_up(self) -> None:
        """Say nothing, and close."""
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Write no log."""


class Server(ThreadingHTTPServer):
    """Threads that end with the process, and no word of clients that were killed."""

    daemon_threads = True
    request_queue_size = 512

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: killed workers leave broken connections."""


class StandIn:
    """The stand-in on a port of its own, for the length of a `with` block."""

    def __init__(self) -> None:
        self.state = State()
        handler = type("BoundHandler", (Handler,), {"state": self.state})
        self._server = Server(("127.0.0.1", 0), handler)
        self.url = "http://{}:{}".format(*self._server.server_address[:2])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
