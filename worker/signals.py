"""Celery's signals of a task, for instrumentation and loggers that know Celery.

They are sent as by Celery's own worker, in the same threads; without receivers they cost nothing.
Source: Celery, "Signals".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
import structlog
from billiard.einfo import ExceptionInfo
from celery import signals, states
from celery.exceptions import Retry
from celery.worker.request import Request

from config.names import FAILED_KEY, TASK_NAME
from tasks.create_conversation import CreateConversation
from tasks.messages.intake import Work
from tasks.steps import Drop, Later, Step
from worker.broker.delivery import Delivery

OF_A_TASK: Final = (
    signals.task_received,
    signals.task_prerun,
    signals.task_postrun,
    signals.task_success,
    signals.task_failure,
    signals.task_retry,
)


log = structlog.get_logger()


class JobFailed(Exception):
    """A job has become a dead letter; the text is its code and message."""


def run_of(
    task: CreateConversation, consumer: Any, work: Work, delivery: Delivery
) -> Callable[[Work, Delivery], object]:
    """Return the function that runs a job; with receivers, one that also sends the signals.

    An error in a signal does not affect the job.
    """
    if not any(signal.receivers for signal in OF_A_TASK):
        return task.run
    try:
        return Announced(task, consumer, work, delivery).run
    except Exception:
        log.exception("signals.not_sent")
        return task.run


class Announced:
    """One delivery of a job, with Celery's signals about it."""

    def __init__(
        self, task: CreateConversation, consumer: Any, work: Work, delivery: Delivery
    ) -> None:
        """Send that it was received; `consumer` is Celery's."""
        self._task = task
        self._request = _request(task, consumer, work, delivery)
        signals.task_received.send(sender=consumer, request=self._request)

    def run(self, work: Work, delivery: Delivery) -> None:
        """Run the task, with the signals before and after."""
        task, request = self._task, self._request
        about: dict[str, Any] = {
            "task_id": request.id,
            "args": request.args,
            "kwargs": request.kwargs,
        }
        task.push_request(request.request_dict, called_directly=False)
        try:
            signals.task_prerun.send(sender=task, task=task, **about)
            started = time.monotonic()
            state, result = self._end(task.run(work, delivery), about, started=started)
            signals.task_postrun.send(sender=task, task=task, retval=result, state=state, **about)
        finally:
            task.pop_request()

    def _end(self, step: Step | None, about: Mapping[str, Any], *, started: float) -> Any:
        """Send the signal for the job's result; return Celery's state and return value."""
        task = self._task
        if step is None:
            return states.REJECTED, None
        if isinstance(step, Drop):
            return states.IGNORED, None
        if isinstance(step, Later):
            # Any: Celery's types lack float here.
            seconds: Any = step.seconds
            again = Retry(step.why, when=seconds)
            signals.task_retry.send(
                sender=task, request=task.request, reason=again, einfo=_raised(again)
            )
            return states.RETRY, again
        document = orjson.loads(step.outcome.body)
        if step.outcome.routing_key != FAILED_KEY:
            runtime = time.monotonic() - started
            signals.task_success.send(sender=task, result=document, runtime=runtime)
            return states.SUCCESS, document
        error = document["error"]
        failure = JobFailed(f"{error['code']}: {error['message']}")
        einfo = _raised(failure)
        signals.task_failure.send(
            sender=task, exception=failure, traceback=failure.__traceback__, einfo=einfo, **about
        )
        return states.FAILURE, failure


def _request(task: CreateConversation, consumer: Any, work: Work, delivery: Delivery) -> Request:
    """Return Celery's request for a message; a message without a Celery id gets the job's."""
    message = delivery.message
    given = message.headers.get("id")
    headers: Any = {
        "lang": "py",
        "root_id": None,
        "parent_id": None,
        "retries": 0,
        "timelimit": [None, None],
        "argsrepr": "",
        "kwargsrepr": "",
        **message.headers,
        "task": TASK_NAME,
        "id": given if isinstance(given, str) else work.job.job_id,
        "eta": work.not_before and work.not_before.isoformat(),
        "expires": work.expires_at and work.expires_at.isoformat(),
    }
    return Request(
        message,
        app=consumer.app,
        task=task,
        hostname=consumer.hostname,
        connection_errors=consumer.connection_errors,
        headers=headers,
        body=([work.document], {}, {}),
        decoded=True,
    )


def _raised(error: Exception) -> ExceptionInfo:
    """Raise an exception as a task would, and return Celery's information about it."""
    try:
        raise error
    except type(error):
        return ExceptionInfo()
