"""Reads one HTTP answer as its octets come, strictly: a wrong reading could lose a conversation.

An answer whose end is ambiguous (two lengths, bad chunks) is refused. Sources: RFC 9112, 6 and 7.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http.client import IncompleteRead
from typing import Final

# The standard library's limit for one line of a head.
MAX_HEAD_BYTES = 64 * 1024
# Extensions after a chunk's size are ignored.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
_CHARSET = re.compile(r"charset[ \t]*=[ \t]*[\"']?([\w.:-]+)", re.IGNORECASE)
_LINE_END = b"\r\n"


class ResponseReader:
    """Takes the octets of one answer; what follows it is not read.

    Once `is_complete`, `head` and `content` can be used; `may_stay` tells whether the connection
    can be used for another request.
    """

    head: Head

    def __init__(self) -> None:
        self._octets = 0
        self._rest = b""
        self._looked = 0
        self._left = 0
        self._pieces: list[bytes] = []
        self._most = MAX_HEAD_BYTES
        # The function for the next part; it returns False if that is not complete yet.
        self._read: Callable[[], bool] = self._read_head
        self.is_complete = self.may_stay = False

    def feed(self, octets: bytes) -> None:
        """Take octets; empty ones mean that the connection has ended.

        Raises TooLarge, Unreadable, and IncompleteRead for an answer that is cut off.
        """
        if not octets:
            self._end()
            return
        self._octets += len(octets)
        self._rest += octets
        while not self.is_complete and self._read():
            pass
        if not self.is_complete and self._octets > self._most:
            raise TooLarge

    def content(self) -> bytes:
        """Return the body, decompressed, and recoded to UTF-8 if it names another charset.

        Raises TooLarge and zlib.error.
        """
        head = self.head
        codings = head.headers.codings("content-encoding")
        codings += head.headers.codings("transfer-encoding")
        body = unpack(b"".join(self._pieces), codings)
        named = _CHARSET.search(head.headers.get("content-type"))
        return body if named is None else _in_utf8(body, named[1])

    def _read_head(self) -> bool:
        rest = self._rest = self._rest.lstrip(_LINE_END)
        end = END.search(rest, self._looked)
        if end is None:
            self._looked = max(0, len(rest) - len(_LINE_END))
            return False
        head = parse_head(rest[: end.start()])
        self._rest, self._looked = rest[end.end() :], 0
        if not head.is_provisional:
            self.head = head
            self._most += MAX_BODY_BYTES
            if head.length is not None:
                self._left, self._read = head.length, self._read_all
            else:
                self._read = self._read_size if head.is_chunked else self._read_rest
        return True

    def _read_all(self) -> bool:
        if self._left > MAX_BODY_BYTES:
            raise TooLarge
        if len(self._rest) < self._left:
            return False
        self._take()
        self._complete()
        return True

    def _read_rest(self) -> bool:
        """Wait for the connection's end."""
        return False

    def _read_size(self) -> bool:
        line, end, rest = self._rest.partition(_LINE_END)
        if not end:
            return False
        size = _CHUNK_SIZE.fullmatch(line)
        if size is None:
            raise Unreadable("a chunk without a size")
        self._rest, self._left = rest, int(size[1], 16)
        self._read = self._read_chunk if self._left else self._read_trailers
        return True

    def _read_chunk(self) -> bool:
        end = self._left + len(_LINE_END)
        if len(self._rest) < end:
            return False
        if self._rest[self._left : end] != _LINE_END:
            raise Unreadable("a chunk that does not end where it should")
        self._take()
        self._rest = self._rest[len(_LINE_END) :]
        self._read = self._read_size
        return True

    def _read_trailers(self) -> bool:
        """Skip the trailers after the last chunk."""
        lines, end, rest = (_LINE_END + self._rest).partition(_LINE_END * 2)
        if not end:
            return False
        parse_fields(lines.decode("latin-1").removeprefix("\r\n"))
        self._rest = rest
        self._complete()
        return True

    def _take(self) -> None:
        self._pieces.append(self._rest[: self._left])
        self._rest = self._rest[self._left :]

    def _complete(self) -> None:
        self.is_complete = True
        # Octets after the answer were not asked for: the connection is not used again.
        self.may_stay = self.head.keeps_connection and not self._rest

    def _end(self) -> None:
        if self._read != self._read_rest:
            raise IncompleteRead(self._rest)
        self._left = len(self._rest)
        self._take()
        self.is_complete = True


def _in_utf8(body: bytes, charset: str) -> bytes:
    """Recode a body that is not UTF-8. JSON should always be UTF-8, but sometimes is not."""
    try:
        body.decode()
    except UnicodeDecodeError:
        try:
            return body.decode(charset).encode()
        except (LookupError, UnicodeError):
            pass
    return body


# A single LF is accepted as the end of a line, and a CR before it ignored, as RFC 9112 allows.
END: Final = re.compile(rb"\n\r?\n")
_STATUS_LINE: Final = re.compile(r"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: [^\r\0]*)?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A value that is continued in the next line, which is obsolete.
_FOLD: Final = re.compile(r"[ \t]*\n[ \t]+")
_BLANK: Final = " \t"
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_LISTS: Final = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})
_SWITCHING: Final = 101
_BODILESS: Final = frozenset({204, 304})


