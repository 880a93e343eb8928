"""A stock Celery client for tests: does one thing, prints JSON (one object, or one a line), and ends.

    python peer.py --broker amqp://… send interop.add --args '[1, 2]' --wait 10

A command that was understood exits with 0; what came of it is in the JSON.
"""

import argparse
import base64
import json
import sys
import time

from celery import Celery, chain, chord, group
from celery.exceptions import TimeoutError as WaitedTooLong
from kombu import Connection, Consumer, Exchange, Producer, Queue


def application(arguments):
    app = Celery("peer", broker=arguments.broker, backend=arguments.backend)
    app.conf.broker_transport_options = {"confirm_publish": True}
    return app


def target(arguments):
    """The queue by name only: it belongs to whoever declared it."""
    return Queue(arguments.queue, no_declare=True)


def outcome(result, seconds):
    """State and value of a result; of a failure, the type and text that Python sees."""
    told = {"id": result.id}
    if seconds is not None:
        try:
            result.get(timeout=seconds, propagate=False)
        except WaitedTooLong:
            return {**told, "state": "TIMEOUT"}
        told["state"] = result.state
        value = result.result
        if isinstance(value, BaseException):
            told["error"] = {"type": type(value).__name__, "text": str(value), "traceback": result.traceback}
        else:
            told["result"] = value
    return told


def send(arguments):
    app = application(arguments)
    result = app.send_task(
        arguments.task, args=json.loads(arguments.args), kwargs=json.loads(arguments.kwargs), queue=target(arguments),
        **json.loads(arguments.options),
    )
    show(outcome(result, arguments.wait))


def canvas(arguments):
    """The expression is Python: `chain(task("interop.add", 1, 2), task("interop.add", 3))`."""
    app = application(arguments)
    queue = arguments.queue
    # Inner tasks travel in the message, with their queue by name.
    app.conf.task_queues = [Queue(queue, no_declare=True)]
    app.conf.task_default_queue = queue

    def task(name, *args, immutable=False, **kwargs):
        return app.signature(name, args=args, kwargs=kwargs, immutable=immutable, options={"queue": queue})

    app.set_current()
    signature = eval(arguments.expression, {"task": task, "chain": chain, "group": group, "chord": chord})
    result = signature.apply_async(**json.loads(arguments.options))
    if hasattr(result, "children") and result.__class__.__name__ == "GroupResult":
        show({"id": result.id, "results": [outcome(child, arguments.wait) for child in result.results]})
    else:
        show(outcome(result, arguments.wait))


def result(arguments):
    show(outcome(application(arguments).AsyncResult(arguments.id), arguments.wait))


def inspect(arguments):
    """Replies by node name, as `celery inspect --json` shows them."""
    app = application(arguments)
    replies = app.control.broadcast(
        arguments.method, arguments=json.loads(arguments.arguments), destination=arguments.destination, reply=True,
        timeout=arguments.timeout, limit=arguments.limit,
    )
    show({node: answer for reply in replies for node, answer in reply.items()})


def events(arguments):
    """Each event as a line, until the time is over or the wanted number was seen."""
    app = application(arguments)
    seen = 0
    end = time.monotonic() + arguments.seconds

    def on_event(event):
        nonlocal seen
        seen += 1
        show(event)

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": on_event})
        with receiver.consumer_context() as (_, __, ___):
            print("listening", file=sys.stderr, flush=True)
            while time.monotonic() < end and (not arguments.count or seen < arguments.count):
                try:
                    connection.drain_events(timeout=min(1, max(0.01, end - time.monotonic())))
                except TimeoutError:
                    pass


def publish(arguments):
    """Any message whatever, valid or not."""
    body = base64.b64decode(arguments.base64) if arguments.base64 is not None else arguments.body.encode()
    properties = {"content_type": "application/json", "content_encoding": "utf-8", **json.loads(arguments.properties)}
    with Connection(arguments.broker, transport_options={"confirm_publish": True}) as connection:
        Producer(connection).publish(
            body, exchange=arguments.exchange, routing_key=arguments.routing_key or arguments.queue,
            headers=json.loads(arguments.headers), mandatory=True, **properties,
        )
    show({"bytes": len(body)})


