"""`overture health`: whether the worker beside it makes progress, for a container's probe."""

from __future__ import annotations

import time

import click

from config.load import InvalidSettings, load_settings
from console.help import examples
from console.output import Problem, say
from worker.progress import STALL_SECONDS


@click.command(epilog=examples("OVERTURE_HEALTH_FILE=/tmp/worker-progress overture health"))
def command() -> None:
    """Say whether the worker beside it makes progress.

    It looks at the file that OVERTURE_HEALTH_FILE names for the worker, too, and asks neither
    broker nor store. A worker touches the file every five seconds; after a minute without, the exit
    status is 1.
    """
    try:
        path = load_settings().health_file
    except InvalidSettings as error:
        raise Problem(*error.faults) from None
    if path is None:
        raise Problem(
            "OVERTURE_HEALTH_FILE is not set: name a file, for the worker and for this command"
        )
    try:
        still = time.time() - path.stat().st_mtime
    except OSError as error:
        raise Problem(
            f"{path} cannot be looked at: {error.strerror}; no worker with this "
            "OVERTURE_HEALTH_FILE has started"
        ) from None
    if still > STALL_SECONDS:
        raise Problem(f"the worker has made no progress for {still:.0f} s; its log says why")
    say(f"the worker made progress {max(still, 0):.0f} s ago")
