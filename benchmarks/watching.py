"""`python -m benchmarks.watching`: what broker and store pay for an open console and an exporter.

Twice: in windows of one long run, with the page Now open and the exporter scraped, and without, in
turns; and the looks by themselves, many in a row, which say the same with less noise.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Final
from urllib.request import urlopen

import click

from benchmarks.brokers import Servers, servers
from benchmarks.contestant import Case, environment, fill, progress, worker
from benchmarks.fake_api import FakeApi
from benchmarks.machine import description
from config.settings import Settings
from console.admin.exporter import Exporter
from console.admin.pool import OldestJobs
from console.servers import Servers as Opened
from console.web.site import look
from tasks.store.connection import connect
from tasks.store.limits import set_ceiling
from tests.jobs import ACCOUNT
from tests.overture_command import start_overture
from tests.redis_server import free_port
from tests.waiting import wait_until
from worker.broker.brokers import broker_at

# As the page does (console/web/static/console.js), and as most have Prometheus do.
REFRESH_SECONDS: Final = 5.0
SCRAPE_SECONDS: Final = 15.0
WARM_UP: Final = 2000
LOOKS: Final = 300
LATENCY_MS: Final = 50
# Jobs are left over, so that there is always something to do.
LEFT_OVER: Final = 1.3


@click.command()
@click.option("--broker", default="valkey", show_default=True)
@click.option("--rate", default=300.0, show_default=True, help="Conversations a second.")
@click.option("--seconds", default=15.0, show_default=True, help="How long a window is.")
@click.option("--pairs", default=6, show_default=True, help="Windows with, and without.")
def main(*, broker: str, rate: float, seconds: float, pairs: int) -> None:
    """Print the ratio of servers' CPU a conversation, watched to unwatched."""
    click.echo(description())
    case = Case(broker=broker, name="overture", latency=LATENCY_MS, concurrency=50, jobs=0)
    total = WARM_UP + int(2 * pairs * seconds * rate * LEFT_OVER)
    with FakeApi() as api, servers(broker) as started:
        api.set_latency(case.latency)
        started.clean()
        with closing(connect(started.store.url)) as store:
            # A load that is always the same: a worker at its best differs from window to window.
            set_ceiling(store, ACCOUNT, rate=rate)
        fill(case.name, started, api, total)
        with (
            worker(case, started, api, total),
            progress(case, started, api) as done,
            watchers(started, api) as watched,
        ):
            while done() < WARM_UP:
                time.sleep(1)
            found = list(compared(started, done, watched, seconds, pairs))
        ratios = [ours / plain for ours, plain, _ in found]
        click.echo(
            f"{broker}: median of {pairs} {statistics.median(ratios):.3f}, "
            f"from {min(ratios):.3f} to {max(ratios):.3f}"
        )
        by_themselves(started, statistics.median(load for *_, load in found))


def compared(
    started: Servers,
    done: Callable[[], int],
    watched: threading.Event,
    seconds: float,
    pairs: int,
) -> Iterator[tuple[float, float, float]]:
    """Give CPU a conversation, watched and not, in µs, and CPU a second while not, pair by pair."""
    for pair in range(pairs):
        costs = {}
        # Whoever is second finds the queue as the first one left it: they take turns.
        for is_watched in (True, False)[:: 1 if pair % 2 else -1]:
            (watched.set if is_watched else watched.clear)()
            before, began, count = _cpu(started), time.monotonic(), done()
            time.sleep(seconds)
            used, took, count = _cpu(started) - before, time.monotonic() - began, done() - count
            costs[is_watched] = 1e6 * used / count, used / took
            said = {"watched": is_watched, "a_second": round(count / took)}
            click.echo(json.dumps({**said, "us": round(costs[is_watched][0], 1)}))
        yield costs[True][0], *costs[False]


def by_themselves(started: Servers, load: float) -> None:
    """Print what one look costs broker and store, and all of them together as a part of `load`."""
    settings = Settings(account_id=ACCOUNT, client_id="bench", client_secret="bench-secret")
    broker = broker_at(started.broker.url)
    with closing(connect(started.store.url)) as store:
        exporter = Exporter(broker, store, settings, store_url=started.store.url, workers=1)
        opened = Opened(broker=broker, store_url=started.store.url, store=store)
        ages = OldestJobs()
        page = cost(started, lambda: look(opened, settings, ages))
        scrape = cost(started, lambda: exporter.metrics(""))
    part = page / REFRESH_SECONDS + scrape / SCRAPE_SECONDS
    click.echo(
        f"by themselves: a refresh {1e3 * page:.2f} ms, a scrape {1e3 * scrape:.2f} ms; "
        f"together {1e3 * part:.2f} ms a second, {100 * part / load:.2f} % of {1e3 * load:.0f} ms"
    )


def cost(started: Servers, look: Callable[[], object]) -> float:
    """Return the servers' CPU time for one look, in seconds, less what they use anyway."""
    look()
    before, began = _cpu(started), time.monotonic()
    for _ in range(LOOKS):
        look()
    used, took = _cpu(started) - before, time.monotonic() - began
    before = _cpu(started)
    time.sleep(took)
    return max(0.0, used - (_cpu(started) - before)) / LOOKS


@contextmanager
def watchers(started: Servers, api: FakeApi) -> Iterator[threading.Event]:
    """Run a console and an exporter; while the event is set, one page is open and one scrapes."""
    with ExitStack() as stack:
        addresses = {one: f"127.0.0.1:{free_port()}" for one in ("console", "exporter")}
        for command, address in addresses.items():
            settings = {
                name.removeprefix("OVERTURE_"): value
                for name, value in environment(started, api).items()
                if name.startswith("OVERTURE_")
            }
            process = start_overture(command, "--address", address, settings=settings)
            stack.callback(process.communicate)
            stack.callback(process.terminate)
        watched, ended = threading.Event(), threading.Event()
        stack.callback(ended.set)
        for url, every in (
            (f"http://{addresses['console']}/live/now", REFRESH_SECONDS),
            (f"http://{addresses['exporter']}/metrics", SCRAPE_SECONDS),
        ):
            wait_until(lambda: _fetched(url), f"{url} is served", seconds=30)  # noqa: B023 - called at once
            arguments = (url, every, watched, ended)
            threading.Thread(target=_keep_asking, args=arguments, daemon=True).start()
        yield watched


def _keep_asking(url: str, every: float, watched: threading.Event, ended: threading.Event) -> None:
    while not ended.is_set():
        if watched.wait(0.1):
            _fetched(url)
            ended.wait(every)


def _fetched(url: str) -> bool:
    with suppress(OSError), urlopen(url, timeout=5) as answer:
        return bool(answer.read())
    return False


def _cpu(started: Servers) -> float:
    return started.broker_cpu() + started.store_cpu()


if __name__ == "__main__":
    main()