class Unreadable(Exception):
    """The octets are not an HTTP answer, or its end is ambiguous."""


class Headers(dict[str, str]):
    """Headers by their names in lower case; `get` accepts any case.

    If a header came several times, the last one counts; those that say how the body is read are
    joined to a list.
    """

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override] # never None
        """Return a header's value."""
        return super().get(name.lower(), default)

    def codings(self, name: str) -> list[str]:
        """Return the elements of a header that is a list, in lower case."""
        listed = self.get(name)
        if not listed:
            return []
        return [part for part in map(_bare, listed.lower().split(",")) if part]


@dataclass(frozen=True, slots=True)
class Head:
    """Status and headers; `length` is that of the body in octets.

    It is None if the body comes in chunks (`is_chunked`), or ends with the connection.
    """

    status: int
    minor: int
    headers: Headers
    length: int | None
    is_chunked: bool

    @property
    def is_provisional(self) -> bool:
        """Whether the final answer is still to come (1xx)."""
        return self.status < 200

    @property
    def keeps_connection(self) -> bool:
        """Whether the server would read another request. Source: RFC 9112, 9.3."""
        options = self.headers.codings("connection")
        if self.minor:
            return "close" not in options
        # Chunks in an answer of HTTP/1.0 are faulty, so the connection is not used again.
        return "keep-alive" in options and "close" not in options and not self.is_chunked


def parse_head(octets: bytes) -> Head:
    """Read a head, without its last line's end. Raises Unreadable."""
    first, _, rest = octets.decode("latin-1").partition("\n")
    line = _STATUS_LINE.fullmatch(first.removesuffix("\r"))
    if line is None:
        raise Unreadable("no status line")
    status = int(line[2])
    if status == _SWITCHING:
        raise Unreadable("another protocol, which nobody asked for")
    headers = parse_fields(rest)
    length, is_chunked = (0, False) if status in _BODILESS else _framing(headers)
    return Head(status, int(line[1]), headers, length, is_chunked)


def parse_fields(text: str) -> Headers:
    """Read the lines of headers or trailers, without the last one's end. Raises Unreadable."""
    text = text.removesuffix("\r").replace("\r\n", "\n")
    if "\r" in text or "\0" in text:
        raise Unreadable("a character that no header holds")
    if "\n " in text or "\n\t" in text:
        text = _FOLD.sub(" ", text)
    headers = Headers()
    for line in text.split("\n") if text else ():
        name, colon, value = line.partition(":")
        key = _key(name)
        if not colon or not key:
            raise Unreadable("a header that is none")
        known = value.strip(_BLANK)
        headers[key] = f"{headers[key]},{known}" if key in _LISTS and key in headers else known
    return headers


@lru_cache(maxsize=256)
def _key(name: str) -> str:
    """Return a header's name in lower case; empty if it is not a valid name."""
    return name.lower() if _NAME.fullmatch(name) else ""


def _framing(headers: Headers) -> tuple[int | None, bool]:
    """Tell how long the body is, or whether it is in chunks. Source: RFC 9112, 6.3."""
    given = dict.get(headers, "content-length")
    if "transfer-encoding" in headers:
        if given is not None:
            raise Unreadable("a length and a transfer coding")
        codings = headers.codings("transfer-encoding")
        if "chunked" in codings[:-1]:
            raise Unreadable("something around chunks")
        return None, codings[-1:] == ["chunked"]
    if given is None:
        return None, False
    lengths = set(map(_bare, given.split(",")))
    if not all(map(_NUMBER.fullmatch, lengths)) or len(set(map(int, lengths))) != 1:
        raise Unreadable("a length that is none, or several")
    return int(lengths.pop()), False


def _bare(value: str) -> str:
    return value.strip(_BLANK)


# Documented answers have a few hundred bytes.
MAX_BODY_BYTES = 1024 * 1024
_GZIP_BITS = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """The answer is far larger than any that is documented."""


def unpack(body: bytes, codings: Sequence[str]) -> bytes:
    """Decode a body; codings are in the order they were applied. Raises TooLarge, zlib.error.

    A truncated body is an error. An unknown coding is ignored: servers write all kinds of things
    there, and a body that is really encoded will not be JSON.
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
    """Decompress all members; zeros after the last one are padding."""
    pieces: list[bytes] = []
    while body.strip(b"\0"):
        piece, body = _unpack(body, _GZIP_BITS)
        pieces.append(piece)
        if sum(map(len, pieces)) > MAX_BODY_BYTES:
            raise TooLarge
    return b"".join(pieces)


def _inflate(body: bytes) -> bytes:
    """Decompress zlib's format (RFC 9110, 8.4.1.2).

    Some servers send raw deflate instead, which is refused: it has no checksum, so a damaged answer
    could name a wrong conversation.
    """
    if not body:
        return body
    piece, rest = _unpack(body, zlib.MAX_WBITS)
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
