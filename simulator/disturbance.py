"""The effect of each fault on an answer, as pure functions; those on the socket are in `wire`."""

import random
import uuid
from dataclasses import replace
from typing import Any

from simulator import answers, monitoring
from simulator.calls import JSON_TYPE, Answer, Call, json_answer, read_json
from simulator.faults import Fault
from simulator.state import State
from simulator.tokens import read_app_jwt

_HTML = "text/html"
_NEVER_WRITTEN = Answer(500, b"")
_MAINTENANCE = b"<html><head><title>503 Service Unavailable</title></head><body></body></html>"
_BLOCKED = b"<html><head><title>Blocked</title></head><body>Blocked by policy 17</body></html>"
_LOGIN_PAGE = b"<!doctype html><html><body>This is not the page you are looking for.</body></html>"


def server_error(rng: random.Random) -> Answer:
    """Return a random 5xx of a server or a gateway."""
    return rng.choice(
        (
            answers.error(500, "Internal Server Error", "Unexpected error", error_code=50000),
            answers.error(
                502,
                "Unable to access resource",
                "Failed to connect to AC for setting delay",
                error_code=50201,
                req_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
            ),
            Answer(503, _MAINTENANCE, _HTML),
            Answer(504, b"", _HTML),
        )
    )


def firewall_page(rng: random.Random) -> Answer:
    """Return the answer of a proxy or a firewall in place of LivePerson's."""
    status = rng.choice((403, 404, 405, 407, 410, 451))
    content, content_type = rng.choice(
        ((_BLOCKED, _HTML), (b"", _HTML), (b'{"blocked":true,"policy":17}', JSON_TYPE))
    )
    return Answer(status, content, content_type)


def instead(fault: Fault | None, state: State, call: Call) -> Answer | None:
    """Return the answer of a fault that replaces the endpoint, or None."""
    match fault:
        case Fault.RESET:
            return _NEVER_WRITTEN
        case Fault.SERVER_ERROR:
            return server_error(state.rng)
        case Fault.TOO_MANY_REQUESTS:
            account = state.find(call.account_id)
            limits = state.limits_of(account) if account else state.limits
            return answers.too_many_requests(limits.retry_after)
        case Fault.TOKEN_EXPIRED:
            return _token_expired(state, call)
        case Fault.UNAUTHORIZED:
            return answers.APP_JWT_INVALID
        case Fault.FIREWALL_PAGE:
            return firewall_page(state.rng)
        case Fault.CONSUMER_TOKEN_REFUSED:
            return answers.CONSUMER_JWS_INVALID
        case Fault.BAD_REQUEST_AS_200:
            return _bad_request_as_200(call)
        case Fault.LOADING:
            return monitoring.loading(state, call)
        case _:
            return None


def afterwards(fault: Fault | None, answer: Answer, rng: random.Random) -> Answer:
    """Return the endpoint's answer, changed if the fault is of that kind."""
    match fault:
        case Fault.SERVER_ERROR_AFTER:
            return server_error(rng)
        case Fault.TRUNCATED_JSON:
            return replace(answer, content=answer.content[: len(answer.content) // 2])
        case Fault.NOT_JSON:
            return replace(answer, content=_LOGIN_PAGE, content_type=_HTML)
        case Fault.WRONG_REQ_ID:
            renamed = _with_other_ids(read_json(answer.content))
            return json_answer(answer.status, renamed, answer.headers)
        case _:
            return answer


def _token_expired(state: State, call: Call) -> Answer:
    token = read_app_jwt(call.headers.get("Authorization", ""))
    if token:
        state.revoke(token.token_id)
    return answers.APP_JWT_INVALID


def _bad_request_as_200(call: Call) -> Answer:
    try:
        profile_id, conversation_id = (item["id"] for item in read_json(call.body)[:2])
    except (ValueError, TypeError, KeyError):
        return answers.bad_request("The body is not a batch")
    return json_answer(
        200,
        [
            answers.item(answers.OK, profile_id, msg=answers.PROFILE_SET),
            answers.item(answers.BAD_REQUEST, conversation_id, msg=answers.PLAIN_BAD_REQUEST),
        ],
    )


def _with_other_ids(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_other_ids(item) for item in value]
    if isinstance(value, dict) and "reqId" in value:
        return {**value, "reqId": str(uuid.uuid4())}
    return value
