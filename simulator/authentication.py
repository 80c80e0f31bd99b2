"""Checks the two tokens that every call to the Connector API carries.

Source: Connector API, "Authorization and authentication": both tokens are sent bare.
"""

from simulator import answers
from simulator.calls import Call, Refused
from simulator.state import Account, Consumer, State
from simulator.tokens import lacks_claim, read_app_jwt, read_consumer_jws

ON_BEHALF = "X-LP-ON-BEHALF"


def authenticate_app(state: State, call: Call) -> Account:
    """Check the AppJWT and find the account of the URL, which it must be good for."""
    header = call.headers.get("Authorization")
    if not header:
        raise Refused(answers.APP_JWT_MISSING)
    if lacks_claim(header):
        raise Refused(answers.CLAIM_MISSING)
    token = read_app_jwt(header)
    account = state.find(call.account_id)
    if (
        token is None
        or account is None
        or token.account_id != account.id
        or token.expires_at <= call.at
        or token.generation != account.app_generation
        or state.is_revoked(token.token_id)
    ):
        raise Refused(answers.APP_JWT_INVALID)
    return account


def authenticate(state: State, call: Call) -> tuple[Account, Consumer]:
    """Check both tokens and find the consumer they speak for."""
    account = authenticate_app(state, call)
    header = call.headers.get(ON_BEHALF)
    if not header:
        raise Refused(answers.CONSUMER_JWS_MISSING)
    token = read_consumer_jws(header)
    if (
        token is None
        or token.account_id != account.id
        or token.generation != account.consumer_generation
    ):
        raise Refused(answers.CONSUMER_JWS_INVALID)
    return account, account.consumer(token)


def consumer_named(call: Call) -> str | None:
    """Read whose call this is (ext_consumer_id), without asking whether the call is allowed."""
    header = call.headers.get(ON_BEHALF)
    token = read_consumer_jws(header) if header else None
    return token.ext_consumer_id if token else None
