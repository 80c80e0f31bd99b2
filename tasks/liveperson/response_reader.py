"""One answer, read as its octets come, and as strictly as it must be that decides so much.

An answer that leaves any doubt where it ends (two lengths, bad chunks) is none. Sources: RFC 9112,
6 and 7.
"""

import re
from collections.abc import Callable
from http.client import IncompleteRead

from tasks.liveperson.response_head import END, Head, Unreadable, parse_fields, parse_head
from tasks.liveperson.unpacking import MAX_BODY_BYTES, TooLarge, unpack

# As many as the standard library takes in one line of a head.
MAX_HEAD_BYTES = 64 * 1024
# What stands behind a chunk's size is for those who know it.
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?")
_CHARSET = re.compile(r"charset[ \t]*=[ \t]*[\"']?([\w.:-]+)", re.IGNORECASE)
_LINE_END = b"\r\n"


class ResponseReader:
    """Takes the octets of one answer; what follows it is not looked at.

    Once `is_complete`, there are `head` and `content`; `may_stay` tells whether another request may
    be sent over the connection.
    """

    head: Head

    def __init__(self) -> None:
        self._octets = 0
        self._rest = b""
        self._looked = 0
        self._left = 0
        self._pieces: list[bytes] = []
        self._most = MAX_HEAD_BYTES
        # Each reads one part, and says whether there was enough of it.
        self._read: Callable[[], bool] = self._read_head
        self.is_complete = self.may_stay = False

    def feed(self, octets: bytes) -> None:
        """Take what has come; nothing means that the connection has ended.

        Raises TooLarge, Unreadable, and IncompleteRead for what is cut off.
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
        """Return the body, unpacked, and in UTF-8 where it says what else it is in.

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
        """Pass over what is said behind the last chunk."""
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
        # Whatever follows was not asked for.
        self.may_stay = self.head.keeps_connection and not self._rest

    def _end(self) -> None:
        if self._read != self._read_rest:
            raise IncompleteRead(self._rest)
        self._left = len(self._rest)
        self._take()
        self.is_complete = True


def _in_utf8(body: bytes, charset: str) -> bytes:
    """Write a body in UTF-8 if it is in another charset: JSON is not to be, and sometimes is."""
    try:
        body.decode()
    except UnicodeDecodeError:
        try:
            return body.decode(charset).encode()
        except (LookupError, UnicodeError):
            pass
    return body
