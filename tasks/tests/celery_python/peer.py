"""The other side of the tests: a stock Celery that sends tasks to our worker, or is the worker for our tasks.

    python peer.py send|work|latin BROKER_URL QUEUE
"""

import json
import sys

import kombu.compression
from celery import Celery

mode, url, queue = sys.argv[1:]
app = Celery("peer", broker=url, backend="rpc://")
app.conf.update(task_create_missing_queue_type="quorum")


def told(name, **options):
    """What a sender sees of a task."""
    result = app.send_task(name, queue=queue, **options)
    try:
        return [name, "SUCCESS", result.get(timeout=20)]
    except Exception as error:
        return [name, result.state, type(error).__name__, str(error)]


def send():
    full = {"headers": {"x-custom": "abc"}, "priority": 3, "time_limit": 30, "soft_time_limit": 20.5, "shadow": "alias"}
    answers = [
        told("math.add", kwargs={"x": 2, "y": 3}),
        told("math.add", kwargs={"x": 2, "y": 5}, **full),
        told("math.add", kwargs={"x": 2, "y": "three"}),
        told("math.add", args=[2, 3]),
        told("math.add", kwargs={"x": 2, "y": 0}),
        told("math.divide", kwargs={"x": 2, "y": 3}),
        told("math.add", kwargs={"x": 2, "y": 3}, serializer="pickle"),
    ]
    # What this Python has: brotli and zstd are extras of kombu's.
    answers += [
        told("math.add", kwargs={"x": 2, "y": 3}, compression=name)
        for name in ("zlib", "bzip2", "lzma", "brotli", "zstd") if name in kombu.compression._aliases
    ]
    print(json.dumps(answers))


def latin():
    """A message of somebody who writes Latin-1 wherever AMQP says UTF-8, between two others."""
    import amqp

    text = "b\u00fccher".encode("latin-1")
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        channel.queue_bind(queue, "amq.topic", "#")
        bad = dict(correlation_id=text, message_id=text, type=text, application_headers={text: 1, "list": [{text: "x"}]})
        channel.basic_publish(amqp.Message(b"before", correlation_id="b\u00fccher"), "", queue)
        channel.basic_publish(amqp.Message(b"latin", **bad), "amq.topic", text)
        channel.basic_publish(amqp.Message(b"after"), "", queue)


@app.task(name="math.multiply", bind=True)
def multiply(self, x, y):
    request = self.request
    return {"product": x * y, "id": request.id, "kwargsrepr": request.kwargsrepr, "trace": request.get("traceparent")}


if mode == "send":
    send()
elif mode == "latin":
    latin()
else:
    app.worker_main(["worker", "--pool=solo", "--loglevel=WARNING", "-Q", queue, "--without-gossip", "--without-mingle"])
