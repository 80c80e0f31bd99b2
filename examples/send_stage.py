"""The stage after Overture: send the first message into every opened conversation.

Use this program as a starting point. All it shares with Overture is `conversations.results`, the
queue that a worker declares when it starts. It takes the worker's settings from the environment:
OVERTURE_BROKER_URL, OVERTURE_ACCOUNT_ID, OVERTURE_CLIENT_ID, OVERTURE_CLIENT_SECRET and, for the
simulator, OVERTURE_DOMAIN_API_URL. It sends the job's `metadata.firstMessage`.

    python examples/send_stage.py sent.db

A result is acknowledged once LivePerson has the message, so none is lost. A repeated result is
recognised by its conversation, which is recorded in the file `sent.db`. A message can still be sent
twice if its fate was unknown (a 5xx, no answer in time) or this program died before recording it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

import requests
from kombu import Connection, Message, Queue
from kombu.mixins import ConsumerMixin

RESULTS = Queue("conversations.results", no_declare=True)
GREETING = "Hello! How can we help you?"
TIMEOUT = (5, 30)  # to connect, and to get the answer, in seconds
PAUSES = (1, 5, 10, 15, 60)  # before each repeat, in seconds; the last one is reused
TOKEN_SECONDS = 55 * 60  # an AppJWT lasts an hour; renew it five minutes before it expires


class RefusedError(Exception):
    """LivePerson refuses this message, however often it is sent."""


class LivePerson:
    """The calls that SEND needs, for one account. Both tokens go into their headers bare."""

    def __init__(self, account: str, client_id: str, client_secret: str, domain_api: str) -> None:
        self.account = account
        self._credentials = {"client_id": client_id, "client_secret": client_secret}
        self._domain_api = domain_api
        self._http = requests.Session()
        self._hosts: dict[str, str] = {}
        self._app_jwt = ""
        self._app_jwt_until = 0.0

    def send(self, consumer_id: str, item: dict[str, Any], headers: dict[str, str]) -> None:
        """Send one item as the consumer.

        Raises RefusedError, or requests.RequestException if a repeat may help.
        """
        answer = self._call(
            "asyncMessagingEnt",
            f"/api/account/{self.account}/messaging/consumer/conversation/send?v=3",
            json=item,
            headers={
                **headers,
                "Authorization": self._app_token(),
                "X-LP-ON-BEHALF": self._consumer_token(consumer_id),
            },
        )
        if not answer.ok or answer.json()["code"] != "OK":
            raise RefusedError(f"HTTP {answer.status_code}: {answer.text[:300]}")

    def _app_token(self) -> str:
        if time.monotonic() >= self._app_jwt_until:
            path = f"/sentinel/api/account/{self.account}/app/token"
            query = "?v=1.0&grant_type=client_credentials"
            answer = self._call("sentinel", path + query, data=self._credentials)
            answer.raise_for_status()
            self._app_jwt = answer.json()["access_token"]
            self._app_jwt_until = time.monotonic() + TOKEN_SECONDS
        return self._app_jwt

    def _consumer_token(self, consumer_id: str) -> str:
        answer = self._call(
            "idp",
            f"/api/account/{self.account}/consumer?v=1.0",
            json={"ext_consumer_id": consumer_id},
            headers={"Authorization": self._app_token()},
        )
        answer.raise_for_status()
        token: str = answer.json()["token"]
        return token

    def _call(self, service: str, path: str, **request: Any) -> requests.Response:
        """Call a service; raise an error if a repeat may help."""
        answer = self._http.post(self._host(service) + path, timeout=TIMEOUT, **request)
        if answer.status_code == 401:
            self._app_jwt_until = 0.0
        if answer.status_code in {401, 429} or answer.status_code >= 500:
            answer.raise_for_status()
        return answer

    def _host(self, service: str) -> str:
        if service not in self._hosts:
            path = f"/api/account/{self.account}/service/{service}/baseURI.json?version=1.0"
            answer = self._http.get(self._domain_api + path, timeout=TIMEOUT)
            answer.raise_for_status()
            scheme = urlsplit(self._domain_api).scheme
            self._hosts[service] = f"{scheme}://{answer.json()['baseURI']}"
        return self._hosts[service]


class Sent:
    """The conversations that have their first message, on disk."""

    def __init__(self, path: str) -> None:
        self._notes = sqlite3.connect(path)
        self._notes.execute("CREATE TABLE IF NOT EXISTS sent (conversation TEXT PRIMARY KEY)")

    def holds(self, conversation: str) -> bool:
        """Tell whether a conversation is recorded."""
        query = "SELECT 1 FROM sent WHERE conversation = ?"
        return self._notes.execute(query, (conversation,)).fetchone() is not None

    def add(self, conversation: str) -> None:
        """Record a conversation; it is on disk when this returns."""
        with self._notes:
            self._notes.execute("INSERT INTO sent VALUES (?)", (conversation,))


class Stage(ConsumerMixin):
    """Takes results one at a time, and reconnects by itself when the broker is back."""

    def __init__(self, connection: Connection, live_person: LivePerson, sent: Sent) -> None:
        self.connection = connection
        self._live_person = live_person
        self._sent = sent
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stop after the message in hand; one waiting for a repeat goes back to the queue."""
        self.should_stop = True
        self._stopping.set()

    def get_consumers(self, consumer: Any, channel: Any) -> list[Any]:
        """Say what to consume."""
        del channel
        return [consumer([RESULTS], accept=["json"], prefetch_count=1, on_message=self._take)]

    def _take(self, message: Message) -> None:
        result = message.payload
        if result["accountId"] != self._live_person.account:
            raise SystemExit(f"a result of account {result['accountId']}, which is not served here")
        conversation = result["conversationId"]
        if not self._sent.holds(conversation):
            if not self._send_until_done(result):
                return  # Not acknowledged, so it is redelivered.
            self._sent.add(conversation)
        message.ack()

    def _send_until_done(self, result: dict[str, Any]) -> bool:
        name, repeats = result["jobId"], 0
        while not self._stopping.is_set():
            try:
                self._live_person.send(result["consumerId"], first_message(result), headers(result))
            except RefusedError as error:
                print(f"{name}: refused: {error}", file=sys.stderr, flush=True)
                return True
            except requests.RequestException as error:
                print(f"{name}: not sent yet: {error}", file=sys.stderr, flush=True)
                self._stopping.wait(PAUSES[min(repeats, len(PAUSES) - 1)])
                repeats += 1
            else:
                print(f"{name}: sent into {result['conversationId']}", flush=True)
                return True
        return False


