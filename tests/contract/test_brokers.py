"""What every broker keeps, the one in memory included: it can stand in for the others in tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from config.names import JOBS_EXCHANGE_NAME, JOBS_QUEUE, RESULTS_QUEUE
from config.settings import Settings
from console.admin.checks import check_broker
from tasks.messages.outgoing import Outgoing
from tests.memory_broker import MemoryBroker
from tests.waiting import wait_until
from worker.broker.base import Broker, Taker
from worker.broker.brokers import broker_at
from worker.broker.delivery import Delivery
from worker.broker.in_hand import InHand
from worker.broker.message import body_of
from worker.broker.publisher import Publisher

COUNT = 3
ON_RABBITMQ = pytest.param("rabbit_url", marks=pytest.mark.xdist_group("rabbitmq"))


@pytest.fixture(params=["memory", "valkey_url", ON_RABBITMQ])
def broker(request: pytest.FixtureRequest) -> Broker:
    """Give each broker in turn, with its queues declared and empty."""
    found: Broker = (
        MemoryBroker()
        if request.param == "memory"
        else broker_at(request.getfixturevalue(request.param))
    )
    with found.connection() as connection:
        found.declare(connection, [JOBS_QUEUE])
        found.declare(connection, [JOBS_QUEUE])
        found.producer(connection).publish([job(number) for number in range(COUNT)])
    return found


def job(number: int) -> Outgoing:
    return Outgoing(
        exchange=JOBS_EXCHANGE_NAME,
        routing_key=JOBS_QUEUE,
        body=str(number).encode(),
        message_id=f"job-{number}",
    )


class Hands:
    """Takes messages in hand as a worker does, in one thread."""

    def __init__(self, broker: Broker, taker: Taker, publisher: Publisher) -> None:
        self._broker, self._taker, self._publisher = broker, taker, publisher
        self._asked: list[Callable[[], object]] = []
        ask = self._asked.append
        self._in_hand = InHand(ask, ask, enough=99, multiple=broker.acks_multiple)

    def take(self, count: int = COUNT) -> list[Delivery]:
        """Return so many deliveries, and no more than there are by then."""
        found: list[Delivery] = []

        def is_enough() -> bool:
            self.settle()
            if (message := self._taker.take()) is not None:
                make = self._broker.delivery
                found.append(
                    make(
                        message, queue=JOBS_QUEUE, in_hand=self._in_hand, publisher=self._publisher
                    )
                )
                self._in_hand.add(found[-1])
            return len(found) == count

        wait_until(is_enough, f"{count} deliveries")
        return found

    def take_all(self) -> list[bytes]:
        """Return the bodies of what can be taken now, out of hand at once."""
        self.settle()
        bodies = []
        while (message := self._taker.take()) is not None:
            bodies.append(body_of(message))
            message.ack()
        return bodies

    def settle(self) -> None:
        """Do what a worker's loop does in its next turn."""
        asked, self._asked[:] = list(self._asked), []
        for action in asked:
            action()


@contextmanager
def hands(broker: Broker) -> Iterator[Hands]:
    publisher = Publisher(broker, job_queues=[JOBS_QUEUE])
    publisher.start()
    try:
        with broker.taking(JOBS_QUEUE) as taker:
            found = Hands(broker, taker, publisher)
            yield found
            found.settle()
    finally:
        publisher.close(seconds=5)


def ready(broker: Broker) -> int:
    ((jobs,), _) = broker.depths([JOBS_QUEUE])
    return jobs.ready


def bodies(deliveries: list[Delivery]) -> list[bytes]:
    return [delivery.body for delivery in deliveries]


JOBS = [b"0", b"1", b"2"]


def test_what_is_published_arrives_once(broker: Broker) -> None:
    """In its order; what is acknowledged does not come again."""
    wait_until(lambda: ready(broker) == COUNT, "its depth")
    with hands(broker) as worker:
        deliveries = worker.take()
        assert bodies(deliveries) == JOBS
        for delivery in deliveries:
            delivery.ack()
        assert worker.take_all() == []
    assert ready(broker) == 0
    with hands(broker) as another:
        assert another.take_all() == []


def test_what_is_only_in_hand_goes_back(broker: Broker) -> None:
    """One acknowledgement in the middle stands for no other message."""
    with hands(broker) as worker:
        worker.take()[1].ack()
    with hands(broker) as another:
        assert sorted(bodies(another.take(2))) == [b"0", b"2"]


def test_the_newest_can_be_acknowledged_first(broker: Broker) -> None:
    """And the last one to end settles them all."""
    with hands(broker) as worker:
        for delivery in reversed(worker.take()):
            delivery.ack()
            worker.settle()
    assert ready(broker) == 0


def test_what_is_handed_back_comes_again(broker: Broker) -> None:
    """At once."""
    with hands(broker) as worker:
        first, second, third = worker.take()
        first.ack()
        third.ack()
        second.requeue()
        (again,) = worker.take(1)
        assert again.body == second.body
        again.ack()
    assert ready(broker) == 0


def test_what_is_put_off_comes_later(broker: Broker) -> None:
    """And waits in the broker, with the same body, not in the worker's hand."""
    with hands(broker) as worker:
        first, second, third = worker.take()
        second.ack()
        third.ack()
        first.defer(2)
        worker.settle()
        wait_until(lambda: broker.depths([JOBS_QUEUE])[1] == 1, "it is put off")
        assert worker.take_all() == []
        (again,) = worker.take(1)
        assert (again.body, again.queue) == (first.body, JOBS_QUEUE)
        again.ack()
    assert broker.depths([JOBS_QUEUE])[1] == 0


def test_a_queue_that_was_never_declared_is_empty(broker: Broker) -> None:
    """Those beside it are counted all the same."""
    wait_until(lambda: ready(broker) == COUNT, "the jobs are there")
    found, delayed = broker.depths(["nobody's", JOBS_QUEUE, "nobody's either", RESULTS_QUEUE])
    assert [one.ready for one in found] == [0, COUNT, 0, 0]
    assert delayed == 0


def test_looking_takes_nothing(broker: Broker) -> None:
    """It shows what would be taken, and all of it is there afterwards."""
    assert [seen.body for seen in broker.look(JOBS_QUEUE)] == JOBS
    assert list(broker.look(RESULTS_QUEUE)) == []
    wait_until(lambda: ready(broker) == COUNT, "all are back")


def test_a_broker_in_order_has_nothing_wrong(broker: Broker) -> None:
    """It takes messages, the user may do everything, and nothing is left behind."""
    broker.demand_writable()
    assert not broker.missing_rights()
    assert {found.verdict for found in check_broker(broker, Settings())} == {"works"}
    assert ready(broker) == COUNT
    assert broker.refusal_of(OSError("away")) is None
