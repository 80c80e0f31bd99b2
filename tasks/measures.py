"""What is measured while jobs are done. Who measures it, and in which form, is the process's."""

from __future__ import annotations


class Measures:
    """Takes the measurements that tasks make; this one keeps none, so that nobody pays for them.

    Its methods are called by many threads, for every job: they have to be quick, and never fail.
    """

    def called(self, service: str, status: int | None, seconds: float) -> None:
        """Take that a call to a service of LivePerson ended; `status` is None without an answer."""

    def attempted(self, account_id: str, kind: str) -> None:
        """Take that a try at a job came to an answer of this kind (`Kind`)."""

    def permitted(self, seconds: float) -> None:
        """Take that a job got its permit, after so many seconds."""

    def repeats(self, why: str) -> None:
        """Take that a job is to be tried again, `why` as in the log."""

    def ended(self, account_id: str, count: str, enqueued_at: str | None) -> None:
        """Take that a job, or a message that is none, has its outcome.

        `account_id` is empty for what is no job of a configured account; `count` is the outcome's;
        `enqueued_at` is RFC 3339, and None if it is not known.
        """


UNMEASURED = Measures()