def first_message(result: dict[str, Any]) -> dict[str, Any]:
    """Build the request item for a result's first message."""
    text = result.get("metadata", {}).get("firstMessage", GREETING)
    event = {"type": "ContentEvent", "contentType": "text/plain", "message": text}
    return {
        "kind": "req",
        "id": str(uuid.uuid4()),
        "type": "ms.PublishEvent",
        "body": {
            "dialogId": result["dialogId"],
            "conversationId": result["conversationId"],
            "event": event,
        },
    }


def headers(result: dict[str, Any]) -> dict[str, str]:
    """Repeat the job's client properties, which LivePerson wants with every message."""
    properties = result.get("clientProperties")
    return {"Client-Properties": json.dumps(properties)} if properties else {}


def main() -> None:
    """Send first messages until a signal arrives."""
    live_person = LivePerson(
        os.environ["OVERTURE_ACCOUNT_ID"],
        os.environ["OVERTURE_CLIENT_ID"],
        os.environ["OVERTURE_CLIENT_SECRET"],
        os.environ.get("OVERTURE_DOMAIN_API_URL", "https://api.liveperson.net"),
    )
    with Connection(os.environ["OVERTURE_BROKER_URL"], heartbeat=30) as connection:
        stage = Stage(connection, live_person, Sent(sys.argv[1]))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stage.stop())
        stage.run()


if __name__ == "__main__":
    main()
