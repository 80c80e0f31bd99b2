"""kombu's transport for RabbitMQ, with fewer calls to the system.

py-amqp reads the three frames of a message in nine calls, kombu turns its event loop once for each
message, and every message that is published is a write of its own. Here the loop takes what has
come in one call and deals with all of it, and many messages leave in one write. Whoever waits for
one particular frame still reads no further than that, so nothing is left behind unseen.
"""

from __future__ import annotations

import errno
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any, ClassVar, Final, cast

from amqp import spec
from amqp.exceptions import (
    AccessRefused,
    NotAllowed,
    RecoverableConnectionError,
    UnexpectedFrame,
)
from amqp.transport import SSLTransport, TCPTransport
from kombu.transport import TRANSPORT_ALIASES, pyamqp

from config.urls import with_schemes
from tasks.messages.outgoing import Outgoing
from worker.broker.rabbitmq import frames as amqp_frames
from worker.broker.rabbitmq.frames import FRAME_END, HEAD
from worker.broker.rabbitmq.inbound import frame_handler
from worker.broker.rabbitmq.nodes import NODES

SCHEME: Final = "overture-amqp"
TLS_SCHEME: Final = "overture-amqps"
CHUNK_BYTES: Final = 64 * 1024
MILLISECONDS: Final = 1000
# How often whoever waits to write is asked whether to go on, in seconds.
STUCK_SECONDS: Final = 1.0
# Socket options under which a peer that reads nothing, but answers, is waited for; py-amqp's own
# give it a second.
WAITS_FOR_A_READER: Final = (
    {socket.TCP_USER_TIMEOUT: 0} if hasattr(socket, "TCP_USER_TIMEOUT") else {}
)

_OURS: Final = {"amqp": SCHEME, "pyamqp": SCHEME, "amqps": TLS_SCHEME}


