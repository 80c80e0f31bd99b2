"""Sentinel: issues AppJWTs for client credentials.

Source: Connector API, "Authorization and authentication"; the errors are said to follow OAuth 2.0,
so they are RFC 6749's, section 5.2. Stricter than the real one in one point: client_id and
client_secret are taken from the form only, since in a URL they end up in access logs.
"""

import secrets
from urllib.parse import parse_qs

from simulator.calls import Answer, Call, Refused, json_answer
from simulator.state import Account, State
from simulator.tokens import sign_app_jwt

FORM = "application/x-www-form-urlencoded"
VERSION = "1.0"
GRANT_TYPE = "client_credentials"
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def _refused(status: int, code: str, description: str) -> Refused:
    body = {"error": code, "error_description": description}
    return Refused(json_answer(status, body, _NOT_STORED))


def _read_form(call: Call) -> dict[str, str]:
    if call.media_type != FORM:
        raise _refused(400, "invalid_request", f"Content-Type must be {FORM}")
    form = parse_qs(call.body.decode("utf-8", "replace"))
    return {name: values[0] for name, values in form.items()}


def _is_client(account: Account, client_id: str, client_secret: str) -> bool:
    credentials = account.credentials
    return credentials is None or (
        client_id == credentials.client_id
        and secrets.compare_digest(client_secret.encode(), credentials.client_secret.encode())
    )


def give_app_jwt(state: State, call: Call) -> Answer:
    """Answer a client credentials request with an AppJWT."""
    if call.query.get("v") != VERSION:
        raise _refused(400, "invalid_request", f"v={VERSION} is required")
    form = _read_form(call)
    grant_type = call.query.get("grant_type") or form.get("grant_type")
    client_id, client_secret = form.get("client_id"), form.get("client_secret")
    if not grant_type or not client_id or not client_secret:
        raise _refused(
            400,
            "invalid_request",
            "grant_type, and in the form client_id and client_secret, are required",
        )
    if grant_type != GRANT_TYPE:
        raise _refused(400, "unsupported_grant_type", f"grant_type must be {GRANT_TYPE}")
    account = state.find(call.account_id)
    if account is None or not _is_client(account, client_id, client_secret):
        raise _refused(401, "invalid_client", "Client authentication failed")
    token = sign_app_jwt(
        account.id,
        client_id,
        at=call.at,
        lifetime=state.settings.app_jwt_seconds,
        generation=account.app_generation,
    )
    return json_answer(200, {"access_token": token, "token_type": "Bearer"}, _NOT_STORED)
