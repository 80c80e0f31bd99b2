"""What the command line says of itself: examples, and which command may have been meant."""

from __future__ import annotations

from difflib import get_close_matches

import click


def examples(*commands: str) -> str:
    """Return what stands below a command's options: how it is called, a line each."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    # Without the first character the lines would be filled.
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


class Suggesting(click.Group):
    """Names the nearest command where one is misspelt."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant. Raises UsageError."""
        if args and self.get_command(ctx, args[0]) is None and args[0].isprintable():
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)
