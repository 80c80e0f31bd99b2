"""Reading an answer: all that HTTP allows is understood, and nothing else makes a conversation."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from http.client import IncompleteRead
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.liveperson import reading
from tasks.liveperson.answer import Kind
from tasks.liveperson.conversation import read_answer
from tasks.liveperson.response_reader import (
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    ResponseReader,
    TooLarge,
    Unreadable,
)
from tests.raw_liveperson import CONVERSATION_ID, CREATED, PROFILE_ID, REQUEST_ID

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(CREATED)
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
NO_ANSWER = (Unreadable, TooLarge, IncompleteRead, zlib.error)


def read(octets: bytes, *cuts: int, ends: bool = False) -> ResponseReader:
    """Feed octets in pieces, cut at these places; `ends` has the connection end behind them."""
    reader = ResponseReader()
    for start, end in pairwise([0, *sorted(set(cuts)), len(octets)]):
        if not reader.is_complete and start < end:
            reader.feed(octets[start:end])
    if ends and not reader.is_complete:
        reader.feed(b"")
    return reader


def bare_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(body) + packer.flush()


def members(body: bytes) -> bytes:
    return gzip.compress(body[:7]) + gzip.compress(b"") + gzip.compress(body[7:]) + b"\0" * 5


# How a body may be packed, and what a server calls that.
PACKINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    ("identity", bytes),
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZip", members),
    ("gzip, identity", members),
    ("identity , gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
]
INTERIM = [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 2]
LINES = ["X-Empty:", "X-Tab:\tone \t", "x-any: c\x80\xff", "Server: a\r\n b\r\n\t c"]


@st.composite
def legal_answers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """Give an answer with CREATED in it, and whether it ends with its connection."""
    called, pack = draw(st.sampled_from(PACKINGS))
    body = pack(CREATED)
    names = {"Content-Encoding": called} if called else {}
    framing = draw(st.sampled_from(["length", "chunks", "packed chunks", "end"]))
    if framing == "length":
        length = str(len(body))
        names["Content-Length"] = draw(
            st.sampled_from([length, f"{length}, {length}", f"0{length}", f"\r\n {length}"])
        )
    elif framing != "end":
        packed = framing == "packed chunks"
        names["Transfer-Encoding"] = "gzip, chunked" if packed else "chunked"
        cuts = draw(st.lists(st.integers(1, len(body) - 1), max_size=5))
        body = _in_chunks(draw, gzip.compress(body) if packed else body, cuts)
    lines = [f"{draw(_cased(name))}:{draw(_BLANK)}{value}" for name, value in names.items()]
    lines += draw(st.lists(st.sampled_from(LINES)))
    status = draw(st.sampled_from(["HTTP/1.1 200 OK", "HTTP/1.1 200 ", "HTTP/1.0 200 \xd6k \t!"]))
    head = "\r\n".join([status, *draw(st.permutations(lines)), "", ""]).encode("latin-1")
    if draw(st.booleans()):
        head = head.replace(b"\r\n", b"\n")
    return draw(st.sampled_from(INTERIM)) + head + body, framing == "end"


_BLANK = st.sampled_from(["", " ", "\t", "  "])


def _cased(name: str) -> st.SearchStrategy[str]:
    return st.sampled_from([name, name.lower(), name.upper()])


def _in_chunks(draw: st.DrawFn, body: bytes, cuts: list[int]) -> bytes:
    extension = draw(st.sampled_from([b"", b";a", b' ; a="b;\\"c"', b"\t;a=b;c"]))
    trailers = draw(st.sampled_from([b"", b"X-T: 1\r\n", b"Content-Length: 5\r\nX-F: a\r\n b\r\n"]))
    places = [0, *sorted({cut for cut in cuts if cut < len(body)}), len(body)]
    chunks = [
        b"%X%b\r\n%b\r\n" % (end - start, extension, body[start:end])
        for start, end in pairwise(places)
    ]
    return b"".join([*chunks, b"000", extension, b"\r\n", trailers, b"\r\n"])


@settings(deadline=None)
@given(legal_answers(), st.lists(st.integers(1, 2000), max_size=6))
def test_all_that_http_allows_is_understood(answer: tuple[bytes, bool], cuts: list[int]) -> None:
    """However it is framed, packed, folded and spelt, and in whatever pieces it comes."""
    octets, ends = answer
    reader = read(octets, *(cut for cut in cuts if cut < len(octets)), ends=ends)
    assert reader.is_complete
    assert (reader.head.status, reader.content()) == (200, CREATED)


def opened(octets: bytes) -> str | None:
    """Return the conversation that octets, and then the connection's end, are taken for."""
    try:
        reader = read(octets, ends=True)
        head, body = reader.head, reader.content()
    except NO_ANSWER:
        return None
    answer = read_answer(
        head.status, head.headers, body, profile_id=PROFILE_ID, request_id=REQUEST_ID
    )
    return answer.conversation_id if answer.kind is Kind.CREATED else None


