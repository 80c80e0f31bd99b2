"""The command `overture`: one module a command, each imported when it is called."""

from worker.cli.group import main

__all__ = ["main"]
