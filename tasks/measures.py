"""What is measured while jobs are done; the worker decides how (worker/metrics.py)."""

from __future__ import annotations


class Measures:
    """The interface of measurements, and the one that keeps none.

    Its methods are called by many threads, for every job: they must be quick, and never raise.
    """

    def called(self, service: str, status: int | None, seconds: float) -> None:
        """Measure a call to a service of LivePerson; `status` is None without an answer."""

    def attempted(self, account_id: str, kind: str) -> None:
        """Measure an attempt with an answer of this kind (`Kind`)."""

    def permitted(self, seconds: float) -> None:
        """Measure how long a job waited for its permit."""

    def repeats(self, why: str) -> None:
        """Measure that a job will be retried, `why` as in the log."""

    def ended(self, account_id: str, counter: str, enqueued_at: str | None) -> None:
        """Measure the outcome of a job, or of a message that is not a job.

        `account_id` is empty without a configured account; `counter` is the outcome's;
        `enqueued_at` is RFC 3339, or None if unknown.
        """


UNMEASURED = Measures()
