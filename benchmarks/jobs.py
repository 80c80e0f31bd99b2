"""The jobs of a benchmark: about a kilobyte each, of consumers who come round again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# More than are ever in flight, so that no two jobs of one consumer meet; their tokens are cached
# after one round, which is the warm-up.
CONSUMERS = 1000


def jobs(count: int, *, first: int = 0) -> Iterator[dict[str, Any]]:
    """Make jobs, each with an id of its own."""
    return (job(number) for number in range(first, first + count))


def job(number: int) -> dict[str, Any]:
    """Make one job."""
    consumer = number % CONSUMERS
    return {
        "jobId": f"job-{number:09d}",
        "consumerId": f"consumer-{consumer:09d}",
        "profile": {
            "authenticatedData": {
                "lp_sdes": [
                    {
                        "type": "ctmrinfo",
                        "info": {
                            "socialId": f"{consumer:010d}",
                            "ctype": "vip",
                            "customerId": f"customer-{consumer}",
                            "balance": 399.99,
                            "currency": "USD",
                        },
                    },
                    {
                        "type": "personal",
                        "personal": {
                            "firstname": "John",
                            "lastname": "Doe",
                            "gender": "MALE",
                            "contacts": [
                                {"email": "john.doe@example.com", "phone": "+31201234567"}
                            ],
                        },
                    },
                ]
            },
            "firstName": "John",
            "lastName": "Doe",
            "avatarUrl": "https://example.com/avatars/john.png",
        },
        "conversation": {
            "ttrDefName": "NORMAL",
            "skillId": "1251428632",
            "campaignInfo": {"campaignId": "99999", "engagementId": "888888"},
            "conversationContext": {
                "type": "SharkContext",
                "lang": "en-US",
                "visitorId": "A3ZTY3Zjk1MDExZTczYTU4",
                "sessionId": "ys2wSqaSRSOJGki7VhEDKQ",
                "interactionContextId": "2",
            },
        },
        "metadata": {"order": number, "source": "benchmark"},
    }
