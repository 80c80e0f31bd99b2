"""taskiq and aiohttp: the asynchronous way, in its ordinary configuration."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import aio_pika
import aiohttp
from redis.asyncio import Redis
from taskiq import TaskiqEvents, TaskiqState
from taskiq_aio_pika import AioPikaBroker
from taskiq_redis import ListQueueBroker

from benchmarks.contestants.call import (
    BROKER_URL,
    CONCURRENCY,
    ON_RABBITMQ,
    RESULTS_QUEUE,
    URL,
    batch,
    result,
    tokens,
)

if ON_RABBITMQ:
    broker = AioPikaBroker(BROKER_URL, qos=2 * CONCURRENCY)
else:
    broker = ListQueueBroker(BROKER_URL, queue_name="jobs")


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def on_start(state: TaskiqState) -> None:
    state.headers = tokens()
    state.session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONCURRENCY),
        timeout=aiohttp.ClientTimeout(total=30),
        headers=state.headers,
    )
    if ON_RABBITMQ:
        state.connection = await aio_pika.connect_robust(BROKER_URL)
        state.results = await state.connection.channel(publisher_confirms=True)
        await state.results.declare_queue(RESULTS_QUEUE, durable=True)
    else:
        state.results = Redis.from_url(BROKER_URL)


@broker.task(task_name="create")
async def create(job: dict[str, Any]) -> None:
    state = broker.state
    async with state.session.post(URL, json=batch(job)) as response:
        response.raise_for_status()
        made = json.dumps(result(job, await response.json())).encode()
    if ON_RABBITMQ:
        message = aio_pika.Message(made, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await state.results.default_exchange.publish(message, RESULTS_QUEUE)
    else:
        await state.results.lpush(RESULTS_QUEUE, made)


@contextmanager
def sender() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Give what enqueues one job from ordinary code."""
    with asyncio.Runner() as runner:
        runner.run(broker.startup())

        def send(job: dict[str, Any]) -> None:
            runner.run(create.kiq(job))

        yield send
        runner.run(broker.shutdown())
