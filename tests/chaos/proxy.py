"""A TCP proxy that fails as networks do: resets, silence, half-open connections, delays."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

CHUNK_BYTES: Final = 64 * 1024
HOST: Final = "127.0.0.1"
ANSWER_SECONDS: Final = 10.0
LINGER_OFF: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True, eq=False)
class Link:
    """One connection: the client's side and the server's."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    is_dead: bool = False

    def reset(self) -> None:
        """Reset both sides."""
        reset(self.client)
        reset(self.server)


class Proxy:
    """Stands in front of a server on this machine; its methods are for any thread.

    It keeps its port to itself also while it refuses connections.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._reserved = self._bound(0)
        self.port: int = self._reserved.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._links: set[Link] = set()
        self._listening: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._delay_seconds = 0.0
        self._is_over = False

    def __enter__(self) -> Self:
        self._flows.set()
        self._thread.start()
        self._call(self._listen)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER_SECONDS)
        self._loop.close()
        self._reserved.close()

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._links)

    def reset(self) -> None:
        """Reset every connection; new ones are made as before."""
        self._call(self._reset)

    def cut(self) -> None:
        """Reset every connection and refuse new ones, until `restore`."""
        self._call(self._cut)

    def blackhole(self) -> None:
        """Let no byte through, either way, until `restore`; new connections hang as well."""
        self._call(self._blackhole)

    def half_open(self) -> None:
        """Take the server away from every connection and tell the clients nothing, ever."""
        self._call(self._half_open)

    def lead_to(self, port: int) -> None:
        """Lead new connections to another server; those that there are stay where they are.

        So does an address that moves at a failover: a virtual IP, a proxy, a Service.
        """
        self._target_port = port

    def delay(self, seconds: float) -> None:
        """Let every byte take so long, until `restore`."""
        self._delay_seconds = seconds

    def restore(self) -> None:
        """Be a good network again; what a blackhole held back arrives now."""
        self._call(self._restore)

    def _call(self, what: Callable[[], Awaitable[None]]) -> None:
        async def call() -> None:
            await what()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(ANSWER_SECONDS)

    async def _listen(self) -> None:
        self._listening = self._bound(self.port)
        self._listening.settimeout(0)
        self._listening.listen(1024)
        self._loop.add_reader(self._listening, self._accept, self._listening)

    def _accept(self, listening: socket.socket) -> None:
        # Not by asyncio's server: what it has accepted just before it is closed stays open.
        with suppress(OSError):
            accepted, _ = listening.accept()
            task = self._loop.create_task(self._connect(accepted))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _close(self) -> None:
        self._is_over = True
        await self._cut()
        self._flows.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ANSWER_SECONDS / 2)

    async def _reset(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _cut(self) -> None:
        if self._listening is not None:
            self._loop.remove_reader(self._listening)
            self._listening.close()
            self._listening = None
        await self._reset()

    async def _blackhole(self) -> None:
        self._flows.clear()

    async def _half_open(self) -> None:
        for link in list(self._links):
            link.is_dead = True
            reset(link.server)

    async def _restore(self) -> None:
        self._delay_seconds = 0.0
        self._flows.set()
        if self._listening is None:
            await self._listen()

    async def _connect(self, accepted: socket.socket) -> None:
        reader, client = await asyncio.open_connection(sock=accepted)
        await self._flows.wait()
        try:
            answers, server = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            reset(client)
            return
        link = Link(client, server)
        if self._is_over:
            link.reset()
            return
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(link, reader, server))
                group.create_task(self._pump(link, answers, client))
        finally:
            self._links.discard(link)

    async def _pump(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Carry bytes one way until an end; then end the other way too."""
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if self._delay_seconds:
                    await asyncio.sleep(self._delay_seconds)
                await self._flows.wait()
                if not link.is_dead:
                    writer.write(data)
                    await writer.drain()
        await self._flows.wait()
        if link.is_dead and writer is link.client:
            return  # the server is gone, and the client is not to know
        link.server.close()
        link.client.close()

    @staticmethod
    def _bound(port: int) -> socket.socket:
        bound = socket.socket()
        # Several sockets may be bound to the port; a client reaches the one that listens.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((HOST, port))
        return bound


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a TCP reset."""
    sock = writer.get_extra_info("socket")
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
    writer.transport.abort()
