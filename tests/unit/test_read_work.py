"""What a message says beside its job."""

from __future__ import annotations

import json

import pytest

from tasks.messages.intake import Received, Work, read_work


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("2026-01-31T09:00:00Z", "2026-01-31T09:00:00Z"),
        ("2026-01-31T10:00:00.5+01:00", "2026-01-31T10:00:00.5+01:00"),
        ("2026-01-31T09:00:00", None),
        ("2026-02-30T09:00:00Z", None),
        ("yesterday", None),
        ("x" * 3000, None),
        (None, None),
    ],
)
def test_when_a_job_was_enqueued_is_a_date_time_or_unsaid(
    said: str | None, kept: str | None
) -> None:
    """A result promises RFC 3339 there, whatever a producer writes into the header."""
    body = json.dumps({"jobId": "a", "consumerId": "c"}).encode()
    letter = Received(body=body, headers={}, content_type="", content_encoding="")
    work = read_work(letter, owner="w", accounts=["1"], max_bytes=1024, enqueued_at=said)
    assert isinstance(work, Work)
    assert work.enqueued_at == kept
