"""Names that somebody gave, as arguments and options take them."""

from __future__ import annotations

from typing import Any

import click


class Name(click.ParamType[str]):
    """The id of a job or an account, or an error code."""

    name = "TEXT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse bytes that are no text: no job, account or queue can be named by them."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            self.fail("it is not valid UTF-8", param, ctx)
        return text


NAME = Name()
