"""The nodes of a RabbitMQ cluster: which one is tried first, and for how long.

kombu starts each new connection with the first URL. Here a node that failed is tried last from then
on, so that a process waits for a dead machine only once.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

# The timeout of connecting to a node while there are others to try.
NEXT_SECONDS: Final = 1.5
_PORTS: Final = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671}

Node = tuple[str, int]


class Nodes:
    """Which nodes this process failed to reach, by host and port. For any thread."""

    def __init__(self) -> None:
        self._failed: dict[Node, float] = {}

    def failed(self, node: Node) -> None:
        """Note that connecting to a node failed."""
        self._failed[node] = time.monotonic()

    def worked(self, node: Node) -> None:
        """Note that connecting to a node worked."""
        self._failed.pop(node, None)

    def ordered(self, url: str) -> str:
        """Return a URL with its alternatives (`a;b`) in the order in which to try them."""
        ordered = sorted(alternatives(url), key=lambda one: self._failed.get(node_of(one), 0.0))
        return ";".join(ordered)

    def seconds(self, url: str, *, longest: float) -> float:
        """Return the timeout of connecting to one node.

        If all of them failed last time, each gets the full time.
        """
        nodes = set(map(node_of, alternatives(url)))
        has_others = len(nodes) > 1 and not nodes <= self._failed.keys()
        return min(NEXT_SECONDS, longest) if has_others else longest


NODES: Final = Nodes()


def alternatives(url: str) -> list[str]:
    """Split a URL into its alternatives, each with its port and virtual host.

    For one without them kombu would use those of the alternative before it.
    """
    urls = url.split(";")
    return urls if len(urls) == 1 else list(map(_in_full, urls))


def node_of(url: str) -> Node:
    """Return the host and port of one alternative."""
    parts = urlsplit(url)
    return parts.hostname or "localhost", parts.port or _PORTS[parts.scheme]


def _in_full(url: str) -> str:
    parts = urlsplit(url)
    netloc = parts.netloc if parts.hostname else f"{parts.netloc}localhost"
    if parts.port is None:
        netloc = f"{netloc.removesuffix(':')}:{_PORTS[parts.scheme]}"
    path = parts.path if parts.path.strip("/") else "//"
    return parts._replace(netloc=netloc, path=path).geturl()
