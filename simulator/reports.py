"""The control API's reports: counts and conversations."""

from datetime import UTC, datetime
from heapq import nlargest
from typing import Any

from simulator.calls import read_json
from simulator.counters import report
from simulator.state import Account, Conversation, State

MAX_NAMED = 20


def stats(state: State, *, now: float) -> dict[str, Any]:
    """Count everything, for all accounts together and for each."""
    accounts = list(state.accounts.values())
    total = _created(accounts) | report(
        [*(account.counters for account in accounts), state.unknown], now=now
    )
    # The highest number in flight over all accounts is not the sum of their highest numbers.
    total["maxConcurrent"] = state.in_flight.peak
    return {
        "startedAt": _timestamp(state.started_at),
        "total": total,
        "accounts": {
            account.id: _created([account]) | report([account.counters], now=now)
            for account in accounts
        },
    }


def _created(accounts: list[Account]) -> dict[str, Any]:
    """Count conversations by consumer; a second one is what clients have to avoid."""
    created = sum(len(account.conversations) for account in accounts)
    served = sum(account.served for account in accounts)
    several = [
        (count, account.id, consumer_id)
        for account in accounts
        for consumer_id, count in account.several.items()
    ]
    most = nlargest(MAX_NAMED, several)
    return {
        "conversationsCreated": created,
        "conversationsOpen": sum(account.open_count for account in accounts),
        "secondConversations": created - served,
        "consumers": {
            "seen": sum(len(account.consumers) for account in accounts),
            "withOne": served - len(several),
            "withSeveral": len(several),
            "most": most[0][0] if most else min(served, 1),
            "several": [
                {"account": account_id, "consumer": consumer_id, "conversations": count}
                for count, account_id, consumer_id in most
            ],
        },
    }


def conversations(
    state: State, *, account_id: str | None, consumer_id: str | None, offset: int, limit: int
) -> dict[str, Any]:
    """List conversations in the order of their creation, one page of them."""
    chosen = [
        (account.id, conversation)
        for account in state.chosen(account_id)
        for conversation in account.conversations.values()
        if consumer_id is None or conversation.consumer.ext_consumer_id == consumer_id
    ]
    return {
        "total": len(chosen),
        "offset": offset,
        "conversations": [_shown(*one) for one in chosen[offset : offset + limit]],
    }


def _shown(account_id: str, conversation: Conversation) -> dict[str, Any]:
    consumer = conversation.consumer
    properties = conversation.client_properties
    return {
        "conversationId": conversation.id,
        "extConsumerId": consumer.ext_consumer_id,
        "lpConsumerId": consumer.lp_consumer_id,
        "brandId": account_id,
        "createdAt": _timestamp(conversation.created_at),
        "closedAt": _timestamp(conversation.closed_at),
        "body": _item_body(conversation.request, 1),
        "profile": _item_body(consumer.profile_request, 0),
        "clientProperties": read_json(properties.encode()) if properties else None,
        "messages": conversation.messages,
    }


def _item_body(request: bytes | None, position: int) -> Any:
    return None if request is None else read_json(request)[position]["body"]


def _timestamp(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
