"""Dead letters that a broker does not take whole: cut to what fits, with size and digest."""

from __future__ import annotations

import json
from base64 import b64decode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.admin.dead_letters import read_dead
from tasks.messages.job import InvalidJob
from tasks.messages.outcome import invalid, malformed, shortened

MAX_BYTES = 2000


@given(raw=st.binary(min_size=2000, max_size=6000) | st.text(min_size=2000).map(str.encode))
def test_a_raw_message_keeps_its_beginning(raw: bytes) -> None:
    """As text or base64, as the whole was; never more octets than asked for."""
    whole = malformed(raw, "no job").outgoing()
    cut = shortened(whole, most=MAX_BYTES)
    assert cut is not None
    assert len(cut.body) <= MAX_BYTES
    letter = json.loads(cut.body)
    kept = letter["raw"].encode()
    if letter["rawEncoding"] == "base64":
        kept = b64decode(letter["raw"])
    assert raw.startswith(kept)
    assert letter["rawBytes"] == len(raw)
    assert letter["rawSha256"] == sha256(raw).hexdigest()
    assert (letter["error"]["code"], letter["status"]) == ("malformed_message", "failed")
    assert cut.message_id == whole.message_id == read_dead(cut.body, {}).job_id


def test_as_much_is_kept_as_fits() -> None:
    """What is lost cannot be looked at."""
    cut = shortened(malformed(b"\xff" * 100_000, "no job").outgoing(), most=50_000)
    assert cut is not None
    assert len(cut.body) > 49_900


def test_what_is_cut_again_tells_of_the_whole() -> None:
    """A broker's limit can be lowered while it waits."""
    raw = b"x" * 10_000
    once = shortened(malformed(raw, "no job").outgoing(), most=5000)
    assert once is not None
    twice = shortened(once, most=1000)
    assert twice is not None
    letter = json.loads(twice.body)
    assert (letter["rawBytes"], letter["rawSha256"]) == (10_000, sha256(raw).hexdigest())


def test_a_job_that_is_cut_is_kept_as_the_text_it_was() -> None:
    """It can no longer be replayed, and does not look as if it could."""
    document = {"jobId": "1", "profile": {"x": "é" * 5000}}
    whole = invalid(document, b"", InvalidJob("invalid_job", "profile: is too long"))
    cut = shortened(whole.outgoing(), most=MAX_BYTES)
    assert cut is not None
    letter = json.loads(cut.body)
    assert "job" not in letter
    assert letter["raw"].startswith('{"jobId":"1","profile"')
    assert letter["rawEncoding"] == "utf-8"


@pytest.mark.parametrize("most", [0, 100])
def test_what_has_no_room_for_its_reason_is_not_cut(most: int) -> None:
    """It waits, and is reported, until the broker takes more."""
    assert shortened(malformed(b"x" * 1000, "no job").outgoing(), most=most) is None