@settings(deadline=None)
@given(legal_answers(), st.data())
def test_what_is_cut_off_opens_no_conversation(
    answer: tuple[bytes, bool], data: st.DataObject
) -> None:
    """Wherever it is cut: the octets that are missing may be those that matter."""
    octets, ends = answer
    cut = data.draw(st.integers(0, len(octets) - 1))
    # Padding, and a closing line of what was complete before, are missed by nobody.
    whole = {CONVERSATION_ID} if ends and octets[cut:].strip(b"\0") == b"" else set()
    assert opened(octets[:cut]) in {None, *whole}


@settings(deadline=None)
@given(legal_answers(), st.data())
def test_what_is_damaged_opens_no_other_conversation(
    answer: tuple[bytes, bool], data: st.DataObject
) -> None:
    """An octet lost, doubled or changed, wherever no checksum could have told of it."""
    octets, _ = answer
    safe = octets.find(CREATED) if CREATED in octets else len(octets)
    at = data.draw(st.integers(0, safe - 1))
    new = data.draw(st.sampled_from([b"", octets[at : at + 1] * 2, b"\r\n", b"0", b",", b" "]))
    assert opened(octets[:at] + new + octets[at + 1 :]) in {None, CONVERSATION_ID}


@pytest.mark.parametrize(
    "octets",
    [
        OK + LENGTH + b"Content-Length: 5\r\n\r\n" + CREATED,
        OK + LENGTH[:-2] + b", 5\r\n\r\n" + CREATED,
        OK + LENGTH + b"Transfer-Encoding: chunked\r\n\r\n" + CREATED,
        OK + b"Content-Length: -1\r\n\r\n" + CREATED,
        OK + b"Content-Length: +7\r\n\r\n" + CREATED,
        OK + b"Content-Length:\r\n\r\n" + CREATED,
        OK + b"Content-Length: \xb2\r\n\r\n" + CREATED,
        OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n" + CREATED,
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"0x5\r\n",
        CHUNKED + b"2\nab\n0\n\n",
        CHUNKED + b"1\r\nab\r\n",
        CHUNKED + b"0\r\nno trailer\r\n\r\n",
        OK + b"X-A : 1\r\n" + LENGTH + b"\r\n" + CREATED,
        OK + b" folded: first\r\n" + LENGTH + b"\r\n" + CREATED,
        OK + b"X-A: a\rb\r\n" + LENGTH + b"\r\n" + CREATED,
        OK + b"X-A: a\0b\r\n" + LENGTH + b"\r\n" + CREATED,
        OK + b"no colon\r\n" + LENGTH + b"\r\n" + CREATED,
        b"HTTP/1.1 OK 200\r\n\r\n",
        b"HTTP/2 200 OK\r\n" + LENGTH + b"\r\n" + CREATED,
        b"HTTP/1.1 2000 OK\r\n" + LENGTH + b"\r\n" + CREATED,
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + LENGTH + b"\r\n" + CREATED,
        b"ICY 200 OK\r\n\r\n",
    ],
)
def test_what_leaves_a_doubt_is_no_answer(octets: bytes) -> None:
    """Above all where it ends."""
    with pytest.raises((Unreadable, IncompleteRead)):
        read(octets, ends=True)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(CREATED, mtime=0)[:-1]),
        ("gzip", gzip.compress(CREATED, mtime=0) + b"more"),
        ("gzip", gzip.compress(CREATED, mtime=0)[:-8] + b"\0" * 8),
        ("gzip", CREATED),
        ("deflate", zlib.compress(CREATED)[:-1]),
        ("deflate", CREATED),
        ("deflate", bare_deflate(CREATED)),
    ],
)
def test_what_cannot_be_unpacked_whole_is_no_answer(coding: str, body: bytes) -> None:
    """Part of a body may say something else than the whole."""
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {len(body)}\r\n\r\n"
    with pytest.raises(zlib.error):
        read(head.encode() + body).content()


