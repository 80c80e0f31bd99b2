"""Replays dead letters: each is acknowledged only after its job was enqueued again."""

from __future__ import annotations

from typing import Final

from kombu import Message
from redis import Redis

from config.names import MAX_PRIORITY
from config.settings import Settings
from console.admin.dead_letters import Dead
from console.admin.records import reopen
from console.jobfiles.submission import job_message
from tasks.messages.outgoing import Outgoing
from tasks.messages.trace import trace_of
from worker.broker.confirms import ConfirmedProducer

BATCH_LETTERS: Final = 100


class Replayer:
    """Enqueues jobs in batches, and acknowledges their dead letters after the confirm."""

    def __init__(
        self,
        producer: ConfirmedProducer,
        *,
        store: Redis,
        settings: Settings,
        queue: str,
    ) -> None:
        self._store = store
        self._settings = settings
        self._producer = producer
        self._queue = queue
        self._batch: list[tuple[Message, Dead]] = []

    def add(self, message: Message, letter: Dead) -> None:
        """Enqueue the job of one more dead letter, with the next batch."""
        self._batch.append((message, letter))
        if len(self._batch) == BATCH_LETTERS:
            self.flush()

    def flush(self) -> None:
        """Enqueue the waiting jobs. It can be stopped and repeated anywhere."""
        for _, letter in self._batch:
            self._reopen(letter)
        self._producer.publish([self._outgoing(message, letter) for message, letter in self._batch])
        for message, _ in self._batch:
            message.ack()
        self._batch = []

    def _reopen(self, letter: Dead) -> None:
        accounts = self._settings.accounts
        account_id = letter.account_id or (next(iter(accounts)) if len(accounts) == 1 else None)
        if account_id is not None:
            reopen(
                self._store,
                account_id,
                letter.job_id,
                letter=letter.document,
                seconds=self._settings.dedupe_seconds,
            )

    def _outgoing(self, message: Message, letter: Dead) -> Outgoing:
        job = letter.job or {}
        priority = job.get("priority")
        return job_message(
            job,
            queue=self._queue,
            message_id=letter.job_id,
            priority=priority if isinstance(priority, int) and 0 <= priority <= MAX_PRIORITY else 0,
            trace=trace_of(message.headers),
        )
