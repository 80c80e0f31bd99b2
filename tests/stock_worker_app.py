"""A plain Celery application on a classic queue of RabbitMQ; nothing of Overture is in it.

Its surroundings say how: BROKER_URL, QUEUE, SETTINGS (Celery's own, as JSON), EVENTS (a file
where it notes what it does), STACK (a file where its main thread writes its stack at SIGUSR2).
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

from amqp import Channel, spec
from celery import Celery
from celery.worker.consumer import Consumer
from kombu import Queue
from kombu.common import QoS

from tests.celery_events import note

# No thread is held back for longer, in seconds: what is stuck after that is stuck by itself.
HOLD_SECONDS = 2.0

stack = Path(os.environ["STACK"]).open("a")  # noqa: SIM115 - it stays open
# Of one thread alone: others may be running, and their stacks are not to be looked at then.
faulthandler.register(signal.SIGUSR2, file=stack, all_threads=False)

app = Celery("stock", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_default_queue=os.environ["QUEUE"],
    task_ignore_result=True,
    task_queues=[Queue(os.environ["QUEUE"])],
    worker_cancel_long_running_tasks_on_connection_loss=False,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=1,
    **json.loads(os.environ["SETTINGS"]),
)


@app.task(name="job")
def job(number: int, seconds: float) -> None:
    """Note the start, take so long, note the end."""
    note("start", number)
    time.sleep(seconds)
    note("end", number)


# Two threads set the prefetch count over one connection, and nothing keeps them apart: which of
# them reads which answer is chance. Each is held back here at one point, where it could as well
# have been late by itself, so that chance always takes the same course.
#
#   a thread of the pool asks        restore_prefetch_count -> basic_qos, written
#   the loop reads the answer        nobody waits for it yet, so it is dropped
#   the loop asks for the same       qos.update -> basic_qos, written
#   the pool's thread reads this     and goes on
#   the loop waits for its own       for ever, while it should be the loop

asked, dropped, loop_asked, taken = (threading.Event() for _ in range(4))
loop: Any = Consumer  # the types of the three know nothing private, and want nothing replaced
qos: Any = QoS
channel: Any = Channel
restore = loop._restore_prefetch_count_after_connection_restart
update, wait, dispatch = qos.update, channel.wait, channel.dispatch_method


def in_loop() -> bool:
    """Tell whether this is the thread that owns the connection."""
    return threading.current_thread() is threading.main_thread()


def restore_and_tell(consumer: Any, *args: Any) -> None:
    """Tell that a thread of the pool is at it."""
    if not in_loop():
        asked.set()
    try:
        restore(consumer, *args)
    finally:
        asked.clear()


def update_later(count: QoS) -> Any:
    """Have the loop look at the prefetch count just before the pool's thread changes it."""
    return None if asked.is_set() and not dropped.is_set() else update(count)


def dispatch_and_tell(on: Any, method: Any, *args: Any) -> None:
    """Tell that the loop has read the answer to the pool's thread."""
    dispatch(on, method, *args)
    if method == spec.Basic.QosOk and in_loop() and asked.is_set():
        dropped.set()


def wait_later(on: Any, method: Any, *args: Any, **options: Any) -> Any:
    """Hold a thread back between its question and its wait for the answer."""
    if method != spec.Basic.QosOk:
        return wait(on, method, *args, **options)
    if not in_loop():
        note("pool-asked", 0)
        loop_asked.wait(HOLD_SECONDS)
        answer = wait(on, method, *args, **options)
        taken.set()
        return answer
    if dropped.is_set():
        loop_asked.set()
        taken.wait(HOLD_SECONDS)
    return wait(on, method, *args, **options)


loop._restore_prefetch_count_after_connection_restart = restore_and_tell
qos.update = update_later
channel.dispatch_method, channel.wait = dispatch_and_tell, wait_later
