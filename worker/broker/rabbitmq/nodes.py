"""The nodes of a RabbitMQ cluster: which alternative is tried first, and for how long.

kombu begins each new connection with the first URL. Here those that could not be connected to come
last from then on, so that a process waits for a machine that is gone once.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

# A node that does not answer within this many seconds is passed over where there are others.
NEXT_SECONDS: Final = 1.5
_PORTS: Final = {"amqp": 5672, "pyamqp": 5672, "amqps": 5671}

Node = tuple[str, int]


class Nodes:
    """What this process knows of nodes, by host and port. For any thread."""

    def __init__(self) -> None:
        self._failed: dict[Node, float] = {}

    def failed(self, node: Node) -> None:
        """Note that a node could not be connected to."""
        self._failed[node] = time.monotonic()

    def worked(self, node: Node) -> None:
        """Note that a node could be connected to."""
        self._failed.pop(node, None)

    def ordered(self, url: str) -> str:
        """Put the alternatives (`a;b`) of a URL in the order in which to try them."""
        ordered = sorted(alternatives(url), key=lambda one: self._failed.get(node_of(one), 0.0))
        return ";".join(ordered)

    def seconds(self, url: str, *, longest: float) -> float:
        """Return how long a node may take to be connected to.

        Where none could be of late, each gets the time of one that has no alternatives.
        """
        nodes = set(map(node_of, alternatives(url)))
        has_others = len(nodes) > 1 and not nodes <= self._failed.keys()
        return min(NEXT_SECONDS, longest) if has_others else longest


NODES: Final = Nodes()


def alternatives(url: str) -> list[str]:
    """Split a URL into its alternatives, each of which names its port and virtual host.

    Where one names none, kombu would take over those of the one before it.
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
