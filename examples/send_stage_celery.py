"""The stage after Overture as a Celery task: send the first message into every opened conversation.

Use this program as a starting point. Overture's workers publish results as calls of this task if
they are started with OVERTURE_RESULTS_TASK=sender.send; without it, Celery would delete every
result. The environment names the broker (OVERTURE_BROKER_URL), a Redis or Valkey for notes
(OVERTURE_STORE_URL; without it the broker) and what send_liveperson.py, beside this file, reads.

    celery --workdir examples --app send_stage_celery worker --pool threads --concurrency 20
    python examples/send_stage_celery.py      have everything sent again that was parked

A result is acknowledged once LivePerson has its message, or once the broker has it elsewhere: on
`send-stage.later` until it is tried again, or on `send-stage.parked` with the reason, if LivePerson
refuses it or it failed four times while others were sent. A result that comes again is recognised.
A message can be sent twice only if nobody knows what became of it: after a 5xx, no answer in time,
or the death of a worker.

Beside the results queue, its user on RabbitMQ needs rights on `send-stage` and `send-stage.*`, and
on what Celery itself declares (`celery*`, `*.pidbox`); on the notes' server, on the keys
`send-stage:*`.
"""

from __future__ import annotations

import math
import os
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject
from celery.utils.log import get_task_logger
from kombu import Exchange, Queue
from redis import Redis
from redis.exceptions import RedisError
from send_liveperson import PAUSES, NotNowError, RefusedError, accounts, seconds_late

BROKER_URL = os.environ["OVERTURE_BROKER_URL"]
CLAIM_SECONDS = 300  # longer than one message can take to be sent
BUSY_SECONDS = 10  # when to look again whether another worker has sent a message
KEEP_SECONDS = 30 * 24 * 60 * 60  # how long a result that comes again is recognised

QUORUM = {"x-queue-type": "quorum"}
# Overture declares this one. Its type tells Celery what not to ask for. (Celery warns that it could
# not delay messages on it; they are delayed on the next one.)
RESULTS = Queue("conversations.results", no_declare=True, queue_arguments=QUORUM)
# Celery's native delayed delivery on RabbitMQ needs a topic exchange and a quorum queue.
EXCHANGE = Exchange("send-stage", type="topic")
LATER = Queue("send-stage.later", EXCHANGE, routing_key="send-stage.later", queue_arguments=QUORUM)
PARKED = Queue(
    "send-stage.parked", EXCHANGE, routing_key="send-stage.parked", queue_arguments=QUORUM
)

app = Celery("send_stage", broker=BROKER_URL)
app.conf.update(
    accept_content=["json"],
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue=LATER.name,
    task_queues=[RESULTS, LATER],
    # Celery's loop does not wake up when a thread is done: with no more in hand than there are
    # threads, they wait for it.
    worker_prefetch_multiplier=10,
)
log = get_task_logger(__name__)
notes = Redis.from_url(os.environ.get("OVERTURE_STORE_URL") or BROKER_URL)
known = accounts()


@app.task(name="sender.send", bind=True, max_retries=None)
def send(self: Task[Any, Any], result: dict[str, Any], failures: int = 0) -> None:
    """Send a result's first message; `failures` counts those that were its own."""
    # An error that Celery sees has it acknowledge the message, which is then gone.
    try:
        _send(result)
    except NotNowError as error:
        failures += not error.is_outage
        if failures >= len(PAUSES):
            _park(result, f"failed {failures} times: {error}")
            return
        seconds = error.seconds if error.is_outage else PAUSES[failures - 1]
        log.warning("%s: not sent yet: %s", result["jobId"], error)
        raise _later(self, result, failures, seconds) from None
    except RefusedError as error:
        _park(result, f"refused: {error}")
    except Exception as error:  # noqa: BLE001 - also one of this program's own
        _park(result, f"{type(error).__name__}: {error}")


def _send(result: dict[str, Any]) -> None:
    """Send a message, unless it is sent. Raises RefusedError or NotNowError."""
    account = known.get(result["accountId"])
    if account is None:
        raise RefusedError(f"account {result['accountId']} is not configured here")
    if held := account.held():
        raise NotNowError("the account is held", seconds=held)
    note = f"send-stage:{result['accountId']}:{result['jobId']}:{result['conversationId']}"
    try:
        if not notes.set(note, "sending", nx=True, ex=CLAIM_SECONDS):
            if notes.get(note) == b"sent":
                return
            raise NotNowError("another worker has it in hand", seconds=BUSY_SECONDS)
        try:
            account.pace()
            if late := seconds_late(result):
                log.warning("%s: %.1f s late for automatic messages", result["jobId"], late)
            account.send(result)
        except Exception:
            notes.delete(note)
            raise
        notes.set(note, "sent", ex=KEEP_SECONDS)
    except RedisError as error:
        raise NotNowError(f"no notes: {error}", seconds=BUSY_SECONDS) from None
    log.info("%s: sent into %s", result["jobId"], result["conversationId"])


def _later(task: Task[Any, Any], result: object, failures: int, seconds: float) -> Exception:
    """Put a message on the queue of those that wait; returns what the task is to raise."""
    try:
        return task.retry(
            args=(result, failures), countdown=math.ceil(seconds), queue=LATER.name, throw=False
        )
    except Reject as error:
        # Celery's own has the message dropped if the broker does not take its copy.
        return Reject(str(error), requeue=True)


def _park(result: dict[str, Any], reason: str) -> None:
    """Put a message aside for people to look at."""
    log.error("%s: parked: %s", result.get("jobId"), reason)
    try:
        with app.producer_or_acquire() as producer:
            producer.publish(
                {"result": result, "reason": reason},
                exchange=EXCHANGE,
                routing_key=PARKED.routing_key,
                declare=[PARKED],
                delivery_mode="persistent",
                mandatory=True,
                retry=True,
            )
    except Exception as error:  # noqa: BLE001 - whatever it was: the message stays where it is
        raise Reject(error, requeue=True) from None


def main() -> None:
    """Have what was parked sent again, each message once."""
    with app.connection_for_read() as connection:
        parked = PARKED(connection.default_channel)
        parked.declare()
        declared: Any = parked.queue_declare()
        for _ in range(declared.message_count):
            if (message := parked.get()) is None:
                break
            send.apply_async(args=(message.payload["result"],), queue=LATER.name)
            message.ack()
            print(message.payload["result"]["jobId"])


if __name__ == "__main__":
    main()
