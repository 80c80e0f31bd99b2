"""What is traced while jobs are done: spans, by whoever collects them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from tasks.messages.intake import Work
from tasks.messages.outcome import Outcome
from tasks.messages.trace import NO_TRACE, Trace

NO_IDS: Final[Mapping[str, str]] = {}


class Processing:
    """The work on one delivery of a job, in a thread of its own; this one is no span."""

    # What the lines of the log say of it.
    ids: Mapping[str, str] = NO_IDS
    # Where a job goes on that has no trace of its own.
    trace: Trace = NO_TRACE

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""

    def ended(self, outcome: Outcome) -> None:
        """Take that the job has its outcome."""

    def put_off(self, why: str, *, seconds: float, cause: str) -> None:
        """Take that the job is to be tried again, `why` as in the log."""


class Tracing:
    """Takes what is traced; this one keeps nothing, so that nobody pays for it.

    Its methods are called by many threads, for every job: they never fail.
    """

    def process(self, queue: str, work: Work) -> Processing:
        """Give the span of a delivery's work."""
        del queue, work
        return _NO_SPAN

    def here(self) -> Any:
        """Return where this thread is, for what another one does of it."""

    def publish(self, outcome: Outcome, origin: Any) -> Callable[[bool], object]:
        """Begin to publish an outcome; what is returned is called with whether it was confirmed.

        `origin` is what `here` returned where the outcome was made, or None.
        """
        del outcome, origin
        return _nothing

    def call(
        self, method: str, url: str, *, service: str, resends: int
    ) -> Callable[[int | None, str], object]:
        """Begin a call to a service of LivePerson, which was made `resends` times before.

        What is returned is called at its end, with the HTTP status, or None and the error's type.
        """
        del method, url, service, resends
        return _nothing


def _nothing(*_: object) -> None:
    pass


_NO_SPAN: Final = Processing()
UNTRACED: Final = Tracing()
