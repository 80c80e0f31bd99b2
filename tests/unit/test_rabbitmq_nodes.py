"""Which of RabbitMQ's alternatives is tried first."""

from __future__ import annotations

import pytest
from kombu import Connection

from worker.broker.rabbitmq.nodes import NEXT_SECONDS, Nodes, alternatives, node_of

URL = "amqp://u:p%40@one//;amqps://two/v;amqp://three:7//"
ONE, TWO, THREE = alternatives(URL)


def test_each_alternative_names_its_port_and_virtual_host() -> None:
    """Kombu would go to the second one with the port and the virtual host of the first."""
    assert alternatives("amqp://a:7/v;amqp://u:p@b;amqps://[::1]/;pyamqp://") == [
        "amqp://a:7/v",
        "amqp://u:p@b:5672//",
        "amqps://[::1]:5671//",
        "pyamqp://localhost:5672//",
    ]
    connection = Connection(";".join(alternatives("amqp://a:7/v;amqp://b")))
    connection.maybe_switch_next()
    assert (connection.hostname, connection.port, connection.virtual_host) == ("b", 5672, "/")


@pytest.mark.parametrize("url", ["amqp://", "amqp://one", "amqps://u:p@one:7/v?heartbeat=3"])
def test_a_url_by_itself_stays_as_it_is(url: str) -> None:
    """Kombu's own defaults apply."""
    assert alternatives(url) == [url]
    assert Nodes().ordered(url) == url


def test_those_that_failed_come_last_until_they_work() -> None:
    """In the order in which they failed; the others keep the order of the URL."""
    nodes = Nodes()
    assert nodes.ordered(URL) == f"{ONE};{TWO};{THREE}"
    nodes.failed(node_of(ONE))
    assert nodes.ordered(URL) == f"{TWO};{THREE};{ONE}"
    nodes.failed(node_of(TWO))
    assert nodes.ordered(URL) == f"{THREE};{ONE};{TWO}"
    nodes.worked(node_of(ONE))
    assert nodes.ordered(URL) == f"{ONE};{THREE};{TWO}"


def test_a_node_is_given_less_time_where_another_may_answer() -> None:
    """One that is all there is gets its full time, and so do nodes that are all slow."""
    nodes = Nodes()
    assert nodes.seconds("amqp://one", longest=5) == 5
    assert nodes.seconds(URL, longest=5) == NEXT_SECONDS
    nodes.failed(node_of(ONE))
    nodes.failed(node_of(TWO))
    assert nodes.seconds(URL, longest=5) == NEXT_SECONDS
    nodes.failed(node_of(THREE))
    assert nodes.seconds(URL, longest=5) == 5
