"""Troubles that real systems have and the network does not: each begins, lasts, and is over."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from redis.exceptions import RedisError

from tests.chaos.crew import Crew, Worker
from tests.chaos.on_rabbitmq import RabbitBroker
from tests.chaos.on_valkey import ValkeyBroker
from tests.chaos.plan import Plan
from tests.chaos.proxy import Proxy
from tests.chaos.redis_pair import RedisPair
from tests.chaos.stage import Stage
from tests.chaos.submissions import ACCOUNT
from tests.simulator_client import CLIENT_SECRET

SHORT_SECONDS: Final = (1.0, 6.0)
# RabbitMQ looks at its memory every 2.5 s.
ALARM_SECONDS: Final = (6.0, 25.0)
HOUR_SECONDS: Final = 3600
DEFAULT_WATERMARK: Final = "0.4"


def nothing() -> None:
    """Leave it as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something that goes wrong for a while; `seconds` are the least and the most it lasts."""

    name: str
    begin: Callable[[], object]
    end: Callable[[], object] = nothing
    seconds: tuple[float, float] = SHORT_SECONDS


def troubles(stage: Stage, crew: Crew, plan: Plan, rng: random.Random) -> Iterator[Trouble]:
    """Name every trouble that this run can have."""
    for name, pair, proxy in _pairs(stage):
        yield from _of_redis(name, pair, proxy)
    if isinstance(stage.broker, RabbitBroker):
        yield from _of_rabbitmq(stage.broker)
    yield from _of_liveperson(stage, plan)
    yield from _of_workers(crew, plan, rng)


def _pairs(stage: Stage) -> Iterator[tuple[str, RedisPair, Proxy]]:
    assert isinstance(stage.stores, RedisPair)
    yield "store", stage.stores, stage.to_store
    if isinstance(stage.broker, ValkeyBroker) and stage.broker.pair is not None:
        yield "broker", stage.broker.pair, stage.to_broker


def _of_redis(name: str, pair: RedisPair, proxy: Proxy) -> Iterator[Trouble]:
    def fail_over() -> None:
        if pair.fail_over():
            proxy.lead_to(pair.primary.port)

    def call(*command: str) -> Callable[[], None]:
        def run() -> None:
            # The command may end the client's own connection.
            with pair.client() as client, suppress(RedisError):
                client.execute_command(*command)

        return run

    yield Trouble(name=f"{name}: failover, old connections stay", begin=fail_over)
    yield Trouble(name=f"{name}: SCRIPT FLUSH", begin=call("SCRIPT", "FLUSH"))
    yield Trouble(name=f"{name}: CLIENT KILL", begin=call("CLIENT", "KILL", "TYPE", "normal"))
    if pair.clock is not None:
        for seconds in (-HOUR_SECONDS, HOUR_SECONDS):
            yield Trouble(
                name=f"{name}: the clock is set by {seconds:+} s",
                begin=partial(pair.clock.step, seconds),
                end=partial(pair.clock.step, -seconds),
            )


def _of_rabbitmq(broker: RabbitBroker) -> Iterator[Trouble]:
    server = broker.server

    def watermark(share: str) -> Callable[[], object]:
        return lambda: server.control("set_vm_memory_high_watermark", share)

    yield Trouble(
        name="broker: memory alarm",
        begin=watermark("0.0000001"),
        end=watermark(DEFAULT_WATERMARK),
        seconds=ALARM_SECONDS,
    )
    yield Trouble(
        name="broker: every connection closed",
        begin=lambda: server.control("close_all_connections", "maintenance"),
    )


def _of_liveperson(stage: Stage, plan: Plan) -> Iterator[Trouble]:
    def set_faults(probabilities: dict[str, float]) -> Callable[[], object]:
        return partial(stage.simulator.control, "faults", {"probabilities": probabilities})

    def set_secret(secret: str) -> Callable[[], object]:
        values = {"account": ACCOUNT, "clientSecret": secret}
        return lambda: stage.simulator.control("credentials", values)

    for name in ("firewall_page", "sentinel.firewall_page", "idp.firewall_page"):
        yield Trouble(
            name=f"way to LivePerson: {name}",
            begin=set_faults({name: 1.0}),
            end=set_faults(dict(plan.faults)),
        )
    yield Trouble(
        name="LivePerson: the credentials are refused",
        begin=set_secret("rotated"),
        end=set_secret(CLIENT_SECRET),
    )
    for tokens in ("app", "consumer"):
        yield Trouble(
            name=f"LivePerson: {tokens} tokens are good no longer",
            begin=partial(stage.simulator.control, "invalidate", {"tokens": tokens}),
        )


def _of_workers(crew: Crew, plan: Plan, rng: random.Random) -> Iterator[Trouble]:
    filled: list[Worker] = []

    def fill() -> None:
        worker = crew.workers[rng.randrange(plan.workers)]
        # One that is not ready yet is known by its log.
        if worker.is_ready and worker.is_running:
            worker.fill_log()
            filled.append(worker)

    def clear() -> None:
        while filled:
            filled.pop().clear_log()

    yield Trouble(name="a worker's log: the disk is full", begin=fill, end=clear)
