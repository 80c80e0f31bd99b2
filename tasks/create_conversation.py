"""`conversations.create`, the Celery task: what happens to a job, from its message to its ack.

A message is received, attempted until it has an outcome, recorded, published and acknowledged.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog
from celery import Task
from structlog.contextvars import bind_contextvars, reset_contextvars

from config.names import TASK_NAME
from tasks.account import Account
from tasks.attempt import CLAIMED_RETRY_SECONDS, Rules, Try
from tasks.delivery import Delivery, Publisher
from tasks.messages.intake import Work, read_work
from tasks.messages.job import AS_DOCUMENTED, Reading
from tasks.messages.outcome import REPEATED, Outcome, broken
from tasks.messages.outgoing import later
from tasks.messages.trace import trace_of
from tasks.steps import Drop, Later, Publish, Record, Soon, Step
from tasks.stopping import Stopping
from tasks.store.answers import Lost, Recorded
from tasks.store.connection import StoreError
from tasks.store.pulse import Pulse
from tasks.store.retrying import retry_store
from tasks.tracing import Processing

# When to retry after a bug of ours.
BUG_RETRY_SECONDS: Final = 10.0
# The reason of such a retry in the measures.
STUMBLED: Final = "stumbled"
# The reason in the log and the ledger of a job whose time has not come.
NOT_BEFORE: Final = "notBefore"
# The shortest time that a job is put off, even if it expires sooner.
MIN_WAIT_SECONDS: Final = 1.0

log = structlog.get_logger()


class CreateConversation(Task):  # type: ignore[type-arg] # Celery's types want what it is called with
    """Takes each job to its outcome; all threads share one.

    Producers send the job itself as the only argument. The worker's consumer calls `receive` with
    each delivery, and a thread of the pool calls `run` with the result.
    """

    name = TASK_NAME
    ignore_result = True

    def __init__(
        self,
        rules: Rules,
        *,
        publisher: Publisher,
        pulse: Pulse,
        accounts: Mapping[str, Account],
        max_message_bytes: int,
        reading: Reading = AS_DOCUMENTED,
        outcome_tasks: Mapping[str, str] | None = None,
    ) -> None:
        """`outcome_tasks` maps a routing key to the Celery task that its outcomes call."""
        self._rules = rules
        self._ledger, self._shutdown = rules.ledger, rules.shutdown
        self._measures, self._tracing = rules.measures, rules.tracing
        self._publisher = publisher
        self._pulse = pulse
        self._accounts = accounts
        self._max_message_bytes = max_message_bytes
        self._reading = reading
        self._outcome_tasks = outcome_tasks or {}

    def receive(self, delivery: Delivery) -> Work | None:
        """Read a delivery; a message that is not a valid job gets its dead letter at once.

        It runs in the event loop's thread, not in a slot: a thread's stack never shrinks, and the
        check of a job needs the most of it.
        """
        try:
            received = self._read(delivery)
            if isinstance(received, Work):
                if received.job.warnings:
                    log.warning("job.odd", job_id=received.job.job_id, what=received.job.warnings)
                return received
            log.warning("message.refused", message_id=received.message_id, outcome=received.counter)
            self._measures.ended("", received.counter, delivery.enqueued_at)
            self._publish(received, delivery)
        except Exception:
            # An error here would end the event loop, of this worker and the next one.
            log.exception("message.stumbled", retry_in=BUG_RETRY_SECONDS)
            delivery.defer(BUG_RETRY_SECONDS)
        return None

    def run(self, work: Work, delivery: Delivery) -> Step | None:
        """Do one job, and acknowledge its delivery after the outcome, put it off or hand it back.

        Returns the step that the job has taken; None if it was handed back.
        """
        if self._shutdown.draining.is_set():
            delivery.requeue()
            return None
        job = work.job
        with self._tracing.process(delivery.queue, work) as span:
            # At a third of the cost of `bound_contextvars`.
            bound = bind_contextvars(job_id=job.job_id, account=job.account_id, **span.ids)
            try:
                if not work.trace and span.trace:
                    work = replace(work, trace=span.trace)
                return self._work(work, delivery, span)
            finally:
                reset_contextvars(**bound)

    def _read(self, delivery: Delivery) -> Work | Outcome:
        message = delivery.received
        if message.left_out:
            log.info("message.left_out", what=message.left_out)
        try:
            return read_work(
                message,
                owner=self._pulse.owner(),
                accounts=self._accounts.keys(),
                max_bytes=self._max_message_bytes,
                enqueued_at=delivery.enqueued_at,
                reading=self._reading,
            )
        except Exception:
            log.exception("message.unread")
            return broken(delivery.body, trace=trace_of(message.headers))

    def _work(self, work: Work, delivery: Delivery, span: Processing) -> Step | None:
        started = time.monotonic()
        try:
            step = self._attempt(work)
        except Stopping:
            self._hand_back(work, delivery)
            return None
        except Exception:
            log.exception("job.stumbled", retry_in=BUG_RETRY_SECONDS)
            self._measures.repeats(STUMBLED)
            self._ledger.abandon(work.job, work.owner)
            delivery.defer(BUG_RETRY_SECONDS)
            return Later(BUG_RETRY_SECONDS, "stumbled")
        match step:
            case Later():
                self._measures.repeats(step.why)
                span.put_off(step.why, seconds=step.seconds, cause=step.cause)
                self._put_off(step, work, delivery)
            case Record(outcome=outcome):
                _log_end(outcome, started)
                span.ended(outcome)
                self._record(step, work, delivery)
            case Drop():
                log.info("job.ended", outcome="forgotten", seconds=0)
                delivery.ack()
            case Publish(outcome):
                _log_end(outcome, started)
                self._measure(outcome, work, work.enqueued_at)
                span.ended(outcome)
                self._publish(outcome, delivery, origin=self._tracing.here())
        return step

    def _attempt(self, work: Work) -> Step:
        wait = work.seconds_to_wait(datetime.now(UTC))
        if wait > 0 and not work.is_expired(datetime.now(UTC)):
            # So that `overture status` shows the job before it is due.
            retry_store(
                lambda: self._ledger.note_wait(work.job, seconds=wait, waits_for=NOT_BEFORE),
                until=self._shutdown.draining,
            )
            return Later(wait, NOT_BEFORE)
        account = self._accounts[work.job.account_id]
        while isinstance(step := Try(work, account, self._rules).make(), Soon):
            self._measures.repeats(step.why)
            self._shutdown.sleep(step.seconds)
        return step

    def _put_off(self, step: Later, work: Work, delivery: Delivery) -> None:
        # Not longer than until it expires, so that its dead letter comes in time.
        left = max(0.0, work.seconds_left(datetime.now(UTC)))
        seconds = min(step.seconds, max(left, MIN_WAIT_SECONDS))
        log.info(
            "job.put_off",
            why=step.why,
            cause=step.cause or None,
            retry_in=round(seconds, 1),
            retry_at=later(seconds),
        )
        delivery.defer(seconds)

    def _hand_back(self, work: Work, delivery: Delivery) -> None:
        try:
            if not self._shutdown.over.is_set():  # once it is, an attempt may be unrecorded
                self._ledger.release(work.job, work.owner)
        except StoreError as error:
            log.warning("job.still_claimed", error=str(error)[:200])
        delivery.requeue()

    def _record(self, step: Record, work: Work, delivery: Delivery) -> None:
        """Record the outcome, then publish it; this thread waits for neither."""
        account, asked = self._accounts[work.job.account_id], time.monotonic()
        origin = self._tracing.here()

        def recorded(found: Recorded | Lost) -> None:
            account.recorded(step.feedback, probing=step.probing, asked=asked)
            if isinstance(found, Recorded):
                self._measure(found.outcome, work, step.enqueued_at)
                self._publish(found.outcome, delivery, origin=origin)
            else:
                delivery.defer(CLAIMED_RETRY_SECONDS)

        self._ledger.finish(
            work.job,
            work.owner,
            outcome=step.outcome,
            feedback=step.feedback,
            cause=step.cause,
            then=recorded,
        )

    def _measure(self, outcome: Outcome, work: Work, enqueued_at: str | None) -> None:
        if outcome.counter != REPEATED:
            self._measures.ended(work.job.account_id, outcome.counter, enqueued_at)

    def _publish(self, outcome: Outcome, delivery: Delivery, *, origin: object = None) -> None:
        """Publish the outcome, and acknowledge the message once it is confirmed."""
        ended = self._tracing.publish(outcome, origin)

        def confirmed() -> None:
            ended(True)  # noqa: FBT003 - of `Tracing.publish`
            if outcome.account_id:
                self._ledger.mark_published(outcome.account_id, outcome.message_id)
            delivery.ack()

        def handed_back() -> None:
            ended(False)  # noqa: FBT003 - likewise
            delivery.requeue()

        task = self._outcome_tasks.get(outcome.routing_key)
        self._publisher.send(outcome.outgoing(task), confirmed, handed_back)


def _log_end(outcome: Outcome, started: float) -> None:
    log.info("job.ended", outcome=outcome.counter, seconds=round(time.monotonic() - started, 3))