@pytest.mark.parametrize(
    "octets",
    [
        OK + b"X: " + b"x" * MAX_HEAD_BYTES,
        OK + b"Content-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1),
        OK + b"\r\n" + b"x" * (MAX_BODY_BYTES + MAX_HEAD_BYTES),
        CHUNKED + b"FFFFFFFFFFFFFFFF\r\n" + b"x" * (MAX_BODY_BYTES + MAX_HEAD_BYTES),
        b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    ],
)
def test_what_is_larger_than_any_answer_is_not_read(octets: bytes) -> None:
    """Whoever sends it has the memory of nobody."""
    with pytest.raises(TooLarge):
        read(octets)


def test_what_is_packed_beyond_measure_is_not_unpacked() -> None:
    """In one member, or in many."""
    bomb = gzip.compress(b"0" * (MAX_BODY_BYTES + 1))
    half = gzip.compress(b"0" * (MAX_BODY_BYTES // 2 + 1))
    for body in (bomb, half + half):
        head = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        with pytest.raises(TooLarge):
            read(OK + head + body).content()


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        ("204 No Content", ""),
        ("204 No Content", "Content-Length: 7\r\n"),
        ("304 Not Modified", "Content-Length: 7\r\n"),
        ("304 Not Modified", "Transfer-Encoding: chunked\r\n"),
    ],
)
def test_some_answers_have_no_body(status: str, headers: str) -> None:
    """Whatever length they name."""
    reader = read(f"HTTP/1.1 {status}\r\n{headers}\r\n".encode())
    assert reader.is_complete
    assert reader.content() == b""


@pytest.mark.parametrize(
    ("octets", "stays"),
    [
        (OK + LENGTH + b"\r\n" + CREATED, True),
        (OK + LENGTH + b"Connection: Keep-Alive, CLOSE\r\n\r\n" + CREATED, False),
        (OK + LENGTH + b"Connection: Upgrade\r\nConnection: close\r\n\r\n" + CREATED, False),
        (OK + LENGTH + b"\r\n" + CREATED + b"HTTP", False),
        (OK.replace(b"1.1", b"1.0") + LENGTH + b"\r\n" + CREATED, False),
        (OK.replace(b"1.1", b"1.0") + LENGTH + b"Connection: keep-alive\r\n\r\n" + CREATED, True),
        (OK + b"\r\n" + CREATED, False),
    ],
)
def test_a_connection_stays_where_both_sides_know_it_does(octets: bytes, *, stays: bool) -> None:
    """Nobody waits on one that is about to close, or that holds what nobody asked for."""
    assert read(octets, ends=True).may_stay == stays


@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        ("", "utf-8"),
        ("", "utf-8-sig"),
        ("", "utf-16"),
        ("; charset=utf-8", "utf-8"),
        ("; charset=UTF-8", "utf-8-sig"),
        ("; charset=ISO-8859-1", "latin-1"),
        ('; Charset="windows-1252"', "cp1252"),
        ("; charset=utf-16", "utf-16"),
        ("; charset=no-such-charset", "utf-8"),
        ("; charset=us-ascii", "utf-8"),
    ],
)
def test_json_is_read_in_the_charset_it_is_in(charset: str, encoding: str) -> None:
    """It is to be UTF-8, and some servers have others, which they name."""
    body = json.dumps({"error": "Müller"}, ensure_ascii=False).encode(encoding)
    head = f"Content-Type: application/json{charset}\r\nContent-Length: {len(body)}\r\n\r\n"
    assert reading.document(read(OK + head.encode() + body).content()) == {"error": "Müller"}


def test_of_a_header_that_comes_twice_the_last_counts() -> None:
    """Its name is found in any case."""
    reader = read(OK + b"Retry-After: 1\r\nRETRY-after: 7\r\nContent-Length: 0\r\n\r\n")
    assert reading.retry_after(reader.head.headers) == 7
    assert reader.head.headers.get("Date") == ""