def get(arguments):
    """Takes messages off the queue and shows all of each."""
    with Connection(arguments.broker) as connection:
        channel = connection.channel()
        end = time.monotonic() + arguments.seconds
        left = arguments.count
        while left:
            message = channel.basic_get(arguments.queue)
            if message is None:
                if time.monotonic() > end:
                    break
                time.sleep(0.05)
                continue
            body = message.body if isinstance(message.body, bytes) else message.body.encode()
            show({
                "properties": {name: value for name, value in message.properties.items() if name != "application_headers"}, "headers": message.headers, "redelivered": message.delivery_info["redelivered"],
                "exchange": message.delivery_info["exchange"], "routing_key": message.delivery_info["routing_key"],
                "body": body.decode(errors="replace"), "base64": base64.b64encode(body).decode(),
            })
            channel.basic_ack(message.delivery_tag)
            left -= 1


def listen(arguments):
    """Binds a queue of its own to an exchange and shows what passes, until the time is over or enough was seen."""
    exchange = Exchange(arguments.exchange, type=arguments.type, durable=True)
    seen = 0

    def on_message(message):
        nonlocal seen
        seen += 1
        body = message.body if isinstance(message.body, str) else bytes(message.body).decode(errors="replace")
        show({
            "routing_key": message.delivery_info["routing_key"], "content_type": message.content_type,
            "headers": message.headers, "body": body,
        })
        message.ack()

    end = time.monotonic() + arguments.seconds
    with Connection(arguments.broker) as connection:
        queue = Queue("", exchange=exchange, routing_key=arguments.routing_key or "#", exclusive=True, auto_delete=True)
        with Consumer(connection, queues=[queue], on_message=on_message, accept=None):
            print("listening", file=sys.stderr, flush=True)
            while time.monotonic() < end and (not arguments.count or seen < arguments.count):
                try:
                    connection.drain_events(timeout=min(1, max(0.01, end - time.monotonic())))
                except TimeoutError:
                    pass


def declare(arguments):
    with Connection(arguments.broker) as connection:
        bindings = {}
        if arguments.exchange:
            bindings = {
                "exchange": Exchange(arguments.exchange, type=arguments.type, durable=True),
                "routing_key": arguments.routing_key or arguments.queue,
            }
        Queue(arguments.queue, queue_arguments=json.loads(arguments.arguments), **bindings)(connection).declare()
    show({"queue": arguments.queue})


def show(value):
    print(json.dumps(value, default=repr), flush=True)


def parse():
    parser = argparse.ArgumentParser(description="A stock Celery client for tests.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--backend", help="result backend: rpc://, redis://…, db+postgresql://…")
    parser.add_argument("--queue", default="interop")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(function, *names):
        added = commands.add_parser(function.__name__, help=function.__doc__)
        added.set_defaults(run=function)
        for name in names:
            added.add_argument(name)
        return added

    for added in (command(send, "task"), command(canvas, "expression"), command(result, "id")):
        added.add_argument("--args", default="[]")
        added.add_argument("--kwargs", default="{}")
        added.add_argument("--options", default="{}", help="further options of apply_async, as JSON")
        added.add_argument("--wait", type=float, help="seconds to wait for the result")

    added = command(inspect, "method")
    added.add_argument("--arguments", default="{}")
    added.add_argument("--destination", action="append")
    added.add_argument("--timeout", type=float, default=2)
    added.add_argument("--limit", type=int, help="end after so many replies")

    added = command(events)
    added.add_argument("--seconds", type=float, default=10)
    added.add_argument("--count", type=int)

    added = command(publish)
    added.add_argument("--exchange", default="")
    added.add_argument("--routing-key")
    added.add_argument("--properties", default="{}")
    added.add_argument("--headers", default="{}")
    added.add_argument("--body", default="")
    added.add_argument("--base64")

    added = command(get)
    added.add_argument("--count", type=int, default=1)
    added.add_argument("--seconds", type=float, default=0, help="how long to wait for messages")

    added = command(listen)
    added.add_argument("--exchange", required=True)
    added.add_argument("--type", default="topic")
    added.add_argument("--routing-key")
    added.add_argument("--seconds", type=float, default=10)
    added.add_argument("--count", type=int)

    added = command(declare)
    added.add_argument("--arguments", default='{"x-queue-type": "quorum"}')
    added.add_argument("--exchange")
    added.add_argument("--type", default="topic")
    added.add_argument("--routing-key")
    return parser.parse_args()


if __name__ == "__main__":
    parsed = parse()
    parsed.run(parsed)
