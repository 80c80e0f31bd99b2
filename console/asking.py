"""Questions before something is destroyed or repeated; `--yes` answers them beforehand."""

from __future__ import annotations

import sys

import click

from console.output import Problem, printable

yes_option = click.option("--yes", is_flag=True, help="Do it without asking.")


def demand_yes(question: str, *, sure: bool) -> None:
    """Ask, unless `sure`. Raises Problem for a no, and if nobody can be asked."""
    if sure:
        return
    if not is_anybody_there():
        raise Problem("nobody is there to be asked; give --yes to go on")
    if not click.confirm(printable(question), default=False, err=True):
        raise Problem("nothing was changed")


def is_anybody_there() -> bool:
    """Tell whether a question would be seen and answered."""
    return sys.stdin is not None and sys.stdin.isatty()
