"""Stock tools that watch and manage a worker: `celery status`, `celery inspect`, `celery events --dump`, an event receiver, Flower.

    python watch.py --broker amqp://… --backend redis://… --node ours@host events

Each check prints a line of JSON, and none may be false.
"""

import argparse
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import kombu
from amqp.exceptions import ChannelError
from celery import Celery

from stories import OURS, check, outcome, wait_until

HERE = pathlib.Path(__file__).resolve().parent
COMMON = {"hostname", "utcoffset", "pid", "clock", "timestamp", "type", "local_received"}
FIELDS = {
    "worker-heartbeat": {"freq", "active", "processed", "loadavg", "sw_ident", "sw_ver", "sw_sys"},
    "task-received": {"uuid", "name", "args", "kwargs", "root_id", "parent_id", "retries", "eta", "expires"},
    "task-started": {"uuid"},
    "task-succeeded": {"uuid", "result", "runtime"},
    "task-failed": {"uuid", "exception", "traceback"},
    "task-retried": {"uuid", "exception", "traceback"},
    "task-revoked": {"uuid", "terminated", "signum", "expired"},
}


def application(arguments):
    app = Celery("watch", broker=arguments.broker, backend=arguments.backend)
    app.conf.update(task_default_queue=OURS, broker_transport_options={"confirm_publish": True})
    app.set_default()
    return app


