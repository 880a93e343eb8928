"""The Python worker of celery_bench.py: a task that does nothing, acknowledged late, its result ignored."""

import os

from celery import Celery
from kombu import Queue

app = Celery("noop", broker=os.environ["BENCH_BROKER"])
app.conf.update(
    task_acks_late=True, task_ignore_result=True, worker_hijack_root_logger=False,
    task_queues=[Queue("bench.classic"), Queue("bench.quorum", queue_arguments={"x-queue-type": "quorum"})],
    broker_connection_retry_on_startup=True,
)


@app.task(name="bench.noop")
def noop():
    pass
