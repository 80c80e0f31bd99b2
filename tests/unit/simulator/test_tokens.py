"""AppJWT and ConsumerJWS, as the documentation decodes them."""

import jwt

from simulator.tokens import (
    lp_consumer_id,
    read_app_jwt,
    read_consumer_jws,
    sign_app_jwt,
    sign_consumer_jws,
)
from tests.simulator_client import ACCOUNT, documented


def decoded(token: str) -> dict[str, object]:
    return {
        "header": jwt.get_unverified_header(token),
        "payload": jwt.decode(token, options={"verify_signature": False}),
    }


def test_an_app_jwt_has_the_documented_claims() -> None:
    """Header and payload are the sample's, but for the algorithm and a jti."""
    sample = documented("resp_33_appjwt_decoded")
    sample["header"]["alg"] = "HS256"
    token = decoded(
        sign_app_jwt(
            ACCOUNT,
            sample["payload"]["azp"],
            at=sample["payload"]["iat"] + 0.9,
            lifetime=3600,
        )
    )
    payload = token["payload"]
    assert isinstance(payload, dict)
    payload.pop("jti")

    assert token == sample


def test_two_app_jwts_of_one_moment_differ() -> None:
    """One can be revoked without the other."""
    first, second = (sign_app_jwt(ACCOUNT, "app", at=1.0, lifetime=1) for _ in range(2))

    assert first != second


def test_an_app_jwt_is_read_back() -> None:
    """Reading does not ask whether the token is still good."""
    token = read_app_jwt(sign_app_jwt(ACCOUNT, "app", at=100.0, lifetime=60))

    assert token is not None
    assert (token.account_id, token.client_id, token.expires_at) == (ACCOUNT, "app", 160)


def test_a_consumer_jws_has_the_documented_claims_and_does_not_expire() -> None:
    """Header and payload are the sample's: no exp, no iat."""
    sample = documented("resp_35_consumerjws_decoded")
    sample["header"]["alg"] = "HS256"
    consumer = sample["payload"]["ext_consumer_id"]
    sample["payload"]["lp_consumer_id"] = lp_consumer_id(ACCOUNT, consumer)

    assert decoded(sign_consumer_jws(ACCOUNT, consumer)) == sample


def test_an_lp_consumer_id_is_the_same_in_every_run() -> None:
    """It depends on account and external id alone, and is 64 hex digits."""
    assert lp_consumer_id("12345678", "c-1") == (
        "f8f40fa34ed118717a18ad0f12ffcd0b553a04f15a35588dfc1973e2e8507d5d"
    )
    assert lp_consumer_id("12345679", "c-1") != lp_consumer_id("12345678", "c-1")
    assert lp_consumer_id("12345678", "c-2") != lp_consumer_id("12345678", "c-1")


def test_a_token_of_another_hand_is_not_read() -> None:
    """The signature is checked, and one kind of token does not pass for the other."""
    app_jwt = sign_app_jwt(ACCOUNT, "app", at=1.0, lifetime=60)
    consumer_jws = sign_consumer_jws(ACCOUNT, "c")
    forged = jwt.encode(
        {"account_id": ACCOUNT, "ext_consumer_id": "c", "lp_consumer_id": "x"}, "k" * 32
    )

    assert read_app_jwt(app_jwt[:-2]) is None
    assert read_app_jwt(consumer_jws) is None
    assert read_app_jwt(f"Bearer {app_jwt}") is None
    assert read_consumer_jws(app_jwt) is None
    assert read_consumer_jws(forged) is None
