"""Jobs for tests."""

from __future__ import annotations

from typing import Any

from tasks.messages.job import Job, parse_job

ACCOUNT = "12345678"
SECRET = "demo-secret"
# The settings of one account, whose credentials the simulator takes.
ONE_ACCOUNT: dict[str, object] = {
    "account_id": ACCOUNT,
    "client_id": "demo-client",
    "client_secret": SECRET,
}


def job_document(number: int = 1, **fields: Any) -> dict[str, Any]:
    """Make the document of a job whose consumer is its own."""
    return {"jobId": f"job-{number}", "consumerId": f"consumer-{number}", **fields}


def make_job(number: int = 1, **fields: Any) -> Job:
    """Make a job."""
    return parse_job(job_document(number, **fields), accounts={ACCOUNT})
