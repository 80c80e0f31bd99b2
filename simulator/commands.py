"""The control API's changes while the simulator runs; every command returns the new state.

Each takes a JSON object, and raises ValueError with one sentence if it is wrong.
"""

import math
import time
from dataclasses import replace
from typing import Any

from simulator.limits import Limits
from simulator.settings import Credentials, Latency
from simulator.state import State

_LIMIT_FIELDS = {
    "rate": "rate",
    "burst": "burst",
    "maxConcurrent": "max_concurrent",
    "tokenRate": "token_rate",
    "retryAfter": "retry_after",
}
MILLISECOND = 0.001


def _known(body: Any, *names: str) -> None:
    if not isinstance(body, dict):
        raise ValueError("the body must be a JSON object")  # noqa: TRY004 - see above
    for name in body:
        if name not in names:
            raise ValueError(f"{name}: unknown field; known fields: {', '.join(names)}")


def _text(body: dict[str, Any], name: str) -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be a string")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number")  # noqa: TRY004 - see above
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} must be a finite number of at least 0")
    return value


def reset(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Forget conversations, counts and queued faults; limits and faults are as started again."""
    _known(body)
    state.reset()
    return {"reset": True}


def set_limits(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Change the limits named, `null` lifts one; with `account`, for that account alone."""
    _known(body, *_LIMIT_FIELDS, "latency", "jitter", "account")
    changes: dict[str, Any] = {
        field: None if body[name] is None else _number(name, body[name])
        for name, field in _LIMIT_FIELDS.items()
        if name in body
    }
    latency = Latency(
        _number("latency", body.get("latency", state.latency.mean / MILLISECOND)) * MILLISECOND,
        _number("jitter", body.get("jitter", state.latency.jitter / MILLISECOND)) * MILLISECOND,
    )
    account_id = _text(body, "account")
    if account_id is None:
        state.limits = limits = replace(state.limits, **changes)
    else:
        account = state.find(account_id)
        if account is None:
            raise ValueError(f"account {account_id} is unknown")
        account.limits = limits = replace(state.limits_of(account), **changes)
    state.latency = latency
    return _shown(limits) | {
        "latency": latency.mean / MILLISECOND,
        "jitter": latency.jitter / MILLISECOND,
    }


def _shown(limits: Limits) -> dict[str, Any]:
    return {name: getattr(limits, field) for name, field in _LIMIT_FIELDS.items()}


def set_faults(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Replace the `probabilities`, switch `closeAtOnce`, queue a `fault` for one `consumer`.

    The fault hits the consumer's next `times` calls, and comes before chance.
    """
    _known(body, "probabilities", "closeAtOnce", "consumer", "fault", "times")
    probabilities = body.get("probabilities")
    if probabilities is not None:
        if not isinstance(probabilities, dict):
            raise ValueError("probabilities must be an object of numbers by fault name")
        state.faults.set_probabilities(
            {name: _number(name, value) for name, value in probabilities.items()}
        )
    if "closeAtOnce" in body:
        if not isinstance(body["closeAtOnce"], bool):
            raise ValueError("closeAtOnce must be true or false")
        state.close_at_once = body["closeAtOnce"]
    consumer, fault = _text(body, "consumer"), _text(body, "fault")
    if (consumer is None) != (fault is None):
        raise ValueError("consumer and fault must be given together")
    if consumer is not None and fault is not None:
        times = body.get("times", 1)
        if not isinstance(times, int) or times < 1:
            raise ValueError("times must be a whole number of at least 1")
        state.faults.queue(fault, consumer, times=times)
    return {
        "probabilities": state.faults.probabilities(),
        "closeAtOnce": state.close_at_once,
        "queued": state.faults.queued(),
    }


def invalidate(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Invalidate all `tokens` issued so far, "app" or "consumer", of one `account` or of all."""
    _known(body, "account", "tokens")
    kind = _text(body, "tokens")
    if kind not in {"app", "consumer"}:
        raise ValueError('tokens must be "app" or "consumer"')
    accounts = state.chosen(_text(body, "account"))
    for account in accounts:
        if kind == "app":
            account.app_generation += 1
        else:
            account.consumer_generation += 1
    return {"invalidated": len(accounts)}


def set_credentials(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Change an `account`'s `clientSecret` or `clientId`, and invalidate its AppJWTs."""
    _known(body, "account", "clientId", "clientSecret")
    account_id = _text(body, "account") or ""
    account = state.accounts.get(account_id)
    if account is None or account.credentials is None:
        raise ValueError(f"account {account_id} is unknown, or accepts any credentials")
    account.credentials = Credentials(
        _text(body, "clientId") or account.credentials.client_id,
        _text(body, "clientSecret") or account.credentials.client_secret,
    )
    account.app_generation += 1
    return {"account": account_id, "clientId": account.credentials.client_id}


def close(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Close the open conversations chosen by `account`, `consumer` or `conversationId`; or all."""
    _known(body, "account", "consumer", "conversationId")
    consumer, conversation_id = _text(body, "consumer"), _text(body, "conversationId")
    closed = 0
    for account in state.chosen(_text(body, "account")):
        for conversation in account.conversations.values():
            if (
                conversation.closed_at is None
                and consumer in {None, conversation.consumer.ext_consumer_id}
                and conversation_id in {None, conversation.id}
            ):
                account.close(conversation, at=time.time())
                closed += 1
    return {"closed": closed}
