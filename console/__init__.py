"""The command `overture`: each subcommand is a module, imported only when it is called."""

from console.group import main

__all__ = ["main"]
