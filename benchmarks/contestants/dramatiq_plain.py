"""dramatiq and `requests` in its ordinary configuration."""

from __future__ import annotations

from typing import Any

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker
from kombu import Connection, Queue, pools

from benchmarks.contestants.call import BROKER_URL, ON_RABBITMQ, RESULTS_QUEUE, tokens
from benchmarks.contestants.sessions import post

if ON_RABBITMQ:
    broker = RabbitmqBroker(url=BROKER_URL, confirm_delivery=True)
else:
    broker = RedisBroker(url=BROKER_URL)
dramatiq.set_broker(broker)
connection = Connection(
    BROKER_URL, transport_options={"confirm_publish": True} if ON_RABBITMQ else {}
)
RESULTS = Queue(RESULTS_QUEUE, durable=True, routing_key=RESULTS_QUEUE)
headers: dict[str, str] = {}


class Start(dramatiq.Middleware):
    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        del broker
        headers.update(tokens())
        with connection.clone() as own:
            RESULTS(own.default_channel).declare()


broker.add_middleware(Start())


@dramatiq.actor(queue_name="jobs", max_retries=0)
def create(job: dict[str, Any]) -> None:
    made = post(job, headers)
    with pools.producers[connection].acquire(block=True) as producer:
        producer.publish(made, routing_key=RESULTS_QUEUE, delivery_mode=2)


def enqueue(job: dict[str, Any]) -> None:
    create.send(job)