class Buffering:
    """Goes in front of py-amqp's transports: a buffer of what was read, one of what is written."""

    sock: Any
    connected: bool
    # When something last came, on the monotonic clock.
    heard_at = 0.0
    # A broker with an alarm stops reading, for as long as that lasts: this is then called again
    # and again, reads what comes meanwhile, and may raise to give up.
    while_stuck: Callable[[], object] | None = None
    _came = b""
    _at = 0
    _corked: bytearray | None = None

    def read_frame(self, *_: Any) -> tuple[int, int, bytes]:
        """Wait for one frame, and read nothing behind it."""
        while (frame := self.whole_frame()) is None:
            self.fill(self._missing())
        return frame

    def whole_frame(self) -> tuple[int, int, bytes] | None:
        """Return the next frame (type, channel, payload), if all of it has come.

        Raises UnexpectedFrame.
        """
        if self._missing() > 0:
            return None
        kind, channel, size = HEAD.unpack_from(self._came, self._at)
        start = self._at + HEAD.size
        self._at = start + size + 1
        if self._came[start + size] != FRAME_END:
            raise UnexpectedFrame("a frame does not end where it says")
        return kind, channel, self._came[start : start + size]

    def fill(self, most: int = CHUNK_BYTES) -> None:
        """Read once, waiting as the socket does; raises TimeoutError, and OSError at the end."""
        self._take_in(self.sock.recv, most)

    def wait(self, seconds: float) -> None:
        """Wait until something can be read. Raises TimeoutError."""
        readable = select.poll()
        readable.register(self.sock, select.POLLIN)
        if not readable.poll(seconds * MILLISECONDS):
            raise TimeoutError("nothing has come")

    def fill_at_once(self) -> None:
        """Read what has come; raises TimeoutError if nothing has, and OSError at the end."""
        # Setting the socket's timeout to nothing and back would be two more calls to the system.
        self._take_in(self.sock.recv, CHUNK_BYTES, socket.MSG_DONTWAIT)

    def write(self, data: bytes | memoryview) -> None:
        """Write, or keep for the end of `corked`."""
        if self._corked is None:
            self._write_all(data)
            return
        if len(data) > CHUNK_BYTES:
            self._flush()
            self._write_all(data)
            return
        self._corked += data
        if len(self._corked) > CHUNK_BYTES:
            self._flush()

    @contextmanager
    def corked(self) -> Iterator[None]:
        """Write what is written within at its end; for the thread that owns the connection."""
        self._corked = bytearray()
        try:
            yield
            self._flush()
        finally:
            self._corked = None

    def _take_in(self, receive: Callable[..., bytes], *how: int) -> None:
        try:
            data = receive(*how)
        except TimeoutError:
            raise
        except (BlockingIOError, SSLWantReadError) as error:
            raise TimeoutError("nothing has come") from error
        except OSError:
            self.connected = False
            raise
        if not data:
            self.connected = False
            raise OSError(errno.ECONNRESET, "the broker closed the connection")
        self._came = self._came[self._at :] + data
        self._at = 0
        self.heard_at = time.monotonic()

    def _flush(self) -> None:
        data, self._corked = self._corked, bytearray()
        if data:
            self._write_all(data)

    def _write_all(self, data: bytes | bytearray | memoryview) -> None:
        if self.while_stuck is None:
            super().write(data)  # type: ignore[misc] # py-amqp's transport comes behind this class
            return
        left = memoryview(data)
        try:
            while left:
                if sent := self._write_at_once(left):
                    left = left[sent:]
                else:
                    self._wait_to_write()
                    self.while_stuck()
        except OSError:
            self.connected = False
            raise

    def _write_at_once(self, data: memoryview) -> int:
        """Write what can be written without waiting, and return how much that was."""
        try:
            return int(self.sock.send(data, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    def _wait_to_write(self) -> None:
        either = select.poll()
        either.register(self.sock, select.POLLIN | select.POLLOUT)
        either.poll(STUCK_SECONDS * MILLISECONDS)

    def _missing(self) -> int:
        """Return how many octets the next frame lacks, as far as can be told by now."""
        there = len(self._came) - self._at
        if there < HEAD.size:
            return HEAD.size - there
        size: int = HEAD.unpack_from(self._came, self._at)[2]
        return HEAD.size + size + 1 - there


class BufferedTransport(Buffering, TCPTransport):
    """A plain connection."""


class BufferedTLSTransport(Buffering, SSLTransport):
    """A connection over TLS."""

    def wait(self, seconds: float) -> None:
        """Wait until something can be read, unless TLS holds something already."""
        if not self.sock.pending():
            super().wait(seconds)

    def fill_at_once(self) -> None:
        """Read what has come; TLS takes no flags."""
        with self.having_timeout(0):
            self.fill()

    def _write_at_once(self, data: memoryview) -> int:
        try:
            with self.having_timeout(0):
                return int(self.sock.send(data))
        except (TimeoutError, SSLWantReadError, SSLWantWriteError):
            return 0


class Channel(pyamqp.Channel):
    """py-amqp's channel, which does not wait for a broker that reads nothing."""

    def close(self, *args: Any, **options: Any) -> Any:
        """Close in good order, unless the broker has an alarm."""
        if getattr(self.connection, "blocked", ""):
            return self.collect()
        return super().close(*args, **options)


class Connection(pyamqp.Connection):
    """py-amqp's connection over these transports, with a reader of its own for what comes.

    `blocked` is the reason why the broker reads nothing from this connection now, in its own words
    (connection.blocked, an extension of RabbitMQ); empty while it does.
    """

    # py-amqp takes no notice of the reason.
    _METHODS: ClassVar[Any] = {
        **cast("Any", pyamqp.Connection)._METHODS,  # noqa: SLF001 - the table it reads frames by
        spec.Connection.Blocked: spec.method(spec.Connection.Blocked, "s"),
    }
    Channel = Channel
    blocked = ""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.frame_handler_cls = frame_handler

    def close(self, *args: Any, **options: Any) -> Any:
        """Close in good order, unless the broker has an alarm, and reads nothing."""
        if self.blocked:
            return self.collect()
        return super().close(*args, **options)

    def _on_blocked(self, reason: str = "") -> None:
        self.blocked = reason or "no reason given"

    def _on_unblocked(self) -> None:
        self.blocked = ""

    def Transport(  # noqa: N802 - py-amqp's name
        self,
        host: str,
        connect_timeout: Any,
        ssl: Any = None,
        *timeouts: Any,
        **options: Any,
    ) -> Any:
        """Make the transport, as py-amqp's `connect` asks for it."""
        read_timeout, write_timeout = timeouts
        return (BufferedTLSTransport if ssl else BufferedTransport)(
            host,
            connect_timeout=connect_timeout,
            ssl=ssl,
            read_timeout=read_timeout,
            write_timeout=write_timeout,
            **options,
        )

    def corked(self) -> AbstractContextManager[None]:
        """Have what is written within go out together, at its end."""
        return self._connected_transport().corked()

    def publish(self, message: Outgoing, *, channel: int) -> None:
        """Publish a message, persistent and mandatory.

        Raises Unsendable, and has then written nothing.
        """
        octets = amqp_frames.publish(message, channel=channel, frame_max=self.frame_max)
        self._connected_transport().write(octets)

    def take(self, *, seconds: float = 0) -> None:
        """Deal with all that has come, waiting for it so long at most. Raises TimeoutError."""
        transport = self.transport  # a frame may be the connection's end, and take it away
        if seconds > 0:
            transport.wait(seconds)
        transport.fill_at_once()
        while (frame := transport.whole_frame()) is not None:
            self.on_inbound_frame(frame)

    def heard_at(self) -> float:
        """Return when something last came from the broker, on the monotonic clock."""
        return self._connected_transport().heard_at

    def wait_to_write(self, while_stuck: Callable[[], object]) -> None:
        """Wait for as long as the broker does not read, and call this meanwhile."""
        self._connected_transport().while_stuck = while_stuck

    def _connected_transport(self) -> Buffering:
        transport: Buffering | None = self.transport
        if transport is None:
            raise RecoverableConnectionError("the connection was lost")
        return transport


class Transport(pyamqp.Transport):
    """What `overture-amqp://` stands for."""

    Connection = Connection
    # A password or a permission that was changed may be changed back: a worker waits for it.
    recoverable_connection_errors = (
        *pyamqp.Transport.recoverable_connection_errors,
        AccessRefused,
        NotAllowed,
    )

    def establish_connection(self) -> Any:
        """Connect, and note whether the node could be connected to."""
        client: Any = self.client
        node = client.hostname or "localhost", client.port or self.default_port
        try:
            connection = super().establish_connection()
        except Exception:
            NODES.failed(node)
            raise
        NODES.worked(node)
        return connection

    def on_readable(self, connection: Any, loop: Any) -> None:
        """Deal with all that has come; the event loop calls this when something has."""
        if not connection.connected:
            raise RecoverableConnectionError("the connection was lost")
        try:
            connection.take()
        except TimeoutError:
            return
        if connection.connected and getattr(connection.sock, "pending", int)():
            # What TLS has decrypted already is nothing that the poller sees.
            loop.call_soon(self.on_readable, connection, loop)


class TLSTransport(Transport, pyamqp.SSLTransport):
    """What `overture-amqps://` stands for."""


def register() -> None:
    """Make the schemes known to kombu."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
    TRANSPORT_ALIASES[TLS_SCHEME] = f"{__name__}:TLSTransport"


def own_url(url: str) -> str:
    """Return the URL under which RabbitMQ is reached through these transports.

    Other URLs come back as they are, alternatives (`a;b`) one by one.
    """
    return with_schemes(url, _OURS)
