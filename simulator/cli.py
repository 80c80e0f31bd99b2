"""The command line of the simulator."""

from typing import Any

import click

from simulator.endpoints import CONVERSATION
from simulator.faults import POSSIBLE
from simulator.limits import Limits
from simulator.options import (
    AccountType,
    CampaignType,
    FaultType,
    LatencyType,
    MonitoringAppType,
    NumberType,
)
from simulator.scenario import Scenario, read_scenario, shipped_names
from simulator.server import run
from simulator.settings import (
    APP_JWT_SECONDS,
    DEMO_ACCOUNT_ID,
    DEMO_ACCOUNTS,
    DEMO_CLIENT_ID,
    ConsumerIdentity,
    Latency,
    Settings,
)
from simulator.state import State

_FAULTS = ", ".join(sorted(POSSIBLE[CONVERSATION]))
EPILOG = f"""
Without --account there is one account, {DEMO_ACCOUNT_ID}, with client id {DEMO_CLIENT_ID} and
client secret demo-secret.

Faults of CONVERSATION: {_FAULTS}. For another endpoint, put its name first, as in
idp.too_many_requests; endpoints are {", ".join(POSSIBLE)}; smt also has smt.loading. --rate and
--max-concurrent limit CONVERSATION, --token-rate limits sentinel; the others answer 429 by
such a fault alone, since no limit of theirs is documented.
"""


def _use_scenario(context: click.Context, parameter: click.Parameter, name: str | None) -> Scenario:
    """Make a scenario's values the defaults, so that options on the command line win over it."""
    if name is None:
        return Scenario({}, {})
    try:
        scenario = read_scenario(name)
    except ValueError as wrong:
        raise click.BadParameter(str(wrong), context, parameter) from None
    context.default_map = dict(scenario.options)
    return scenario


@click.command(epilog=EPILOG)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8070,
    show_default=True,
    help="Port to listen on; 0 picks a free one.",
)
@click.option(
    "--account", "accounts", type=AccountType(), multiple=True, help="An account; repeatable."
)
@click.option("--any-account", is_flag=True, help="Accept any account and any credentials.")
@click.option(
    "--campaign",
    "campaigns",
    type=CampaignType(),
    multiple=True,
    help="What the Monitoring API offers for an account; repeatable.",
)
@click.option(
    "--monitoring-app",
    "monitoring_apps",
    type=MonitoringAppType(),
    multiple=True,
    help="The Monitoring API's app installation of an account, if not its client id; repeatable.",
)
@click.option(
    "--consumer-identity",
    type=click.Choice(["auth", "unauth"]),
    default="auth",
    show_default=True,
    help="The kind of identity by which the Monitoring API knows the consumers.",
)
@click.option("--rate", type=NumberType(0), help="CONVERSATION calls per second and account.")
@click.option(
    "--burst",
    type=click.IntRange(1),
    help="CONVERSATION calls at once after a quiet period.  [default: one second's worth]",
)
@click.option(
    "--max-concurrent", type=click.IntRange(0), help="CONVERSATION calls in flight per account."
)
@click.option("--token-rate", type=NumberType(0), help="AppJWT calls per second and account.")
@click.option(
    "--retry-after",
    type=NumberType(0),
    help="Seconds to put into the Retry-After header of a 429.  [default: no header]",
)
@click.option("--latency", type=LatencyType(), default="0", help="How long an answer takes.")
@click.option(
    "--token-lifetime",
    type=click.IntRange(1),
    default=APP_JWT_SECONDS,
    show_default=True,
    help="Lifetime of an AppJWT in seconds.",
)
@click.option("--fault", "faults", type=FaultType(), multiple=True, help="A fault; repeatable.")
@click.option(
    "--scenario",
    is_eager=True,
    callback=_use_scenario,
    metavar="NAME|FILE",
    help=f"Options from a file: {', '.join(shipped_names())}, or a TOML file of your own.",
)
@click.option(
    "--close-at-once", is_flag=True, help="Close each conversation as soon as it is made."
)
@click.option("--seed", type=int, help="Makes faults and jitter the same in every run.")
@click.option("--lenient", is_flag=True, help="Accept unknown fields.")
@click.option("--no-bodies", is_flag=True, help="Keep no request bodies, to save memory.")
def main(host: str, port: int, scenario: Scenario, **options: Any) -> None:
    """LivePerson on a laptop: Domain API, tokens, CONVERSATION, SEND and Monitoring over HTTP.

    It keeps everything in memory. What it saw, and what it is to do next, is under /control/.
    """
    try:
        state = State(_settings(scenario, **options))
    except ValueError as wrong:
        raise click.UsageError(str(wrong)) from None
    try:
        run(state, host=host, port=port)
    except OSError as failed:
        raise click.ClickException(f"cannot listen on {host}:{port}: {failed.strerror}") from None


def _settings(
    scenario: Scenario,
    *,
    accounts: tuple[Any, ...],
    any_account: bool,
    campaigns: tuple[Any, ...],
    monitoring_apps: tuple[tuple[str, str], ...],
    consumer_identity: ConsumerIdentity,
    rate: float | None,
    burst: int | None,
    max_concurrent: int | None,
    token_rate: float | None,
    retry_after: float | None,
    latency: Latency,
    token_lifetime: int,
    faults: tuple[tuple[str, float], ...],
    close_at_once: bool,
    seed: int | None,
    lenient: bool,
    no_bodies: bool,
) -> Settings:
    return Settings(
        accounts=dict(accounts) or ({} if any_account else DEMO_ACCOUNTS),
        any_account=any_account,
        campaigns=dict(campaigns),
        monitoring_apps=dict(monitoring_apps),
        consumer_identity=consumer_identity,
        limits=Limits(rate, burst, max_concurrent, token_rate, retry_after),
        latency=latency,
        faults={**scenario.faults, **dict(faults)},
        close_at_once=close_at_once,
        app_jwt_seconds=token_lifetime,
        keep_bodies=not no_bodies,
        lenient=lenient,
        seed=seed,
    )