def celery(arguments, *command, seconds=30):
    """The program as its user types it."""
    ran = subprocess.run(
        [sys.executable, "-m", "celery", "-b", arguments.broker, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=seconds,
    )
    return ran.returncode, ran.stdout


# The command line.

def tools(app, arguments):
    code, said = celery(arguments, "status", "--timeout", "5")
    check("celery status", (code, f"{arguments.node}: OK" in said), (0, True))
    code, said = celery(arguments, "inspect", "ping", "-d", arguments.node, "-t", "5", "--json")
    check("celery inspect ping", (code, json.loads(said)), (0, {arguments.node: {"ok": "pong"}}))
    code, said = celery(arguments, "inspect", "registered", "-d", arguments.node, "-t", "5", "--json")
    check("celery inspect registered", (code, "interop.add" in json.dumps(json.loads(said))), (0, True))
    code, said = celery(arguments, "inspect", "stats", "-d", arguments.node, "-t", "5")
    check("celery inspect stats, as text", (code, "max-concurrency" in said), (0, True))
    code, said = celery(arguments, "control", "rate_limit", "interop.nobody", "10/m", "-d", arguments.node, "-t", "5")
    check("celery control with an unknown task", (code, "unknown task" in said), (0, True))
    code, said = celery(arguments, "inspect", "ping", "-d", "nobody@nowhere", "-t", "1")
    check("celery inspect of nobody", code, 69)
    check("celery control add_consumer and cancel_consumer", moved(app, arguments), "taken, then left")
    check("celery events --dump", dumped(app, arguments), True)


# What was typed when two workers were started.

def flags(app, arguments):
    first, second = arguments.node, "second@flags"
    code, said = celery(arguments, "status", "--timeout", "5")
    check("-n: celery status", (code, f"{first}: OK" in said, f"{second}: OK" in said), (0, True, True))

    def inspect(what, node):
        code, said = celery(arguments, "inspect", what, "-d", node, "-t", "5", "--json")
        return json.loads(said)[node] if code == 0 else said

    def queues(node):
        return sorted(queue["name"] for queue in inspect("active_queues", node))

    check("-Q", (queues(first), queues(second)), (["reports", "waybill"], ["waybill.payments"]))
    stats, other = inspect("stats", first), inspect("stats", second)
    check("-c", stats["pool"]["max-concurrency"], 3)
    check("--prefetch-multiplier, for each of its queues", stats["prefetch_count"], 2 * 2 * 3)
    check("--autoscale", ([other["autoscaler"][name] for name in ("max", "min")], other["pool"]["max-concurrency"]), ([10, 3], 3))
    conf, other = inspect("conf", first), inspect("conf", second)
    check("--time-limit and --soft-time-limit are told", (conf["task_time_limit"], conf["task_soft_time_limit"]), (1, 30.5))
    check("no limits", (other.get("task_time_limit"), other.get("task_soft_time_limit")), (None, None))
    check("-E is told", (conf["worker_send_task_events"], other["worker_send_task_events"]), (True, False))
    # The queue is the worker's, a quorum queue, and is there.
    queue = kombu.Queue("waybill", no_declare=True)
    check("--accept-content", outcome(app.send_task("waybill.nobody", queue=queue, serializer="yaml"))[0], "NotRegistered")
    check("and nothing else", outcome(app.send_task("waybill.nobody", queue=queue, serializer="msgpack"))[0] != "NotRegistered", True)
    seen = []

    def told(kind, node):
        return [event for event in seen if event["type"] == kind and event["hostname"] == node]

    def note(event):
        if not seen:
            app.send_task("waybill.create_delivery_order", kwargs={"event_id": "e-1", "payment": PAYMENT}, queue=queue)
        seen.append(event)
        receiver.should_stop = bool(told("task-failed", first)) and len(told("worker-heartbeat", first)) > 3

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        receiver.capture(limit=None, timeout=40, wakeup=True)
    # Its partner never answers the booking.
    check("--time-limit", [event["exception"] for event in told("task-failed", first)][:1], ["TimeLimitExceeded(1)"])
    kinds = {event["type"] for event in seen if event["hostname"] == first}
    check("-E: events of tasks", kinds >= {"task-received", "task-started", "task-succeeded", "task-failed"} or kinds, True)
    # The receiver asks everybody for one.
    check("--heartbeat-interval", {event["freq"] for event in told("worker-heartbeat", first)} >= {1}, True)
    check("--without-heartbeat", (len(told("worker-heartbeat", first)) > 3, len(told("worker-heartbeat", second)) <= 1), (True, True))


ADDRESS = {"name": "A. Reader", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"}
PAYMENT = {
    "payment_id": "pay-1", "ordering_id": "ord-1", "customer_id": "cus-1", "locale": "de", "amount": {"minor_units": 4599, "currency": "EUR"},
    "pickup": ADDRESS, "dropoff": ADDRESS, "items": [{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}],
}


def moved(app, arguments):
    """What becomes of tasks in a queue that the worker is told to consume, and told to consume no more."""
    # The queue is the worker's: it makes what is missing, as a quorum queue.
    queue = kombu.Queue("added", no_declare=True)
    code, said = celery(arguments, "control", "add_consumer", "added", "-d", arguments.node, "-t", "5")
    if code:
        return code, said
    inspect = app.control.inspect([arguments.node], timeout=3)

    def names():
        return [queue["name"] for queue in (inspect.active_queues() or {}).get(arguments.node, [])]

    def consumers():
        with app.connection_for_read() as connection:
            return kombu.Queue("added", channel=connection.channel(), no_declare=True).queue_declare(passive=True).consumer_count

    wait_until(lambda: "added" in names() and exists(consumers) == 1, 20)
    taken = outcome(app.send_task("interop.add", args=(2, 3), queue=queue))
    if taken != 5:
        return taken
    code, said = celery(arguments, "control", "cancel_consumer", "added", "-d", arguments.node, "-t", "5")
    if code or not wait_until(lambda: "added" not in names() and exists(consumers) == 0, 20):
        return code, said, names()
    left = app.send_task("interop.add", args=(2, 3), queue=queue)
    inspect.ping()
    return "taken, then left" if left.state == "PENDING" else left.state


def exists(count):
    """How many consumers a queue has; nothing while there is no such queue."""
    try:
        return count()
    except ChannelError:
        return None


def dumped(app, arguments):
    dump = subprocess.Popen(
        [sys.executable, "-u", "-m", "celery", "-b", arguments.broker, "events", "--dump"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    try:
        os.set_blocking(dump.stdout.fileno(), False)
        told = ""

        def sees(word):
            nonlocal told
            told += (dump.stdout.read() or b"").decode(errors="replace")
            return word in told

        beats = wait_until(lambda: sees(f"{arguments.node}"), 20)
        result = app.send_task("interop.add", args=(2, 3), queue=OURS)
        outcome(result)
        found = wait_until(lambda: sees(result.id) and sees("task succeeded"), 20)
        return bool(beats and found) or told[-3000:]
    finally:
        dump.terminate()
        dump.wait()


# The events themselves.

def events(app, arguments):
    seen = []
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": seen.append})
        with receiver.consumer_context():
            sent = {
                "good": app.send_task("interop.add", args=(2, 3), queue=OURS), "bad": app.send_task("interop.fail", args=("boom",), queue=OURS),
                "again": app.send_task("interop.retry_once", queue=OURS), "slow": app.send_task("interop.sleep", args=(0.3,), queue=OURS),
            }
            gone = app.send_task("interop.add", args=(1, 1), queue=OURS, countdown=3)
            app.control.revoke(gone.id)
            end = time.monotonic() + 9
            while time.monotonic() < end:
                try:
                    connection.drain_events(timeout=0.5)
                except TimeoutError:
                    pass
    of = {name: [event for event in seen if event.get("uuid") == result.id] for name, result in sent.items()}
    kinds = {name: [event["type"] for event in own] for name, own in of.items()}
    check("events of a task that succeeds", kinds["good"], ["task-received", "task-started", "task-succeeded"])
    check("events of a task that fails", kinds["bad"], ["task-received", "task-started", "task-failed"])
    check("events of a task that is retried", [kind for kind in kinds["again"] if kind != "task-received"],
          ["task-started", "task-retried", "task-started", "task-succeeded"])
    check("events of a task that is revoked", [event["type"] for event in seen if event.get("uuid") == gone.id][-1:], ["task-revoked"])
    for kind, fields in FIELDS.items():
        found = [event for event in seen if event["type"] == kind and event["hostname"] == arguments.node]
        missing = [sorted((fields | COMMON) - set(event)) for event in found]
        # A heartbeat that was asked for carries less, in Python too.
        good = all(not gone for gone in missing) if kind != "worker-heartbeat" else [] in missing
        check(f"fields of {kind}", bool(found) and good or (len(found), missing[:1]), True)
    clocks = [event["clock"] for event in seen if event["hostname"] == arguments.node]
    check("the clock only grows", clocks == sorted(clocks) and len(set(clocks)) == len(clocks) or clocks[:40], True)
    beats = [event["timestamp"] for event in seen if event["type"] == "worker-heartbeat" and event["hostname"] == arguments.node]
    gaps = [round(later - earlier, 1) for earlier, later in zip(beats, beats[1:])]
    # The first may be the one that the receiver asks for.
    check("a heartbeat every two seconds", len(gaps) >= 2 and all(1 <= gap <= 4 for gap in gaps[1:]) or gaps, True)
    runtime = [event["runtime"] for event in of["slow"] if event["type"] == "task-succeeded"]
    check("the runtime is told", len(runtime) == 1 and 0.25 < runtime[0] < 5 or runtime, True)


# Flower.

class Flower:
    """Flower, on a free port, watching the broker."""

    def __init__(self, arguments):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-m", "celery", "-A", "app", "flower", "--address=127.0.0.1",
             f"--port={self.port}", "--logging=warning", "--inspect_timeout=3000"],
            cwd=HERE, env={
                **os.environ, "FLOWER_UNAUTHENTICATED_API": "true", "INTEROP_BROKER": arguments.broker, "INTEROP_BACKEND": arguments.backend,
            }, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def ask(self, path, form=None):
        data = urllib.parse.urlencode(form).encode() if form is not None else None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", data, timeout=20) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except OSError as error:
            return 0, str(error)

    def json(self, path, form=None):
        status, text = self.ask(path, form)
        try:
            return json.loads(text)
        except ValueError:
            return {"status": status, "text": text[:500]}


def flower(app, arguments):
    node = arguments.node
    flower = Flower(arguments)
    try:
        check("Flower is up", bool(wait_until(lambda: flower.ask("/healthcheck")[0] == 200, 30)), True)
        check("it sees the worker", bool(wait_until(lambda: node in flower.json("/api/workers?refresh=1"), 30)), True)
        told = flower.json(f"/api/workers?refresh=1&workername={node}").get(node, {})
        for name in ("stats", "active_queues", "registered", "scheduled", "active", "reserved", "revoked", "conf"):
            check(f"it knows {name} of the worker", name in told or sorted(told), True)
        online = wait_until(lambda: [row for row in flower.json("/workers?json=1").get("data", []) if row.get("hostname") == node and row.get("status")], 20)
        check("the list of workers says that it is online", bool(online), True)
        good, bad = app.send_task("interop.add", args=(2, 3), queue=OURS), app.send_task("interop.fail", args=("boom",), queue=OURS)
        wait_until(lambda: flower.json("/api/tasks").get(bad.id, {}).get("state") == "FAILURE", 20)
        tasks = flower.json("/api/tasks")
        shown = {name: tasks.get(result.id, {}) for name, result in (("good", good), ("bad", bad))}
        check("a task that succeeded", [shown["good"].get(name) for name in ("name", "state", "args", "result", "worker")],
              ["interop.add", "SUCCESS", "(2, 3)", "5", node])
        check("a task that failed", [shown["bad"].get(name) for name in ("state", "exception")], ["FAILURE", "ValueError('boom')"])
        check("the details of a task", flower.json(f"/api/task/info/{good.id}").get("state"), "SUCCESS")
        check("the result of a task", flower.json(f"/api/task/result/{good.id}").get("result"), 5)
        for page, word in (("/workers", node), (f"/worker/{node}", "Max concurrency"), ("/tasks", "interop"), (f"/task/{good.id}", "interop.add"), ("/broker", "Broker")):
            status, text = flower.ask(page)
            check(f"the page {page.split('/')[1]}", (status, word in text or page == "/tasks"), (200, True))
        quoted = urllib.parse.quote(node)
        for path, form in (
            (f"/api/worker/pool/grow/{quoted}", {"n": 1}), (f"/api/worker/pool/shrink/{quoted}", {"n": 1}),
            (f"/api/worker/queue/add-consumer/{quoted}", {"queue": "flower"}), (f"/api/worker/queue/cancel-consumer/{quoted}", {"queue": "flower"}),
            ("/api/task/rate-limit/interop.identity", {"workername": node, "ratelimit": "100/m"}),
            ("/api/task/timeout/interop.identity", {"workername": node, "hard": 60, "soft": 30}),
        ):
            status, text = flower.ask(path, form)
            check(f"Flower's {'/'.join(path.split('/')[2:5])}", status if status == 200 else (status, text[:300]), 200)
        later = app.send_task("interop.add", args=(1, 1), queue=OURS, countdown=15)
        wait_until(lambda: later.id in json.dumps(app.control.inspect(destination=[node], timeout=3).scheduled()), 20)
        status, _ = flower.ask(f"/api/task/revoke/{later.id}", {})
        check("Flower revokes a task", (status, outcome(later)[0]), (200, "TaskRevokedError"))
        check("Flower's metrics", node in flower.ask("/metrics")[1], True)
        if arguments.screenshot:
            photograph(f"http://127.0.0.1:{flower.port}/workers", arguments.screenshot)
    finally:
        flower.process.terminate()
        flower.process.wait(20)


def photograph(url, path):
    """A picture of a page, by headless Chromium."""
    pathlib.Path(path).unlink(missing_ok=True)
    subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--hide-scrollbars", "--window-size=1280,520", "--virtual-time-budget=8000", f"--screenshot={path}", url],
        timeout=90, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    check("a picture was taken", pathlib.Path(path).exists(), True)


def main():
    parser = argparse.ArgumentParser(description="Watch a worker with stock tools.")
    for name in ("--broker", "--backend", "--node"):
        parser.add_argument(name, required=True)
    parser.add_argument("--traces", help="not needed here")
    parser.add_argument("--screenshot", help="where to put a picture of Flower's page of workers")
    parser.add_argument("story", choices=("tools", "events", "flags", "flower"))
    arguments = parser.parse_args()
    globals()[arguments.story](application(arguments), arguments)


if __name__ == "__main__":
    main()
