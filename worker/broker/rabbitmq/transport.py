"""kombu's transport for RabbitMQ, with buffers, and so with fewer system calls.

py-amqp reads the three frames of a message in nine calls, kombu runs its event loop once for each
message, and each published message is a write of its own. Here the loop reads all that has come in
one call and handles it, and many messages are written at once. A caller that waits for one
particular frame still reads no further, so that no frame stays unseen in the buffer.
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
# How often `while_stuck` is called while a write waits.
STUCK_SECONDS: Final = 1.0
# Socket options for waiting until a live peer reads again; py-amqp's own give it one second.
WAITS_FOR_A_READER: Final = (
    {socket.TCP_USER_TIMEOUT: 0} if hasattr(socket, "TCP_USER_TIMEOUT") else {}
)

_OURS: Final = {"amqp": SCHEME, "pyamqp": SCHEME, "amqps": TLS_SCHEME}


class Buffering:
    """A mixin for py-amqp's transports: buffers what is read, and what is written."""

    sock: Any
    connected: bool
    # When something last came, on the monotonic clock.
    heard_at = 0.0
    # Called repeatedly while the broker does not read, as during an alarm: it reads what comes
    # meanwhile, and may raise to give up.
    while_stuck: Callable[[], object] | None = None
    _came = b""
    _at = 0
    _corked: bytearray | None = None

    def read_frame(self, *_: Any) -> tuple[int, int, bytes]:
        """Wait for one frame, and read nothing after it."""
        while (frame := self.whole_frame()) is None:
            self.fill(self._missing())
        return frame

    def whole_frame(self) -> tuple[int, int, bytes] | None:
        """Return the next frame (type, channel, payload), if all of it has come.

        Raises UnexpectedFrame.
        """
        came, start = self._came, self._at + HEAD.size
        if len(came) < start:
            return None
        kind, channel, size = HEAD.unpack_from(came, self._at)
        end = start + size
        if len(came) <= end:
            return None
        if came[end] != FRAME_END:
            raise UnexpectedFrame("a frame does not end where it says")
        self._at = end + 1
        return kind, channel, came[start:end]

    def fill(self, most: int = CHUNK_BYTES) -> None:
        """Read once, with the socket's timeout; raises TimeoutError, and OSError at the end."""
        self._take_in(self.sock.recv, most)

    def wait(self, seconds: float) -> None:
        """Wait until something can be read. Raises TimeoutError."""
        readable = select.poll()
        readable.register(self.sock, select.POLLIN)
        if not readable.poll(seconds * MILLISECONDS):
            raise TimeoutError("nothing has come")

    def fill_at_once(self) -> None:
        """Read what has come; raises TimeoutError if nothing has, and OSError at the end."""
        # Setting the socket's timeout to 0 and back would be two more system calls.
        self._take_in(self.sock.recv, CHUNK_BYTES, socket.MSG_DONTWAIT)

    def write(self, data: bytes | memoryview) -> None:
        """Write now, or within `corked` at its end."""
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
        """Buffer writes until the end. Only for the thread that owns the connection."""
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
        """Write what can be written without waiting, and return how many octets that were."""
        try:
            return int(self.sock.send(data, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return 0

    def _wait_to_write(self) -> None:
        either = select.poll()
        either.register(self.sock, select.POLLIN | select.POLLOUT)
        either.poll(STUCK_SECONDS * MILLISECONDS)

    def _missing(self) -> int:
        """Return how many octets the next frame lacks; of its head, until that has come."""
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
        """Wait until something can be read, unless TLS has decrypted something already."""
        if not self.sock.pending():
            super().wait(seconds)

    def fill_at_once(self) -> None:
        """Read what has come, with a timeout of 0: TLS accepts no flags."""
        with self.having_timeout(0):
            self.fill()

    def _write_at_once(self, data: memoryview) -> int:
        try:
            with self.having_timeout(0):
                return int(self.sock.send(data))
        except (TimeoutError, SSLWantReadError, SSLWantWriteError):
            return 0


class Channel(pyamqp.Channel):
    """py-amqp's channel, whose close does not wait for a broker that reads nothing."""

    def close(self, *args: Any, **options: Any) -> Any:
        """Close with a handshake, unless the broker has an alarm."""
        if getattr(self.connection, "blocked", ""):
            return self.collect()
        return super().close(*args, **options)


class Connection(pyamqp.Connection):
    """py-amqp's connection over these transports, with our own reader of frames.

    `blocked` is RabbitMQ's reason for reading nothing from this connection now (its extension
    connection.blocked), or empty.
    """

    # py-amqp ignores the reason.
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
        """Close with a handshake, unless the broker has an alarm, and reads nothing."""
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
        """Make the transport; py-amqp's `connect` calls this."""
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
        """Buffer writes until the end of the context."""
        return self._connected_transport().corked()

    def publish(self, message: Outgoing, *, channel: int) -> None:
        """Publish a message, persistent and mandatory; raises Unsendable before any write."""
        octets = amqp_frames.publish(message, channel=channel, frame_max=self.frame_max)
        self._connected_transport().write(octets)

    def take(self, *, seconds: float = 0) -> None:
        """Handle all frames that have come, waiting at most `seconds`. Raises TimeoutError."""
        transport = self.transport  # a frame that closes the connection sets this to None
        if seconds > 0:
            transport.wait(seconds)
        transport.fill_at_once()
        while (frame := transport.whole_frame()) is not None:
            self.on_inbound_frame(frame)

    def heard_at(self) -> float:
        """Return when something last came from the broker, on the monotonic clock."""
        return self._connected_transport().heard_at

    def wait_to_write(self, while_stuck: Callable[[], object]) -> None:
        """Let writes wait until the broker reads, and call this meanwhile."""
        self._connected_transport().while_stuck = while_stuck

    def _connected_transport(self) -> Buffering:
        transport: Buffering | None = self.transport
        if transport is None:
            raise RecoverableConnectionError("the connection was lost")
        return transport


class Transport(pyamqp.Transport):
    """The transport of `overture-amqp://`."""

    Connection = Connection
    # A worker waits for a wrong password or a missing right to be mended.
    recoverable_connection_errors = (
        *pyamqp.Transport.recoverable_connection_errors,
        AccessRefused,
        NotAllowed,
    )

    def establish_connection(self) -> Any:
        """Connect, and note whether the node answered."""
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
        """Handle all that has come; the event loop calls this when the socket is readable."""
        if not connection.connected:
            raise RecoverableConnectionError("the connection was lost")
        try:
            connection.take()
        except TimeoutError:
            return
        if connection.connected and getattr(connection.sock, "pending", int)():
            # The poller does not see what TLS has decrypted already.
            loop.call_soon(self.on_readable, connection, loop)


class TLSTransport(Transport, pyamqp.SSLTransport):
    """The transport of `overture-amqps://`."""


def register() -> None:
    """Register the schemes with kombu."""
    TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
    TRANSPORT_ALIASES[TLS_SCHEME] = f"{__name__}:TLSTransport"


def own_url(url: str) -> str:
    """Return a RabbitMQ URL with the scheme of these transports; alternatives (`a;b`) each.

    Other URLs are returned unchanged.
    """
    return with_schemes(url, _OURS)
