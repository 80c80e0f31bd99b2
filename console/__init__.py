"""The command `overture`: one module a command, each imported when it is called."""

from console.group import main

__all__ = ["main"]
