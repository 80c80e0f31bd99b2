"""Examples of the messages in the schemas; the tests check them against the fields."""

from __future__ import annotations

from typing import Any, Final

_JOB: Final[dict[str, Any]] = {
    "jobId": "order-4711",
    "accountId": "12345678",
    "consumerId": "c-9f2d7c1e-52a4-4f0e-8d55-6f2b1f1f7a10",
    "profile": {
        "firstName": "John",
        "lastName": "Doe",
        "authenticatedData": {
            "lp_sdes": [
                {"type": "ctmrinfo", "info": {"socialId": "1234567890", "ctype": "vip"}},
                {
                    "type": "personal",
                    "personal": {"firstname": "John", "lastname": "Doe", "gender": "MALE"},
                },
            ]
        },
    },
    "conversation": {
        "campaignInfo": {"campaignId": "99999", "engagementId": "888888"},
        "conversationContext": {
            "type": "SharkContext",
            "visitorId": "A3ZTY3Zjk1MDExZTczYTU4",
            "sessionId": "ys2wSqaSRSOJGki7VhEDKQ",
            "interactionContextId": "2",
            "lang": "en-US",
        },
    },
    "clientProperties": {"type": ".ClientProperties", "features": ["AUTO_MESSAGES"]},
    "onOpenConversation": "reuse",
    "expiresAt": "2026-01-31T18:00:00+01:00",
    "priority": 5,
    "submissionId": "spring-campaign",
    "metadata": {"orderId": 4711},
}

_CREATED: Final[dict[str, Any]] = {
    "jobId": _JOB["jobId"],
    "accountId": _JOB["accountId"],
    "consumerId": _JOB["consumerId"],
    "lpConsumerId": "77d338e4b6bf02affbf9bf00a779cbf06b0fcd7fb1674028e8739acdfa6ae7a2",
    "status": "created",
    "conversationId": "8602832d-dce1-446b-8445-0d51f5926a42",
    "dialogId": "8602832d-dce1-446b-8445-0d51f5926a42",
    "attempts": 1,
    "enqueuedAt": "2026-01-31T09:00:00.125Z",
    "createdAt": "2026-01-31T09:00:01.250Z",
    "clientProperties": _JOB["clientProperties"],
    "campaignInfo": _JOB["conversation"]["campaignInfo"],
    "conversationContext": _JOB["conversation"]["conversationContext"],
    "submissionId": _JOB["submissionId"],
    "metadata": _JOB["metadata"],
}

EXAMPLES: Final[dict[str, list[dict[str, Any]]]] = {
    "job": [{"jobId": "order-4712", "consumerId": "c-51c1b0f4-9a3e-4c59-8f43-0a6b1f2d3e4c"}, _JOB],
    "result": [
        _CREATED,
        {
            "jobId": "order-4712",
            "accountId": "12345678",
            "consumerId": "c-51c1b0f4-9a3e-4c59-8f43-0a6b1f2d3e4c",
            "lpConsumerId": "febc1f3532f35ed6668adb66bfef00c7b3e881e8a1be8c366c5ae21f6276a07e",
            "status": "reused",
            "conversationId": "cbf6e739-dfe6-4e3c-a544-2504afbe8747",
            "dialogId": "cbf6e739-dfe6-4e3c-a544-2504afbe8747",
            "attempts": 1,
            "enqueuedAt": "2026-01-31T09:00:01.750Z",
            "createdAt": "2026-01-31T09:00:02.500Z",
            "resolvedBy": "monitoring",
        },
    ],
    "dead-letter": [
        {
            "job": _JOB,
            "status": "failed",
            "error": {
                "code": "rejected",
                "message": "HTTP 400: Bad Request: skillId has more than 10 digits",
                "httpStatus": 400,
                "errorCode": 40000,
                "attempts": [
                    {
                        "at": "2026-01-31T09:00:01.250Z",
                        "httpStatus": 502,
                        "cause": "asyncMessagingEnt va.msg.liveperson.net: HTTP 502",
                        "outcome": "unknown",
                    },
                    {
                        "at": "2026-01-31T09:00:06.500Z",
                        "httpStatus": 400,
                        "cause": "asyncMessagingEnt va.msg.liveperson.net: HTTP 400 (40000)",
                        "outcome": "rejected",
                    },
                ],
            },
            "failedAt": "2026-01-31T09:00:06.910Z",
        },
        {
            "raw": "order-4711;12345678",
            "rawEncoding": "utf-8",
            "status": "failed",
            "error": {
                "code": "malformed_message",
                "message": "the message is not JSON: Expecting value at line 1 column 1",
                "httpStatus": None,
                "errorCode": None,
                "attempts": [],
            },
            "failedAt": "2026-01-31T09:00:00.300Z",
        },
    ],
}
