"""AppJWT and ConsumerJWS: signing them and reading them back.

LivePerson signs with RS256. The simulator signs with HS256 under a fixed key: no client verifies
these tokens, HMAC is cheaper, and a token stays good when the simulator restarts. The header and
the claims are those of the documented samples, plus a `jti` in the AppJWT, so that two tokens got
in the same second differ and one can be revoked without the other.
"""

import hashlib
import hmac
import uuid
from dataclasses import dataclass
from functools import lru_cache

import jwt

SIGNING_KEY = b"every simulator signs with this well-known key"
ALGORITHM = "HS256"
KEY_ID = "appjwt-13-05-17"
ISSUER = "Sentinel"
SCOPE = "msg.consumer"
APP_CLAIMS = ("aud", "azp", "scope", "iss", "iat", "exp")
GENERATION = "generation"
CACHED_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class AppToken:
    """The claims of an AppJWT whose signature holds; times are Unix seconds."""

    account_id: str
    client_id: str
    expires_at: int
    token_id: str
    generation: int


@dataclass(frozen=True, slots=True)
class ConsumerToken:
    """The claims of a ConsumerJWS whose signature holds; it never expires."""

    account_id: str
    ext_consumer_id: str
    lp_consumer_id: str
    generation: int = 0


def sign_app_jwt(
    account_id: str, client_id: str, *, at: float, lifetime: int, generation: int = 0
) -> str:
    """Make an AppJWT that is good for `lifetime` seconds from `at` on, in its generation."""
    issued_at = int(at)
    claims = {
        **_marked(generation),
        "aud": account_id,
        "azp": client_id,
        "scope": SCOPE,
        "iss": ISSUER,
        "exp": issued_at + lifetime,
        "iat": issued_at,
        "jti": uuid.uuid4().hex,
    }
    return jwt.encode(claims, SIGNING_KEY, algorithm=ALGORITHM, headers={"kid": KEY_ID})


@lru_cache(maxsize=CACHED_TOKENS)
def lacks_claim(token: str) -> bool:
    """Tell whether an AppJWT is signed as ours, but lacks a documented claim."""
    try:
        jwt.decode(
            token,
            SIGNING_KEY,
            algorithms=[ALGORITHM],
            options={"require": list(APP_CLAIMS), "verify_aud": False, "verify_exp": False},
        )
    except jwt.MissingRequiredClaimError:
        return True
    except (jwt.InvalidTokenError, UnicodeEncodeError):
        return False
    return False


@lru_cache(maxsize=CACHED_TOKENS)
def read_app_jwt(token: str) -> AppToken | None:
    """Read an AppJWT; None unless it is one of ours. Whether it is still good is not asked here."""
    try:
        claims = jwt.decode(
            token,
            SIGNING_KEY,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            options={
                "require": [*APP_CLAIMS, "jti"],
                "verify_aud": False,
                "verify_exp": False,
            },
        )
    except (jwt.InvalidTokenError, UnicodeEncodeError):
        return None
    if claims["scope"] != SCOPE:
        return None
    return AppToken(
        claims["aud"], claims["azp"], claims["exp"], claims["jti"], claims.get(GENERATION, 0)
    )


def lp_consumer_id(account_id: str, ext_consumer_id: str) -> str:
    """Return LivePerson's own id of a consumer: 64 hex digits, the same in every run."""
    name = f"{account_id}\0{ext_consumer_id}".encode()
    return hmac.new(SIGNING_KEY, name, hashlib.sha256).hexdigest()


def _marked(generation: int) -> dict[str, int]:
    """Mark a token that was made after an invalidation; the others are as documented."""
    return {GENERATION: generation} if generation else {}


def sign_consumer_jws(account_id: str, ext_consumer_id: str, *, generation: int = 0) -> str:
    """Make a ConsumerJWS; asking again for the same consumer gives the same token."""
    claims = {
        **_marked(generation),
        "account_id": account_id,
        "ext_consumer_id": ext_consumer_id,
        "lp_consumer_id": lp_consumer_id(account_id, ext_consumer_id),
    }
    return jwt.encode(claims, SIGNING_KEY, algorithm=ALGORITHM, headers={"kid": KEY_ID})


@lru_cache(maxsize=CACHED_TOKENS)
def read_consumer_jws(token: str) -> ConsumerToken | None:
    """Read a ConsumerJWS; None unless it is one of ours."""
    try:
        claims = jwt.decode(token, SIGNING_KEY, algorithms=[ALGORITHM])
        return ConsumerToken(
            claims["account_id"],
            claims["ext_consumer_id"],
            claims["lp_consumer_id"],
            claims.get(GENERATION, 0),
        )
    except (jwt.InvalidTokenError, UnicodeEncodeError, KeyError):
        return None
