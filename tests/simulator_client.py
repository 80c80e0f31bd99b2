"""A plain client of the simulator for tests: builds each call as the documentation prints it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt
import requests

ACCOUNT = "12345678"
OTHER_ACCOUNT = "87654321"
CLIENT_ID = "demo-client"
CLIENT_SECRET = "demo-secret"
BODIES = Path(__file__).parent / "bodies"
PROFILE_REQ_ID = "4b91dd19-9b0c-4354-8fef-4f58a45a9c57"
CONVERSATION_REQ_ID = "533575ec-b092-4ea6-ba13-25a98095e79f"
SECONDS = 10.0


def documented(name: str) -> Any:
    """Read a body of LivePerson's documentation, with our account in the place of theirs."""
    text = (BODIES / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(text.replace("{accountid}", ACCOUNT))


def batch(profile: Any = None, **conversation: Any) -> list[dict[str, Any]]:
    """Build the body of CONVERSATION with the item ids of the Connector guide."""
    return [
        {
            "kind": "req",
            "id": PROFILE_REQ_ID,
            "type": "userprofile.SetUserProfile",
            "body": {} if profile is None else profile,
        },
        {
            "kind": "req",
            "id": CONVERSATION_REQ_ID,
            "type": "cm.ConsumerRequestConversation",
            "body": {"brandId": ACCOUNT, **conversation},
        },
    ]


def lp_consumer_id(headers: dict[str, str]) -> str:
    """Read LivePerson's id of the consumer whose tokens these are."""
    claims = jwt.decode(headers["X-LP-ON-BEHALF"], options={"verify_signature": False})
    consumer_id: str = claims["lp_consumer_id"]
    return consumer_id


class Client:
    """Calls of one account; every method gives the whole response."""

    def __init__(self, url: str, account: str = ACCOUNT, secret: str = CLIENT_SECRET) -> None:
        self.url = url
        self.account = account
        self.secret = secret
        self.http = requests.Session()
        self.http.trust_env = False

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Call any path."""
        return self.http.request(method, self.url + path, **{"timeout": SECONDS, **options})

    def domain(self, service: str, **query: str) -> requests.Response:
        """Look one service up."""
        path = f"/api/account/{self.account}/service/{service}/baseURI.json"
        return self.call("GET", path, params=query or {"version": "1.0"})

    def log_in(
        self, client_id: str = CLIENT_ID, client_secret: str | None = None, **options: Any
    ) -> requests.Response:
        """Ask sentinel for an AppJWT."""
        return self.call(
            "POST",
            f"/sentinel/api/account/{self.account}/app/token",
            **{
                "params": {"v": "1.0", "grant_type": "client_credentials"},
                "data": {"client_id": client_id, "client_secret": client_secret or self.secret},
                **options,
            },
        )

    def app_jwt(self) -> str:
        """Get an AppJWT."""
        token: str = self.log_in().json()["access_token"]
        return token

    def identify(self, consumer: str, app_jwt: str | None = None) -> requests.Response:
        """Ask IDP for a ConsumerJWS."""
        return self.call(
            "POST",
            f"/api/account/{self.account}/consumer?v=1.0",
            json={"ext_consumer_id": consumer},
            headers={"Authorization": app_jwt or self.app_jwt()},
        )

    def tokens(self, consumer: str, app_jwt: str | None = None) -> dict[str, str]:
        """Get both tokens, or the second one alone, as the headers that carry them."""
        app_jwt = app_jwt or self.app_jwt()
        consumer_jws = self.identify(consumer, app_jwt).json()["token"]
        return {"Authorization": app_jwt, "X-LP-ON-BEHALF": consumer_jws}

    def create(
        self,
        headers: Mapping[str, str | bytes],
        body: Any = None,
        *,
        query: str = "v=3",
        **options: Any,
    ) -> requests.Response:
        """Call CONVERSATION."""
        return self.call(
            "POST",
            f"/api/account/{self.account}/messaging/consumer/conversation?{query}",
            headers=headers,
            **{"json": batch(brandId=self.account) if body is None else body, **options},
        )

    def open(self, consumer: str) -> str:
        """Open a conversation and give its id."""
        answer = self.create(self.tokens(consumer))
        conversation_id: str = answer.json()[1]["body"]["conversationId"]
        return conversation_id

    def send(self, headers: dict[str, str], body: Any) -> requests.Response:
        """Call SEND."""
        path = f"/api/account/{self.account}/messaging/consumer/conversation/send?v=3"
        return self.call("POST", path, headers=headers, json=body)

    def engage(self, body: Any = None, app_id: str = CLIENT_ID, **query: str) -> requests.Response:
        """Call the Monitoring API's Engagement."""
        return self.call(
            "POST",
            f"/api/account/{self.account}/app/{app_id}/engagement",
            params={"v": "1.1", **query},
            json={} if body is None else body,
        )

    def search(self, consumer: str, status: list[str], **options: Any) -> requests.Response:
        """Call the Messaging Interactions consumer search."""
        return self.call(
            "POST",
            f"/messaging_history/api/account/{self.account}/conversations/consumer/search",
            **{
                "params": {"source": "test"},
                "json": {"consumer": consumer, "status": status},
                "headers": {"Authorization": "Bearer a-user"},
                **options,
            },
        )
