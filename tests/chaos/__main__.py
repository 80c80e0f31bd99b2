"""`python -m tests.chaos`: one long run by name, audited; exits 1 if a promise was broken."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from tests.chaos.harness import run
from tests.chaos.plan import PLANS, BrokerName


@click.command()
@click.argument("name", metavar="PLAN", type=click.Choice(list(PLANS)), default="everything")
@click.option("--broker", type=click.Choice(["valkey", "rabbitmq"]), default="valkey")
@click.option("--seed", type=int, help="Repeats the choices of an earlier run.")
@click.option("--jobs", type=click.IntRange(1))
@click.option("--malformed", type=click.IntRange(0))
@click.option("--large", type=click.IntRange(0), help="Malformed messages of 10 MB.")
@click.option("--workers", type=click.IntRange(1))
@click.option("--concurrency", type=click.IntRange(1))
@click.option("--kill-every", type=click.FloatRange(0), metavar="SECONDS")
@click.option("--random", type=click.FloatRange(0), metavar="SECONDS", help="Between breakages.")
@click.option("--field", type=click.FloatRange(0), metavar="SECONDS", help="Between troubles.")
@click.option("--store-replicas", type=click.IntRange(0), help="Replicas that must confirm.")
@click.option("--terminations", type=click.IntRange(0))
@click.option("--close-at-once", is_flag=True, default=None, help="No rule of one open.")
@click.option("--restricted", is_flag=True, default=None, help="Users with the documented rights.")
@click.option(
    "--beside",
    type=click.Path(exists=True, file_okay=False, resolve_path=True, path_type=Path),
    help="A checkout of another version, whose code every other worker runs.",
)
@click.option("--unknown-outcome", type=click.Choice(["repeat", "in_doubt"]))
@click.option("--settle", type=click.FloatRange(1), metavar="SECONDS")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write JSON here.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Keep files here.")
def main(
    *,
    name: str,
    broker: BrokerName,
    seed: int | None,
    report: Path | None,
    folder: Path | None,
    **changes: Any,
) -> None:
    """Run workers against a real broker, break things, and audit what came of it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that every server is ended
    plan = replace(PLANS[name], **_given(changes))
    if plan.broker_nodes > 1 and broker == "valkey":
        click.echo("Valkey has no nodes to kill: see the plans sentinels and cluster")
        sys.exit(0)
    if plan.restricted and (plan.store != "server" or plan.broker_nodes > 1):
        raise click.UsageError("--restricted is for one store and one broker")
    seed = random.randrange(10**6) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="chaos-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        found = run(plan, broker, seed, place)
    for line in found.lines():
        click.echo(line)
    if report is not None:
        found.write(report, plan={"name": name, **asdict(plan)}, broker=broker, seed=seed)
    sys.exit(0 if found.is_good else 1)


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


if __name__ == "__main__":
    main()
