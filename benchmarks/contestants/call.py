"""What every contestant does with a job, written as anybody would: the request, and the result."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from typing import Any

import requests

ACCOUNT = "12345678"
API_URL = os.environ["BENCH_API_URL"]
BROKER_URL = os.environ["BENCH_BROKER_URL"]
CONCURRENCY = int(os.environ.get("BENCH_CONCURRENCY", "1"))
ON_RABBITMQ = BROKER_URL.startswith("amqp")
RESULTS_QUEUE = "results"
TIMEOUT_SECONDS = (5, 30)

URL = f"{API_URL}/api/account/{ACCOUNT}/messaging/consumer/conversation?v=3"


def tokens() -> dict[str, str]:
    """Get both tokens once, so that a job is one call for everybody."""
    form = {"client_id": "bench", "client_secret": "bench"}
    app = requests.post(
        f"{API_URL}/sentinel/api/account/{ACCOUNT}/app/token", data=form, timeout=TIMEOUT_SECONDS
    ).json()["access_token"]
    consumer = requests.post(
        f"{API_URL}/api/account/{ACCOUNT}/consumer?v=1.0",
        json={"ext_consumer_id": "bench"},
        headers={"Authorization": app},
        timeout=TIMEOUT_SECONDS,
    ).json()["token"]
    return {"Authorization": app, "X-LP-ON-BEHALF": consumer}


def batch(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the request's body."""
    conversation = {**job["conversation"], "brandId": ACCOUNT, "channelType": "MESSAGING"}
    return [
        _item("userprofile.SetUserProfile", job["profile"]),
        _item("cm.ConsumerRequestConversation", conversation),
    ]


def result(job: dict[str, Any], answer: list[dict[str, Any]]) -> dict[str, Any]:
    """Read the answer and write the result."""
    conversation_id = answer[1]["body"]["conversationId"]
    return {
        "jobId": job["jobId"],
        "accountId": ACCOUNT,
        "consumerId": job["consumerId"],
        "status": "created",
        "conversationId": conversation_id,
        "dialogId": conversation_id,
        "createdAt": datetime.now(UTC).isoformat(),
        "metadata": job["metadata"],
    }


def _item(kind: str, body: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "req", "id": str(uuid.uuid4()), "type": kind, "body": body}
