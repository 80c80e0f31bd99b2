"""The command `overture` itself: its subcommands, and the exit status of each ending."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from types import MappingProxyType
from typing import Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from config.extras import MissingExtra
from config.version import VERSION
from console.help import Suggesting
from console.output import Interrupted, OutputClosed, complain, is_plain

PROGRAM: Final = "overture"
# The shells' exit status for Ctrl-C.
INTERRUPTED_STATUS: Final = 130

# Each command is `command` in a module of its name; the help is here, so that it needs no import.
COMMANDS: Final = MappingProxyType(
    {
        "demo": "Run a demo: simulator, workers and a thousand jobs.",
        "worker": "Run one worker process.",
        "submit": "Put the jobs in a file on the queue.",
        "results": "Take results off the queue.",
        "dead-letters": "Inspect, replay and discard the jobs that got no conversation.",
        "status": "Show counts, queues and limits, or one job's history.",
        "watch": "Show counts, queues and limits, live.",
        "submissions": "Follow, stop and report the jobs of a file as one thing.",
        "find": "Find the jobs of a consumer or of a conversation.",
        "forget": "Erase what is held of a person.",
        "pause": "Stop sending: everything, an account or a submission.",
        "resume": "Let what was paused go on.",
        "cancel": "Cancel jobs that have not been sent yet.",
        "workers": "List the workers that run.",
        "limits": "Show or change the limits of an account.",
        "broker-url": "Print the broker's URL, for producers.",
        "check": "Test settings, broker, store, hosts and credentials.",
        "health": "Say whether the worker beside it makes progress.",
        "console": "Serve the same in a browser.",
        "exporter": "Serve metrics of what the pool shares.",
        "simulate": "Run the LivePerson simulator on its own.",
        "schema": "Print a message schema.",
    }
)


class Overture(Suggesting):
    """Imports a command when it is called, and turns every ending into an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which people need them."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"console.commands.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete a command's name without importing any."""
        names = [name for name in COMMANDS if name.startswith(incomplete)]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [*(CompletionItem(name, help=COMMANDS[name]) for name in names), *options]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> NoReturn:
        """Run the command line and exit: 0 done, 1 something failed, 2 wrong use."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # Replace characters that the terminal does not know, instead of failing.
                stream.reconfigure(errors="replace")
        extra.pop("standalone_mode", None)
        extra["prog_name"] = PROGRAM
        if os.environ.get("NO_COLOR") or is_plain():
            extra["color"] = False
        status = _status_of(
            lambda: super(Overture, self).main(args, standalone_mode=False, **extra)
        )
        sys.exit(status if _has_written_out() else max(1, status))


def _status_of(run: Callable[[], object]) -> int:
    try:
        status = run()
    except click.ClickException as error:
        # click's own text names the command and its usage.
        error.show()
        return error.exit_code
    except (OutputClosed, BrokenPipeError):
        # The reader of the output has closed it.
        return 1
    except (OSError, MissingExtra) as error:
        complain(getattr(error, "strerror", None) or str(error))
        return 1
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED_STATUS
    except Interrupted as error:
        complain(str(error))
        return INTERRUPTED_STATUS
    return status if isinstance(status, int) else 0


def _has_written_out() -> bool:
    """Flush standard output; if that fails, keep the interpreter from trying it again."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


@click.group(cls=Overture, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, message="%(prog)s %(version)s")
def main() -> None:
    """Open LivePerson conversations from a queue, at scale, without losing one.

    Settings are environment variables that begin with OVERTURE_, or keys in overture.toml. If no
    broker is set, Overture starts an embedded Valkey server in .overture, for this folder alone.

    Exit status: 0 success, 1 failure, 2 usage error.
    """
