"""A LivePerson that misbehaves over real sockets, and the client that talks to it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from tasks.liveperson.answer import Answer
from tasks.liveperson.client import LivePersonClient
from tasks.liveperson.credentials import Credentials
from tasks.liveperson.tokens import Tokens
from tasks.messages.job import Job, parse_job
from tests.fakes import InMemoryTokenStore
from tests.raw_server import Connection, RawServer, Request

ACCOUNT = "12345678"
PROFILE_ID = "4b91dd19-9b0c-4354-8fef-4f58a45a9c57"
REQUEST_ID = "533575ec-b092-4ea6-ba13-25a98095e79f"
CONVERSATION_ID = "cbf6e739-dfe6-4e3c-a544-2504afbe8747"
CONNECT_SECONDS = 0.5
READ_SECONDS = 0.5
APP_JWT = "eyJhcHA.eyJhIjoxfQ.c2ln"
CONSUMER_JWS = "eyJjb24.eyJjIjoxfQ.c2ln"
TOKENS = Tokens("c-1", APP_JWT, CONSUMER_JWS, None)
CREATED = json.dumps(
    [
        {"code": "OK", "body": {"msg": "OK User Profile set successfully"}, "reqId": PROFILE_ID},
        {"code": "OK", "body": {"conversationId": CONVERSATION_ID}, "reqId": REQUEST_ID},
    ]
).encode()


def http_answer(status: str = "200 OK", body: bytes = CREATED, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def job(**fields: object) -> Job:
    return parse_job({"jobId": "j-1", "consumerId": "c-1", **fields}, accounts=[ACCOUNT])


def says(content: bytes, *, then_close: bool = False) -> Callable[[Connection], None]:
    def answer(connection: Connection) -> None:
        connection.send(content)
        if then_close:
            connection.close()

    return answer


class LivePerson:
    """A Domain API that names itself, or another host; and a CONVERSATION that misbehaves."""

    def __init__(self, *answers: Callable[[Connection], None], host: str | None = None) -> None:
        self.answers = list(answers)
        self.host = host
        self.creations: list[Request] = []

    def __call__(self, connection: Connection, request: Request) -> None:
        if "baseURI.json" in request.line:
            body = json.dumps({"baseURI": self.host or request.headers["host"]}).encode()
            connection.send(http_answer(body=body))
            return
        self.creations.append(request)
        self.answers.pop(0)(connection)


@contextmanager
def client_of(server: RawServer, *, trusted: tuple[str, ...] = ()) -> Iterator[LivePersonClient]:
    client = LivePersonClient(
        account_id=ACCOUNT,
        credentials=Credentials("app-1", SecretStr("s3cr3t")),
        token_store=InMemoryTokenStore(),
        domain_api_url=f"http://{server.host}",
        trusted_hosts=trusted,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        pool_size=32,
        user_agent="overture/0.0.0",
    )
    try:
        yield client
    finally:
        client.close()


def create(client: LivePersonClient, the_job: Job | None = None) -> Answer:
    return client.create(
        the_job or job(), TOKENS, profile_id=PROFILE_ID, conversation_id=REQUEST_ID
    )
