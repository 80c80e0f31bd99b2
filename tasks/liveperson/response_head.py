"""The head of an answer: what it says of itself, and where its body ends. No I/O.

Everything that HTTP allows is understood, also what it only has recipients bear with; what leaves
a doubt where the answer ends is no answer. Sources: RFC 9112, 2 to 6; RFC 9110, 5.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# A recipient may take a single LF for the end of a line, and ignores the CR before it.
END: Final = re.compile(rb"\n\r?\n")
_STATUS_LINE: Final = re.compile(r"HTTP/1\.([0-9]) ([1-5][0-9]{2})(?: [^\r\0]*)?")
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# A value that is continued in the next line, as servers once did.
_FOLD: Final = re.compile(r"[ \t]*\n[ \t]+")
_BLANK: Final = " \t"
_NUMBER: Final = re.compile(r"[0-9]{1,15}")
_LISTS: Final = frozenset({"connection", "content-encoding", "content-length", "transfer-encoding"})
_SWITCHING: Final = 101
_BODILESS: Final = frozenset({204, 304})


class Unreadable(Exception):
    """What came is no answer, or leaves a doubt where it ends."""


class Headers(dict[str, str]):
    """Headers by their names in lower case, found in any case.

    Of one that came several times the last counts; but those by which the body is read are lists,
    and joined.
    """

    def get(self, name: str, default: str = "") -> str:  # type: ignore[override] # never None
        """Return a header's value."""
        return super().get(name.lower(), default)

    def codings(self, name: str) -> list[str]:
        """Return what a header lists, in lower case."""
        listed = self.get(name)
        if not listed:
            return []
        return [part for part in map(_bare, listed.lower().split(",")) if part]


@dataclass(frozen=True, slots=True)
class Head:
    """A status and headers; `length` is that of the body in octets.

    It is None where the body comes in chunks (`is_chunked`), or ends with the connection.
    """

    status: int
    minor: int
    headers: Headers
    length: int | None
    is_chunked: bool

    @property
    def is_provisional(self) -> bool:
        """Whether the answer proper is still to come."""
        return self.status < 200

    @property
    def keeps_connection(self) -> bool:
        """Whether the server would read another request. Source: RFC 9112, 9.3."""
        options = self.headers.codings("connection")
        if self.minor:
            return "close" not in options
        # Chunks in an answer of HTTP/1.0 are faulty, and the last that is read.
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
    """Return a header's name in lower case; empty for what is none."""
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
