"""The Python half of a mixed cluster: a stock Celery app, configured by environment, with small tasks.

    INTEROP_BROKER=amqp://… INTEROP_BACKEND=redis://… python -m celery -A app worker -Q interop --pool=solo

Tasks of the same names may be registered by a worker in another language; either may take a message.
"""

import os
import time

from celery import Celery
from kombu import Queue

broker = os.environ.get("INTEROP_BROKER", "")
backend = os.environ.get("INTEROP_BACKEND") or None
queue = os.environ.get("INTEROP_QUEUE", "interop")
# `no_declare`: the queue is there already, with whatever arguments the other side gave it.
declared = os.environ.get("INTEROP_DECLARE", "quorum")

app = Celery("interop", broker=broker, backend=backend)
app.conf.update(
    task_default_queue=queue,
    task_queues=[
        Queue(
            queue,
            no_declare=declared == "no",
            queue_arguments={"x-queue-type": "quorum"} if declared == "quorum" else None,
        )
    ],
    task_acks_late=True,
    task_track_started=True,
    result_extended=True,
    worker_send_task_events=True,
    task_send_sent_event=True,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
)


@app.task(name="interop.add")
def add(x, y):
    return x + y


@app.task(name="interop.total")
def total(numbers):
    return sum(numbers)


@app.task(name="interop.identity")
def identity(value):
    return value


@app.task(name="interop.fail")
def fail(text):
    raise ValueError(text)


@app.task(name="interop.sleep")
def sleep(seconds):
    time.sleep(seconds)
    return seconds


@app.task(name="interop.retry_once", bind=True, max_retries=3)
def retry_once(self, countdown=0):
    if self.request.retries == 0:
        raise self.retry(countdown=countdown)
    return self.request.retries


@app.task(name="interop.ids", bind=True)
def ids(self, label):
    request = self.request
    return [label, request.root_id, request.parent_id]
