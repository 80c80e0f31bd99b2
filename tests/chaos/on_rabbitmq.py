"""RabbitMQ as the broker of a run."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from kombu import Connection
from kombu.transport.native_delayed_delivery import MAX_LEVEL, level_name

from config.names import JOBS_QUEUE
from tests.chaos.producer import submit
from tests.chaos.received import OUT_QUEUES, Received
from tests.chaos.submissions import Submission
from tests.rabbit_server import rabbit_nodes
from tests.raw_amqp import RawProducer
from tests.rights import PASSWORD, USER, WORKER, rabbitmq_rights

# RabbitMQ keeps what it knows of a new quorum queue in memory for 3 s (dets' delayed writes):
# killed sooner, 3.10 has the queue without its process, and every consumer waits for ever.
NEW_SECONDS: Final = 6.0
# What RabbitMQ logs of a right that is missing.
DENIED: Final = re.compile(rf"access to [^\n]* refused for user '{USER}'")


class RabbitBroker:
    """RabbitMQ with its quorum queues, which are to be declared at once; a node, or a cluster."""

    def __init__(self, folder: Path, *, nodes: int = 1, restricted: bool = False) -> None:
        self.nodes = rabbit_nodes(folder, nodes)
        self.server = self.nodes[0]
        self.port = self.server.port
        self.url = ";".join(node.url for node in self.nodes)
        self._old_at = time.monotonic() + NEW_SECONDS
        self._log = folder / "log"
        self._login = "guest:guest"
        if restricted:
            self._login = f"{USER}:{PASSWORD}"
            self.server.control("add_user", USER, PASSWORD)
            self.server.control("set_permissions", USER, *rabbitmq_rights(WORKER))

    def url_at(self, port: int) -> str:
        """Return its URL by way of a proxy; that of several nodes goes by none."""
        return self.url if len(self.nodes) > 1 else f"amqp://{self._login}@127.0.0.1:{port}//"

    def denied(self) -> set[str]:
        """Name what workers were not allowed to do."""
        logs = [path.read_text(errors="replace") for path in self._log.glob("*.log")]
        return {found for log in logs for found in DENIED.findall(log)}

    def restart(self, *, orderly: bool, down: float) -> None:
        """End it, in good order or as a power cut would, and start it again after a while."""
        if orderly:
            self.server.signal(signal.SIGTERM)
            self.server._wait()
        else:
            time.sleep(max(0.0, self._old_at - time.monotonic()))
            self.server.kill()
        time.sleep(down)
        self.server.start()

    def kill_node(self, number: int, *, down: float) -> None:
        """Kill a node, and start it again after a while; the others go on meanwhile."""
        time.sleep(max(0.0, self._old_at - time.monotonic()))
        self.nodes[number].kill()
        time.sleep(down)
        self.nodes[number].start()

    def stop(self) -> None:
        """End it."""
        for node in self.nodes:
            node.stop()

    def submit(self, submissions: Iterable[Submission]) -> None:
        """Put messages on the jobs queue, each of them confirmed."""
        rest = []
        with RawProducer(self.server.url) as producer:
            for one in submissions:
                if one.style == "octets":
                    producer.publish(one.body, one.wire)
                else:
                    rest.append(one)
        submit(self.url, rest)

    def waiting(self) -> int:
        """Count the jobs that are ready or put off; what workers have in hand it does not tell."""
        delays = [level_name(level) for level in range(MAX_LEVEL + 1)]
        return self._count(JOBS_QUEUE, *delays)

    def came_out(self) -> int:
        """Count the messages that came out."""
        return self._count(*OUT_QUEUES)

    def read(self) -> Iterator[Received]:
        """Take everything that came out."""
        with self._channel() as channel:
            channel.auto_decode = False
            for queue in OUT_QUEUES:
                while message := channel.basic_get(queue):
                    properties = message.properties
                    yield Received(
                        queue=queue,
                        body=bytes(message.body),
                        message_id=str(properties.get("message_id")),
                        type=str(properties.get("type")),
                        content_type=str(properties.get("content_type")),
                        headers=properties.get("application_headers") or {},
                    )
                    channel.basic_ack(message.delivery_tag)

    def _count(self, *queues: str) -> int:
        with self._channel() as channel:
            counts = [channel.queue_declare(name, passive=True) for name in queues]
        return sum(count.message_count for count in counts)

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        with Connection(self.url, connect_timeout=5) as connection:
            connection.ensure_connection(
                max_retries=len(self.nodes), interval_start=0, interval_step=0
            )
            with connection.channel() as channel:
                yield channel
