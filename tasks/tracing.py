"""What is traced while jobs are done; the worker makes the spans (worker/spans.py)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from tasks.messages.intake import Work
from tasks.messages.outcome import Outcome
from tasks.messages.trace import NO_TRACE, Trace

NO_IDS: Final[Mapping[str, str]] = {}


class Processing:
    """The span of the work on one delivery, and the one that does nothing."""

    # The span's ids, for the log.
    ids: Mapping[str, str] = NO_IDS
    # The trace of a job that has none of its own.
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
        """Note the job's outcome in the span."""

    def put_off(self, why: str, *, seconds: float, cause: str) -> None:
        """Note that the job will be retried, `why` as in the log."""


class Tracing:
    """The interface of tracing, and the one that does nothing.

    Its methods are called by many threads, for every job: they must never raise.
    """

    def process(self, queue: str, work: Work) -> Processing:
        """Return the span of the work on a delivery."""
        del queue, work
        return _NO_SPAN

    def here(self) -> Any:
        """Return this thread's current span, as the parent for another thread's."""

    def publish(self, outcome: Outcome, origin: Any) -> Callable[[bool], object]:
        """Begin the span of publishing; the returned function ends it, with whether it worked.

        `origin` is what `here` returned where the outcome was made, or None.
        """
        del outcome, origin
        return _nothing

    def call(
        self, method: str, url: str, *, service: str, resends: int
    ) -> Callable[[int | None, str], object]:
        """Begin the span of a call to LivePerson, which was made `resends` times before.

        The returned function ends it, with the HTTP status, or None and the error's type.
        """
        del method, url, service, resends
        return _nothing


def _nothing(*_: object) -> None:
    pass


_NO_SPAN: Final = Processing()
UNTRACED: Final = Tracing()
