"""Strict reading and compact writing of JSON text."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.messages.json_text import MAX_DEPTH, MalformedJSON, dumps_compact, loads_strict

MAX_BYTES = 10_000


def read(data: bytes) -> object:
    return loads_strict(data, max_bytes=MAX_BYTES)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"{}", {}),
        (b' {"a": [1, -2.5e3, "x", true, null]} \r\n', {"a": [1, -2500.0, "x", True, None]}),
        (b"18446744073709551615", 2**64 - 1),
        (b"-9223372036854775808", -(2**63)),
        (b'"\\ud83d\\ude00 \xf0\x9f\x98\x80"', "\N{GRINNING FACE} \N{GRINNING FACE}"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'{"a": {"a": 1}}', {"a": {"a": 1}}),
        (b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, json.loads("[" * MAX_DEPTH + "]" * MAX_DEPTH)),
        (b"[" + b"[]," * MAX_DEPTH + b"[]]", [[]] * (MAX_DEPTH + 1)),
    ],
)
def test_reads_json(data: bytes, value: object) -> None:
    """JSON that every reader understands alike is read."""
    assert read(data) == value


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the message is empty; send one JSON text"),
        (b" ", "the message is not JSON: Expecting value at line 1 column 2"),
        (b"{}x", "the message is not JSON: Extra data at line 1 column 3"),
        (b"{}{}", "the message is not JSON: Extra data at line 1 column 3"),
        (b'{"a":1,}', "the message is not JSON: "),
        (b'"a\nb"', "the message is not JSON: Invalid control character at line 1 column 3"),
        (b"{'a':1}", "the message is not JSON: Expecting property name enclosed in double quotes"),
        (b"\xef\xbb\xbf{}", "the message begins with a byte order mark; send UTF-8 without one"),
        (b'"\xff"', "the message is not UTF-8: invalid byte at position 1"),
        (b'"\xed\xa0\x80"', "the message is not UTF-8: invalid byte at position 1"),
        ('"a"'.encode("utf-16"), "the message is not UTF-8: invalid byte at position 0"),
        (b"NaN", "the message contains NaN, which JSON does not allow"),
        (b"[Infinity]", "the message contains Infinity, which JSON does not allow"),
        (b"[-Infinity]", "the message contains -Infinity, which JSON does not allow"),
        (b"1e999", "the message contains a number beyond double precision; send it as a string"),
        (b"0." + b"1" * 70, "the message contains a number beyond double precision"),
        (b"18446744073709551616", "the message contains an integer that does not fit in 64 bits"),
        (b"-9223372036854775809", "the message contains an integer that does not fit in 64 bits"),
        (
            b"9" * 9_000,
            "the message contains an integer that does not fit in 64 bits; send it as a string",
        ),
        (b'{"a":{"b":1,"c":2,"b":1}}', 'an object contains the key "b" more than once'),
        (b'{"\\u0000":1,"\\u0000":1}', 'an object contains the key "\\u0000" more than once'),
        (b'["\\ud800"]', "the message contains half of a surrogate pair (\\ud800-\\udfff)"),
        (b'{"\\uDFFF":1}', "the message contains half of a surrogate pair (\\ud800-\\udfff)"),
        (b'"\\ude00\\ud83d"', "the message contains half of a surrogate pair (\\ud800-\\udfff)"),
        (
            b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
            "the message is nested deeper than 64 levels",
        ),
        (b'{"a":' * 65 + b"1" + b"}" * 65, "the message is nested deeper than 64 levels"),
        (b"[" * 5_000 + b"]" * 5_000, "the message is nested deeper than 64 levels"),
        (b'{"a":' * 1_600 + b"1" + b"}" * 1_600, "the message is nested deeper than 64 levels"),
        # Python before 3.13 gives up at its depth, a newer one finds its end missing.
        (b"[" * 9_000, "the message is n"),
        (b" " * 10_001, "the message is 10001 bytes long; the limit is 10000"),
    ],
)
def test_refuses(data: bytes, message: str) -> None:
    """What readers could understand differently is refused in one sentence."""
    with pytest.raises(MalformedJSON) as caught:
        read(data)
    assert str(caught.value).startswith(message)


def test_a_long_key_is_cut_in_the_message() -> None:
    """A message about a key stays short, however long the key is."""
    name = "k" * 1_000
    with pytest.raises(MalformedJSON) as caught:
        read(f'{{"{name}":1,"{name}":2}}'.encode())
    assert len(str(caught.value)) < 150


def test_writes_compact_utf_8() -> None:
    """Nothing is escaped that need not be, and the order of keys stays."""
    assert dumps_compact({"b": ["é", 1], "a": None}) == '{"b":["é",1],"a":null}'.encode()


def test_sorted_keys_make_equal_values_equal_bytes() -> None:
    """Sorting holds on every level."""
    one, other = {"b": {"d": 1, "c": 2}, "a": 3}, {"a": 3, "b": {"c": 2, "d": 1}}
    assert dumps_compact(one, sort_keys=True) == dumps_compact(other, sort_keys=True)
    assert dumps_compact(one) != dumps_compact(other)


@pytest.mark.parametrize(
    "value",
    [float("nan"), [None, {"a": (float("inf"),)}], "\ud800", {1, 2}, datetime.now(UTC), 2**64],
)
def test_refuses_to_write_what_it_would_not_read(value: object) -> None:
    """NaN, half surrogate pairs and other types never reach a broker."""
    with pytest.raises((ValueError, TypeError)):
        dumps_compact(value)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(values)
def test_reads_what_it_wrote(value: object) -> None:
    """Every JSON value comes back as it was."""
    assert read(dumps_compact(value)) == value


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.binary(max_size=200)
    | st.text(alphabet='[]{}",:\\ud8019eE+-. NaInfty', max_size=60).map(str.encode)
)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No other exception than MalformedJSON escapes, and what is read can be written again."""
    try:
        value = read(data)
    except MalformedJSON:
        return
    assert read(dumps_compact(value)) == value
