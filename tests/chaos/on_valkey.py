"""Valkey as the broker of a run."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from config.names import JOBS_QUEUE
from tests.chaos.producer import submit
from tests.chaos.received import OUT_QUEUES, Received
from tests.chaos.redis_pair import RedisPair
from tests.chaos.submissions import Submission
from tests.redis_server import RedisServer
from tests.sentinel_servers import WatchedServers
from worker.broker.redis.layout import queue_depths

PAGE: Final = 50


class ValkeyBroker:
    """Valkey with its append-only file, and with a replica where the run fails over.

    Or the master that Sentinels watch, where these are given; they are not this class's to stop.
    """

    def __init__(
        self,
        folder: Path,
        *,
        has_replica: bool = False,
        restricted: bool = False,
        watched: WatchedServers | None = None,
    ) -> None:
        self.watched = watched
        self.pair = (
            None
            if watched
            else RedisPair(folder, has_replica=has_replica, restricted=restricted).start()
        )

    @property
    def server(self) -> RedisServer:
        """The server that takes writes."""
        found = self.watched or self.pair
        assert found is not None
        return found.primary

    @property
    def port(self) -> int:
        """Its port."""
        return self.server.port

    @property
    def url(self) -> str:
        """Its URL."""
        return self.watched.url if self.watched else self.server.url

    def url_at(self, port: int) -> str:
        """Return its URL by way of a proxy, which Sentinels would lead nobody to."""
        return self.pair.url_at(port) if self.pair else self.url

    def denied(self) -> set[str]:
        """Name what workers were not allowed to do."""
        return self.pair.denied() if self.pair else set()

    def restart(self, *, orderly: bool, down: float) -> None:
        """End it, in good order or as a power cut would, and start it again after a while."""
        restart_redis(self.server, orderly=orderly, down=down)

    def stop(self) -> None:
        """End it."""
        if self.pair is not None:
            self.pair.stop()

    def submit(self, submissions: Iterable[Submission]) -> None:
        """Put messages on the jobs queue; those that are a list's element without an envelope."""
        rest = []
        with self.server.client() as client:
            for one in submissions:
                if one.style == "list":
                    client.lpush(JOBS_QUEUE, one.wire or one.body)
                else:
                    rest.append(one)
        submit(self.server.url, rest)

    def waiting(self) -> int:
        """Count the jobs that are ready, put off or leased."""
        with self.server.client() as client:
            depth = queue_depths(client, [JOBS_QUEUE])[JOBS_QUEUE]
        return depth.ready + depth.delayed + depth.unacked

    def came_out(self) -> int:
        """Count the messages that came out."""
        with self.server.client() as client:
            return sum(int(str(client.llen(queue))) for queue in OUT_QUEUES)

    def read(self) -> Iterator[Received]:
        """Read everything that came out, and leave it there."""
        with self.server.client() as client:
            for queue in OUT_QUEUES:
                start = 0
                while page := client.lrange(queue, start, start + PAGE - 1):
                    yield from (_opened(queue, element) for element in page)
                    start += len(page)


def _opened(queue: str, element: bytes) -> Received:
    envelope = json.loads(element)
    properties = envelope["properties"]
    return Received(
        queue=queue,
        body=base64.b64decode(envelope["body"]),
        message_id=str(properties.get("message_id")),
        type=str(properties.get("type")),
        content_type=str(envelope.get("content-type")),
        headers=envelope.get("headers") or {},
    )


def restart_redis(server: RedisServer, *, orderly: bool, down: float) -> None:
    """End a Redis server, in good order or as a power cut would, and start it after a while."""
    if orderly:
        server.stop()
    else:
        server.kill()
    time.sleep(down)
    server.start()
