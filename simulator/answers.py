"""The answer bodies of the Connector API, as documented.

Sources: Connector API, "Authorization and authentication" (table of error bodies); the Connector
guide of April 2019 ("Conversation already exists"); release notes of February 2019 (the unified
error object). Where a status is documented without a body, the unified error object is used, with
an errorCode made the documented way: three HTTP digits and two more.
"""

from collections.abc import Mapping
from math import ceil
from typing import Any

from simulator.calls import Answer, json_answer

ReqId = str | int
"""The id of a request item, which is echoed as it came."""

Item = dict[str, Any]
"""One part of an answer: `code`, `body` and the `reqId` of the request item it belongs to."""

OK = "OK"
BAD_REQUEST = "BAD_REQUEST"
PROFILE_SET = "OK User Profile set successfully"
CONVERSATION_RESOLVED = "OK Conversation resolved successfully"
# The documentation prints no answer to this one.
FIELD_UPDATED = "OK Conversation field updated successfully"
CONVERSATION_IS_CLOSED = "Bad Request, Conversation is close"
PLAIN_BAD_REQUEST = "Bad Request"


def error(
    status: int,
    title: str,
    details: str,
    *,
    error_code: int,
    req_id: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Build the unified error object; `req_id` is left out where no item is concerned."""
    body: dict[str, Any] = {
        "kind": "resp",
        "code": status,
        "body": {"title": title, "details": details, "errorCode": error_code},
        "type": ".ReqBody$ErrorResp",
    }
    if req_id is not None:
        body["reqId"] = req_id
    return json_answer(status, body, headers)


def item(code: str, req_id: ReqId, **body: Any) -> Item:
    """Build one item of a batch answer."""
    return {"code": code, "body": body, "reqId": req_id}


def already_open(lp_consumer_id: str) -> str:
    """Return the guide's answer for a consumer who has an open conversation."""
    return (
        f"Consumer request conversation failed: User {lp_consumer_id} "
        "already has open conversation. Can't open another one."
    )


def bad_request(details: str) -> Answer:
    """Return the answer to a request that is not as documented."""
    return error(400, PLAIN_BAD_REQUEST, details, error_code=40000)


# The page prints 40104 beside this title once; its table says 40105, and the table is followed.
APP_JWT_MISSING = error(
    401, "AppJWT is missing", "AUTHORIZATION header is not present", error_code=40105
)
APP_JWT_INVALID = error(401, "Invalid AppJWT", "AppJWT has expired or is invalid", error_code=40102)
CONSUMER_JWS_MISSING = error(
    401, "ConsumerJWS is missing", "X_ON_BEHALF_HEADER is not present", error_code=40104
)
CONSUMER_JWS_INVALID = error(401, "Invalid ConsumerJWS", "ConsumerJWS is invalid", error_code=40103)
CLAIM_MISSING = error(
    400, "Missing parameter", "The AppJWT lacks a mandatory claim", error_code=40001
)
BRAND_ID_MISSING = error(400, "Missing parameter", "Brand Id is missing", error_code=40001)
BRAND_ID_WRONG = error(
    400, "Invalid parameter", "Brand Id is not the account of the URL", error_code=40001
)
# The documentation gives 401 for this case, and no body.
NOT_YOUR_CONVERSATION = error(
    401,
    "Unauthorized",
    "The conversation belongs to another consumer",
    error_code=40100,
)
VERSION_UNKNOWN = error(404, "Not Found", "The API version must be v=3", error_code=40400)
NO_SUCH_PATH = error(404, "Not Found", "No such path", error_code=40400)
BODY_TOO_LARGE = error(413, "Payload Too Large", "The body is too large", error_code=41300)


def too_many_requests(retry_after: float | None) -> Answer:
    """Answer 429; `retry_after` is in seconds. The real body and header are undocumented."""
    headers = {} if retry_after is None else {"Retry-After": str(ceil(retry_after))}
    return error(
        429,
        "Too many requests",
        "Too many requests, please try again later",
        error_code=42900,
        headers=headers,
    )
