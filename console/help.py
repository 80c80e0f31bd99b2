"""Help of the command line: examples, and suggestions for misspelt commands."""

from __future__ import annotations

from difflib import get_close_matches

import click


def examples(*commands: str) -> str:
    """Return the examples below a command's options, one a line."""
    title = "Example:" if len(commands) == 1 else "Examples:"
    # click joins the lines of a paragraph unless it begins with this character.
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


class Suggesting(click.Group):
    """A group that suggests the nearest command for a misspelt one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the named command. Raises UsageError."""
        if args and self.get_command(ctx, args[0]) is None and args[0].isprintable():
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if near:
                ctx.fail(f"No such command '{args[0]}'. Did you mean {near[0]}?")
        return super().resolve_command(ctx, args)
