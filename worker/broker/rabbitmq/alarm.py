"""Asking RabbitMQ whether an alarm keeps it from taking messages, and which."""

from __future__ import annotations

import uuid
from typing import Final

from amqp.exceptions import AMQPError
from kombu import Connection

from config.names import JOBS_EXCHANGE_NAME
from tasks.messages.outgoing import Outgoing
from worker.broker import broker
from worker.broker.confirms import Refusal
from worker.broker.rabbitmq.producer import RabbitProducer, refusal_of

# RabbitMQ tells of an alarm only those who publish, and those at once.
ASK_SECONDS: Final = 5.0


def alarm(url: str) -> str:
    """Return what keeps RabbitMQ from taking messages, such as "memory alarm"; empty for nothing.

    Other brokers have no alarms. A connection that met one stays in RabbitMQ's list for as long as
    the alarm lasts, so this is for whoever asks now and then. Raises the connection's own errors.
    """
    if not broker.is_rabbitmq(url):
        return ""
    connection = broker.connection(url, answer_seconds=ASK_SECONDS)
    connection.connect()
    try:
        return probe(connection, JOBS_EXCHANGE_NAME)[0]
    finally:
        # In good order would be to wait for a broker that reads nothing.
        connection.collect()


def probe(connection: Connection, exchange: str) -> tuple[str, Refusal | None]:
    """Publish a message that no queue takes, and return the alarm and what was said to the message.

    The refusal is None where nothing came within ASK_SECONDS; else it says that nobody takes
    the message, if all is well. Raises the connection's own errors.
    """
    key = f"check.{uuid.uuid4()}"
    message = Outgoing(exchange=exchange, routing_key=key, body=b"{}", message_id=key)
    producer = RabbitProducer(connection)
    try:
        producer.send([message])
        said = producer.first(seconds=ASK_SECONDS)
    except AMQPError as error:
        if (said := refusal_of(error)) is None:
            raise
    return producer.blocked, said
