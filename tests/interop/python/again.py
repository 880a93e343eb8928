"""The last part of a chord is handed to a worker again: the first one died after it had stored the result, before it counted.

    python again.py --broker amqp://… --backend redis://… --traces redis://… --ours '["celery-worker", …]'

The dead worker is played here, with Celery's own backend: it takes the messages, finishes the first part, stores the SUCCESS of the
last, and gives that message back. Whoever takes it then has to publish the body. Each check prints a line of JSON.
"""

import argparse
import json
import os
import pathlib
import sys
import tempfile
import time

import redis
from celery import Celery, chord
from celery.app.task import Context
from celery.exceptions import TimeoutError as WaitedTooLong
from kombu import Queue

from mixed import Worker, completed_before, python_worker

PATIENCE = 40


def half_done(app, queue, log):
    """A chord of two parts, as a worker leaves it that is killed between the result of the last part and its counting."""
    def step(label, *value):
        return app.signature("interop.step", args=value, kwargs={"log": log, "label": label}).set(queue=queue)

    result = chord([step("part0", 1), step("part1", 2)], step("body")).apply_async()
    with app.connection_for_read() as connection:
        messages = Queue(queue, no_declare=True)(connection.default_channel)
        for last in (False, True):
            message = messages.get()
            (value,), kwargs, embed = message.payload
            redis.Redis.from_url(app.conf.traces).rpush(log, f"{kwargs['label']} {message.headers['id']} dead")
            request = Context({**message.headers, "chord": embed["chord"]})
            if last:
                app.backend.store_result(request.id, value + 1, "SUCCESS", request=request)
                message.reject(requeue=True)
            else:
                app.backend.mark_as_done(request.id, value + 1, request=request)
                message.ack()
    return result


def left(app, queue):
    """How many messages nobody has finished."""
    with app.connection_for_read() as connection:
        return connection.default_channel.queue_declare(queue, passive=True).message_count


def what_comes_of_it(app, name, command, environment):
    """The value of the body, or that its part was taken for done and nothing else will come."""
    log = f"again-{name}-{os.getpid()}"
    result = half_done(app, f"again-{name}", log)
    with tempfile.TemporaryDirectory(prefix="again-") as folder:
        folder = pathlib.Path(folder)
        worker = Worker(name, command, environment, folder)
        end = time.monotonic() + PATIENCE
        try:
            while time.monotonic() < end:
                try:
                    return result.get(timeout=1)
                except WaitedTooLong:
                    # It says so before it acknowledges; a body would have been sent before that.
                    if completed_before(folder / f"{name}.log") and left(app, f"again-{name}") == 0:
                        return "taken for done"
        finally:
            # Ends in peace: what it had in hand would be back in the queue.
            worker.stop()
        print((folder / f"{name}.log").read_text(errors="replace")[-6000:], file=sys.stderr)
        return "nothing came"


def check(name, got, wanted):
    told = {"check": name, "ok": got == wanted}
    if not told["ok"]:
        told.update(got=repr(got), wanted=repr(wanted))
    print(json.dumps(told), flush=True)


def main():
    parser = argparse.ArgumentParser(description="The last part of a chord, handed again after its worker died.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--traces", required=True)
    parser.add_argument("--ours", required=True, help="the command of our worker, which consumes again-ours, as a JSON list")
    arguments = parser.parse_args()
    app = Celery("again", broker=arguments.broker, backend=arguments.backend)
    app.conf.update(broker_transport_options={"confirm_publish": True}, result_extended=True, traces=arguments.traces)
    app.set_default()
    environment = {**os.environ, "INTEROP_BROKER": arguments.broker, "INTEROP_BACKEND": arguments.backend, "INTEROP_TRACES": arguments.traces}

    check("ours sends the body", what_comes_of_it(app, "ours", json.loads(arguments.ours), environment), 6)
    for name, deduplicates, wanted in [("python", "", 6), ("deduplicating", "yes", "taken for done")]:
        queue = {"INTEROP_QUEUE": f"again-{name}", "INTEROP_DEDUPLICATE": deduplicates}
        got = what_comes_of_it(app, name, python_worker(f"again-{name}"), {**environment, **queue})
        check(f"{name}: {'no body' if deduplicates else 'the body'}", got, wanted)


if __name__ == "__main__":
    main()
