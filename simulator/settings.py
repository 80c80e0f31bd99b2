"""The settings of a simulator, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from simulator.limits import Limits

DEMO_ACCOUNT_ID = "12345678"
DEMO_CLIENT_ID = "demo-client"
DEMO_CLIENT_SECRET = "demo-secret"  # noqa: S105 - the demo's account is open to everyone
APP_JWT_SECONDS = 3600


ConsumerIdentity = Literal["auth", "unauth"]
"""Which kind of identity the Monitoring API knows a connector's consumers by."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The app installation of one account."""

    client_id: str
    client_secret: str = field(repr=False)


DEMO_ACCOUNTS = {DEMO_ACCOUNT_ID: Credentials(DEMO_CLIENT_ID, DEMO_CLIENT_SECRET)}


@dataclass(frozen=True, slots=True)
class Campaign:
    """What the Monitoring API offers to the visitors of an account."""

    campaign_id: int = 880524023
    engagement_id: int = 880524123
    revision: int = 21
    connector_id: int = 2642324112


@dataclass(frozen=True, slots=True)
class Latency:
    """How long an answer takes: `mean` plus or minus `jitter`, in seconds."""

    mean: float = 0.0
    jitter: float = 0.0


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be chosen; `None` as a campaign means the account has none.

    An account's `monitoring_apps` is the Monitoring API's installation, if it is another one.
    """

    accounts: Mapping[str, Credentials] = field(default_factory=lambda: DEMO_ACCOUNTS)
    any_account: bool = False
    campaigns: Mapping[str, Campaign | None] = field(default_factory=dict)
    monitoring_apps: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    latency: Latency = Latency()
    faults: Mapping[str, float] = field(default_factory=dict)
    close_at_once: bool = False
    app_jwt_seconds: int = APP_JWT_SECONDS
    keep_bodies: bool = True
    lenient: bool = False
    consumer_identity: ConsumerIdentity = "auth"
    seed: int | None = None
