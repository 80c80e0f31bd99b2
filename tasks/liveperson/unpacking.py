"""The codings of a body, undone. No I/O. Source: RFC 9110, 8.4; RFC 1950 to 1952."""

import zlib
from collections.abc import Sequence

# A documented answer has a few hundred bytes.
MAX_BODY_BYTES = 1024 * 1024
_GZIP_BITS = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """The answer is larger than any that is documented."""


def unpack(body: bytes, codings: Sequence[str]) -> bytes:
    """Undo codings, which are in the order in which they were applied. Raises TooLarge, zlib.error.

    What is cut off is an error. A coding that is not known is left: servers write all kinds of
    things there, and whoever reads the body sees what it is.
    """
    for coding in reversed(codings):
        if coding in {"gzip", "x-gzip"}:
            body = _gunzip(body)
        elif coding == "deflate":
            body = _inflate(body)
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge
    return body


def _gunzip(body: bytes) -> bytes:
    """Unpack one member after the other; zeros behind them are padding."""
    pieces: list[bytes] = []
    while body.strip(b"\0"):
        piece, body = _unpack(body, _GZIP_BITS)
        pieces.append(piece)
        if sum(map(len, pieces)) > MAX_BODY_BYTES:
            raise TooLarge
    return b"".join(pieces)


def _inflate(body: bytes) -> bytes:
    """Unpack zlib's format, or the bare one that some servers take it for."""
    if not body:
        return body
    try:
        piece, rest = _unpack(body, zlib.MAX_WBITS)
    except zlib.error:
        piece, rest = _unpack(body, -zlib.MAX_WBITS)
    if rest:
        raise zlib.error("something follows what was packed")
    return piece


def _unpack(body: bytes, bits: int) -> tuple[bytes, bytes]:
    unpacker = zlib.decompressobj(wbits=bits)
    piece = unpacker.decompress(body, MAX_BODY_BYTES + 1)
    if len(piece) > MAX_BODY_BYTES:
        raise TooLarge
    if not unpacker.eof:
        raise zlib.error("it is cut off")
    return piece, unpacker.unused_data
