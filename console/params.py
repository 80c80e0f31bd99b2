"""Types of the commands' arguments and options."""

from __future__ import annotations

import math
from typing import Any, Final

import click

from config.names import JOBS_QUEUE
from config.values import ACCOUNT_ID

# The longest submissionId.
LABEL_CHARACTERS: Final = 128


class Name(click.ParamType[str]):
    """The id of a job or an account, or an error code."""

    name = "TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse bytes that are not text, which cannot be a name."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not valid UTF-8", param, ctx)
        return text


NAME = Name()


class Label(Name):
    """The name of a submission: a submissionId."""

    name = "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a text that cannot be a submissionId."""
        label = super().convert(value, param, ctx)
        if not 1 <= len(label) <= LABEL_CHARACTERS or not label.isprintable():
            self.fail(
                f"a name has 1 to {LABEL_CHARACTERS} characters, and no control characters",
                param,
                ctx,
            )
        return label


LABEL: Final = Label()


class Number(click.FloatRange):
    """A number within a range; click's own type accepts "nan", which is in no range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Refuse anything that is not a number."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


class JobsQueue(Name):
    """The name of a jobs queue: of all accounts, or of one."""

    name = "QUEUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse a name that no worker would consume."""
        name = super().convert(value, param, ctx)
        account_id = name.removeprefix(f"{JOBS_QUEUE}.")
        if name != JOBS_QUEUE and (account_id == name or not ACCOUNT_ID.fullmatch(account_id)):
            self.fail(
                f"{name}: jobs queues are {JOBS_QUEUE} and {JOBS_QUEUE}.<accountId>", param, ctx
            )
        return name


class JobsQueues(click.ParamType[tuple[str, ...]]):
    """Several jobs queues, separated by commas."""

    name = "QUEUE,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Convert each of them."""
        if isinstance(value, tuple):
            return value
        parts = (part.strip() for part in str(value).split(","))
        names = [ONE.convert(part, param, ctx) for part in parts if part]
        if not names:
            self.fail("it names no queue", param, ctx)
        return tuple(dict.fromkeys(names))


ONE: Final = JobsQueue()
