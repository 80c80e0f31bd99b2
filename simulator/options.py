"""Types of the command line's options."""

import math
from typing import Any

import click

from simulator.settings import Campaign, Credentials, Latency

MILLISECOND = 0.001
NO_CAMPAIGN = "none"


class NumberType(click.FloatRange):
    """A finite number; click's own type accepts "inf" and "nan"."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuse the others."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class LatencyType(click.ParamType[Latency]):
    """`MS` or `MS:JITTER_MS`."""

    name = "MS[:JITTER_MS]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Latency:
        """Read milliseconds into seconds."""
        if isinstance(value, Latency):
            return value
        mean, _, jitter = str(value).partition(":")
        try:
            latency = Latency(float(mean) * MILLISECOND, float(jitter or 0) * MILLISECOND)
        except ValueError:
            self.fail(f"{value} is not of the form {self.name}", param, ctx)
        if not (0 <= latency.mean < float("inf") and 0 <= latency.jitter < float("inf")):
            self.fail("milliseconds must be finite and at least 0", param, ctx)
        return latency


class AccountType(click.ParamType[tuple[str, Credentials]]):
    """`ID:CLIENT_ID:CLIENT_SECRET`."""

    name = "ID:CLIENT_ID:CLIENT_SECRET"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Credentials]:
        """Read the three parts; the secret may contain colons."""
        parts = str(value).split(":", 2)
        if len(parts) != 3 or not all(parts):
            self.fail(f"an account must have the form {self.name}", param, ctx)
        account_id, client_id, client_secret = parts
        return account_id, Credentials(client_id, client_secret)


class MonitoringAppType(click.ParamType[tuple[str, str]]):
    """`ID:APP_INSTALLATION_ID`."""

    name = "ID:APP_INSTALLATION_ID"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Read the two parts."""
        account_id, _, app_id = str(value).partition(":")
        if not account_id or not app_id:
            self.fail(f"{value} is not of the form {self.name}", param, ctx)
        return account_id, app_id


class CampaignType(click.ParamType[tuple[str, Campaign | None]]):
    """`ID:CAMPAIGN_ID:ENGAGEMENT_ID` or `ID:none`."""

    name = "ID:CAMPAIGN_ID:ENGAGEMENT_ID|ID:none"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Campaign | None]:
        """Read an account's campaign; `none` means that visitors are offered nothing."""
        account_id, _, campaign = str(value).partition(":")
        if campaign == NO_CAMPAIGN:
            return account_id, None
        campaign_id, _, engagement_id = campaign.partition(":")
        try:
            return account_id, Campaign(int(campaign_id), int(engagement_id))
        except ValueError:
            self.fail(f"{value} is not of the form {self.name}", param, ctx)


class FaultType(click.ParamType[tuple[str, float]]):
    """`NAME=PROBABILITY`."""

    name = "NAME=PROBABILITY"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Read a fault's probability; its name is checked later."""
        name, _, probability = str(value).partition("=")
        try:
            return name, float(probability)
        except ValueError:
            self.fail(f"{value} is not of the form {self.name}", param, ctx)
