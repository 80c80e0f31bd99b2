"""`overture broker-url`: where producers put their jobs."""

from __future__ import annotations

import click

from console.help import examples
from console.output import say
from console.servers import open_servers, read_settings


@click.command(epilog=examples('BROKER_URL="$(overture broker-url)" python producer.py'))
def command() -> None:
    """Print the URL of the broker, for producers of your own.

    Without settings that is the embedded Valkey, which this command starts if it is not running. It
    stays for half a minute, or as long as a worker or another command of this folder runs, and
    comes back with the next one on the same port. The URL holds a password: treat it as a secret.
    """
    with open_servers(read_settings()) as servers:
        say(servers.broker.url)
