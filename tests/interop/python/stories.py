"""Stories of stock Celery with a worker that it takes for its own: each check prints a line of JSON, and none may be false.

    python stories.py --broker amqp://… --backend redis://… producers

Queues `ours` and `python` belong to one worker each; the tasks are those of app.py, known to both.
"""

import argparse
import datetime
import decimal
import json
import subprocess
import sys
import time
import uuid

import celery
import redis
from celery import Celery, chain, chord, group
from celery.canvas import chunks, xmap, xstarmap
from celery.exceptions import TimeoutError as WaitedTooLong

OURS, PYTHON = "ours", "python"
PATIENCE = 40
checked = 0


def check(name, got, wanted):
    """One line for one thing that must hold."""
    global checked
    checked += 1
    told = {"check": name, "ok": got == wanted}
    if not told["ok"]:
        told.update(got=repr(got)[:2000], wanted=repr(wanted)[:2000])
    print(json.dumps(told), flush=True)


def outcome(result, seconds=PATIENCE):
    """The value, or the name and arguments of the exception; or that nothing came."""
    try:
        return result.get(timeout=seconds, disable_sync_subtasks=False)
    except WaitedTooLong:
        return f"nothing came: {result.id} is {result.state}"
    except Exception as error:  # noqa: BLE001: whatever the caller would see
        return (type(error).__name__, *error.args)


def application(arguments):
    app = Celery("stories", broker=arguments.broker, backend=arguments.backend)
    app.conf.update(
        task_default_queue=OURS, task_create_missing_queues=True, task_queues=None, broker_transport_options={"confirm_publish": True},
        result_extended=True, task_queue_max_priority=None,
    )
    app.set_default()
    app.traces = redis.Redis.from_url(arguments.traces)
    return app


def wait_until(holds, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = holds()
        if found:
            return found
        time.sleep(0.05)
    return holds()


# Producers: every way in which a stock producer writes a message.

STRANGE = "Zürich ☃ \U0001f600 \" \\ \u0000"


def producers(app, _):
    def send(name, *args, **options):
        kwargs = options.pop("kwargs", {})
        return app.send_task(f"interop.{name}", args=args, kwargs=kwargs, queue=OURS, **options)

    check("positional arguments", outcome(send("add", 2, 3)), 5)
    check("keyword arguments", outcome(send("add", kwargs={"x": 2, "y": 3})), 5)
    check("mixed arguments", outcome(send("add", 2, kwargs={"y": 3})), 5)
    check("every option at once", outcome(send(
        "add", 2, 3, countdown=1, expires=120, priority=5, time_limit=30, soft_time_limit=20.5, shadow="alias",
        headers={"x-custom": "abc"}, retry=True, task_id=str(uuid.uuid4()), origin="story",
    )), 5)
    eta = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=5))) + datetime.timedelta(seconds=1)
    check("eta of another time zone", outcome(send("add", 2, 3, eta=eta)), 5)
    check("expired before it came", outcome(send("add", 2, 3, expires=datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)))[0]
          if app.conf.result_backend else None, "TaskRevokedError")
    check("a task id that is no UUID", outcome(send("add", 2, 3, task_id=f"order/{uuid.uuid4()}/ü")), 5)
    values = [None, True, 0, -1, 2**53, 2**63 - 1, 1.5, -0.0, 1e300, "", STRANGE, [], {}, [[[]]], {"a": {"b": [1, None]}}]
    check("json values go and come unchanged", outcome(send("identity", values)), values)
    typed = [
        datetime.datetime(2026, 11, 21, 10, 30, 5, 123456, tzinfo=datetime.timezone.utc), datetime.date(2026, 11, 21),
        datetime.time(10, 30, 5), decimal.Decimal("1.10"), uuid.UUID(int=7), b"text", b"\xff\x00",
    ]
    got = outcome(send("identity", typed))
    check("typed values go and come unchanged", [str(value) for value in got] if isinstance(got, list) else got, [str(value) for value in typed])
    for name in ("zlib", "bzip2", "lzma", "brotli", "zstd"):
        check(f"compressed by {name}", outcome(send("identity", "x" * 10_000, compression=name)), "x" * 10_000)
    for name in ("yaml", "msgpack"):
        check(f"arguments in {name}", outcome(send("identity", {"a": [1, None, "ü"]}, serializer=name)), {"a": [1, None, "ü"]})
    one = send("add", 1, 1, link=app.signature("interop.add", args=(10,), options={"queue": OURS}))
    check("a task with a link", outcome(one), 2)
    check("its link is its child", wait_until(lambda: [outcome(child) for child in one.children or []]), [12])
    check("stamps travel", outcome(_stamped(app)), ["story", "v1"])
    check("protocol 1", outcome(_protocol_one(app)), 5)
    check("ignored result", send("add", 1, 2, ignore_result=True).get(timeout=1), None)


def _stamped(app):
    signature = app.signature("interop.stamps", options={"queue": OURS})
    signature.stamp(story="v1")
    return signature.apply_async()


def _protocol_one(app):
    old = Celery("old", broker=app.conf.broker_url, backend=app.conf.result_backend)
    old.conf.update(task_protocol=1, task_default_queue=OURS)
    return old.send_task("interop.add", args=(2, 3), queue=OURS)


# Results, as another process reads them.

def results(app, arguments):
    task_id = str(uuid.uuid4())
    app.send_task("interop.add", args=(2, 3), queue=OURS, task_id=task_id)
    check("another process gets the result", elsewhere(arguments, task_id), {"state": "SUCCESS", "value": 5})
    task_id = str(uuid.uuid4())
    app.send_task("interop.fail", args=("boom",), queue=OURS, task_id=task_id)
    told = elsewhere(arguments, task_id)
    check("another process gets the exception", (told["state"], told.get("type"), told.get("args")), ("FAILURE", "ValueError", ["boom"]))
    check("with a traceback", "ValueError" in (told.get("traceback") or ""), True)
    retried = app.send_task("interop.retry_once", queue=OURS)
    check("a retried task", outcome(retried), 1)
    retried = app.send_task("interop.retry_once", kwargs={"countdown": 2}, queue=OURS)
    check("is RETRY meanwhile", wait_until(lambda: retried.state == "RETRY" and "RETRY"), "RETRY")
    check("and comes through", outcome(retried), 1)
    check("an unknown task", outcome(app.send_task("interop.nobody", queue=OURS))[0], "NotRegistered")
    check("wrong arguments", outcome(app.send_task("interop.add", args=(1, 2, 3, 4), queue=OURS))[0], "TypeError")
    check("a hard time limit", outcome(app.send_task("interop.sleep", args=(30,), queue=OURS, time_limit=1))[0], "TimeLimitExceeded")
    check("a soft time limit", outcome(app.send_task("interop.sleep", args=(30,), queue=OURS, soft_time_limit=1))[0],
          "SoftTimeLimitExceeded")
    running = app.send_task("interop.sleep", args=(2,), queue=OURS)
    check("STARTED is told", wait_until(lambda: running.state == "STARTED" and "STARTED", 10), "STARTED")
    check("its worker is named", isinstance(running.info, dict) and "hostname" in running.info, True)


def elsewhere(arguments, task_id):
    """The result as a process sees it that knows nothing but the id."""
    program = (
        "import json, sys; from celery import Celery; from celery.result import AsyncResult\n"
        "app = Celery(backend=sys.argv[1]); result = AsyncResult(sys.argv[2], app=app)\n"
        "value = result.get(timeout=40, propagate=False)\n"
        "told = {'state': result.state}\n"
        "told.update({'type': type(value).__name__, 'args': list(value.args), 'traceback': result.traceback}\n"
        "            if isinstance(value, BaseException) else {'value': value})\n"
        "print(json.dumps(told))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, arguments.backend, task_id], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout)


# Canvas whose parts lie in both languages.

def canvas(app, _):
    def on(queue, name, *args, immutable=False, **kwargs):
        return app.signature(f"interop.{name}", args=args, kwargs=kwargs, immutable=immutable, options={"queue": queue})

    for first, second, names in ((OURS, PYTHON, "ours to Python"), (PYTHON, OURS, "Python to ours")):
        def add(queue, *args, **kwargs):
            return on(queue, "add", *args, **kwargs)

        check(f"a chain from {names}", outcome(chain(add(first, 1, 1), add(second, 2), add(first, 3), add(second, 4)).apply_async()), 11)
        check(f"an immutable link of a chain, {names}", outcome(chain(add(first, 1, 1), add(second, 5, 5, immutable=True)).apply_async()), 10)
        check(f"a group, {names}", outcome(group(add(first, 1, 1), add(second, 2, 2), add(first, 3, 3)).apply_async()), [2, 4, 6])
        check(f"a chord with half its header here, {names}", outcome(
            chord([add(first, 1, 1), add(second, 2, 2), add(first, 3, 3), add(second, 4, 4)], on(second, "total")).apply_async()), 20)
        check(f"a chain into a chord and on, {names}", outcome(chain(
            add(first, 1, 1), group(add(second, 1), add(first, 2)), on(second, "total"), add(first, 10)).apply_async()), 17)
        check(f"a group of chains, {names}", outcome(group(
            chain(add(first, 1, 1), add(second, 1)), chain(add(second, 2, 2), add(first, 1))).apply_async()), [3, 5])
        check(f"a chord of chords, {names}", outcome(chord(
            [chord([add(first, 1, 1), add(second, 1, 1)], on(first, "total")), chord([add(second, 2, 2), add(first, 2, 2)], on(second, "total"))],
            on(first, "total")).apply_async()), 12)
        check(f"a failure ends a chain, {names}", outcome(chain(
            add(first, 1, 1), on(second, "fail", "boom", immutable=True), add(first, 1)).apply_async()), ("ValueError", "boom"))
        body = chord([add(first, 1, 1), on(second, "fail", "boom")], on(first, "total")).apply_async()
        # Asked by its id alone: a result that knows its header raises the header's exception instead.
        check(f"a failure in a header, {names}", outcome(app.AsyncResult(body.id))[0], "ChordError")
        key = f"errors-{uuid.uuid4()}"
        failing = on(first, "fail", "boom").on_error(on(second, "note_error", key))
        check(f"link_error: the failure, {names}", outcome(failing.apply_async()), ("ValueError", "boom"))
        check(f"link_error: is run, {names}", wait_until(lambda: noted(app, key)), 1)
        key = f"errors-{uuid.uuid4()}"
        failing = on(first, "fail", "boom").on_error(on(first, "note_error", key))
        outcome(failing.apply_async())
        check(f"link_error: on the same worker, {names}", wait_until(lambda: noted(app, key)), 1)
    told = outcome(chain(on(OURS, "ids", "a"), on(PYTHON, "ids_after", "b"), on(OURS, "ids_after", "c")).apply_async())
    roots = {entry[1] for entry in told} if isinstance(told, list) else told
    check("a chain has one root", isinstance(roots, set) and len(roots) == 1, True)
    check("each link has its parent", [entry[2] is None for entry in told], [True, False, False])
    for kind in ("map", "starmap", "chunks"):
        it = [[1, 2], [3, 4], [5, 6]]
        signature = on(OURS, "add" if kind != "map" else "total")
        called = {"map": lambda: xmap(signature, it), "starmap": lambda: xstarmap(signature, it), "chunks": lambda: chunks(signature, it, 2).group()}
        wanted = [[3, 7], [11]] if kind == "chunks" else [3, 7, 11]
        sent = called[kind]()
        for member in sent.tasks if kind == "chunks" else [sent]:
            member.set(queue=OURS)
        check(kind, outcome(sent.apply_async()), wanted)


def noted(app, key):
    return app.traces.llen(key)


# Traces, as OpenTelemetry's instrumentation of Celery writes and reads them.

SEEN = {"tracestate": "vendor=opaque", "baggage": "ordering=o-1%2F%C3%BC", "sentry-trace": "of-another-tracer"}


def tracing(app, _):
    from opentelemetry import baggage, context, trace
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    CeleryInstrumentor().instrument()
    outside = trace.SpanContext(
        0x4BF92F3577B34DA6A3CE929D0E0E4736, 0xF067AA0BA902B7, is_remote=True, trace_flags=trace.TraceFlags(1),
        trace_state=trace.TraceState([("vendor", "opaque")]),
    )
    context.attach(baggage.set_baggage("ordering", "o-1/ü", trace.set_span_in_context(trace.NonRecordingSpan(outside))))
    trace_id = trace.format_trace_id(outside.trace_id)

    def on(queue, **kwargs):
        return app.signature("interop.trace", kwargs=kwargs, options={"queue": queue, "headers": {"sentry-trace": SEEN["sentry-trace"]}})

    with trace.get_tracer("story").start_as_current_span("checkout"):
        chained = outcome(chain(on(OURS), on(PYTHON), on(OURS)).apply_async())
        parent = on(OURS, child=PYTHON).apply_async()
    if not isinstance(chained, list):
        return check("a chain that is traced", chained, "a list")
    first, second, third = chained
    check("ours is given what the producer wrote", {name: first[name] for name in SEEN}, SEEN)
    check("in the producer's trace, and not under its outermost span", parts(first)[:2] + [parts(first)[2] != parts_of(outside)], [2, trace_id, True])
    check("what follows ours is given the same, whole", {name: second[name] for name in (*SEEN, "traceparent")},
          {name: first[name] for name in (*SEEN, "traceparent")})
    check("Python's worker runs it in that trace", (second["span"], second["trace_id"]), ("run/interop.trace", trace_id))
    check("with its baggage and its state", (second["baggage_read"], second["state_read"]), ({"ordering": "o-1/ü"}, {"vendor": "opaque"}))
    check("and hands on to ours as one of its own spans", (parts(third)[1], parts(third)[2] != parts(second)[2], third["baggage"]),
          (trace_id, True, SEEN["baggage"]))
    of_parent = outcome(parent)[0]
    children = wait_until(lambda: parent.children) or []
    of_child = [outcome(child)[0] for child in children]
    check("a child that ours sends is in the trace of its parent", [(child["traceparent"], child["trace_id"], child["baggage_read"]) for child in of_child],
          [(of_parent["traceparent"], trace_id, {"ordering": "o-1/ü"})])


def parts(seen):
    """The length of the version, the trace and the span of a `traceparent`."""
    version, trace_id, span_id, _ = (seen["traceparent"] or "---").split("-")
    return [len(version), trace_id, span_id]


def parts_of(span):
    return f"{span.span_id:016x}"


# Clients and workers of an older version: they send, wait, and chain across.

def older(app, _):
    def on(queue, name, *args, **kwargs):
        return app.signature(f"interop.{name}", args=args, kwargs=kwargs, options={"queue": queue})

    def add(queue, *args):
        return on(queue, "add", *args)

    print(f"Celery {celery.__version__}")
    check("a task", outcome(add(OURS, 2, 3).apply_async()), 5)
    check("with a countdown, an expiry and a limit", outcome(on(OURS, "identity", "x").apply_async(countdown=1, expires=60, time_limit=30)), "x")
    check("its exception", outcome(on(OURS, "fail", "boom").apply_async()), ("ValueError", "boom"))
    check("a retried task", outcome(on(OURS, "retry_once").apply_async()), 1)
    for first, second, names in ((OURS, PYTHON, "ours to Python"), (PYTHON, OURS, "Python to ours")):
        check(f"a chain from {names}", outcome(chain(add(first, 1, 1), add(second, 2), add(first, 3)).apply_async()), 7)
        header = [add(first, 1, 1), add(second, 2, 2), add(first, 3, 3), add(second, 4, 4)]
        check(f"a chord with half its header here, {names}", outcome(chord(header, on(second, "total")).apply_async()), 20)
        failing = chord([add(first, 1, 1), on(second, "fail", "boom")], on(first, "total")).apply_async()
        check(f"a failure in a header, {names}", outcome(app.AsyncResult(failing.id))[0], "ChordError")
    # Of Python's own failures an older worker calls an error callback of two arguments in another way, whoever it is for.
    key = f"errors-{uuid.uuid4()}"
    outcome(on(OURS, "fail", "boom").on_error(on(PYTHON, "note_error", key)).apply_async())
    check("link_error, ours to Python", wait_until(lambda: noted(app, key)), 1)
    answers = app.control.inspect(timeout=2).ping() or {}
    check("both answer", sorted(answer["ok"] for answer in answers.values()), ["pong", "pong"])


# What our worker sends to a worker that knows neither Python's signatures nor positional arguments.

def linked(app, arguments):
    after = app.signature("interop.add", kwargs={"x": 40, "y": 2}, options={"queue": arguments.to}, immutable=True)
    check("a task of ours with a link", outcome(app.send_task("interop.add", args=(2, 3), queue=OURS, link=after)), 5)


# Revocation of a task that waits, of one that is scheduled, of one that runs.

def revoke(app, arguments):
    blockers = [app.send_task("interop.sleep", args=(3,), queue=OURS) for _ in range(arguments.concurrency)]
    waiting = app.send_task("interop.note", args=(f"ran-{uuid.uuid4()}",), queue=OURS)
    app.control.revoke(waiting.id, reply=True, timeout=5, limit=2)
    check("a task that waits", revoked(waiting), ("TaskRevokedError", "revoked"))
    key = f"ran-{uuid.uuid4()}"
    scheduled = app.send_task("interop.note", args=(key,), queue=OURS, countdown=4)
    wait_until(lambda: app.control.inspect(timeout=1).query_task(scheduled.id), 5)
    time.sleep(0.5)
    app.control.revoke(scheduled.id, reply=True, timeout=5, limit=2)
    check("a task that is scheduled", revoked(scheduled), ("TaskRevokedError", "revoked"))
    [outcome(blocker) for blocker in blockers]
    running = app.send_task("interop.sleep", args=(60,), queue=OURS)
    wait_until(lambda: running.state == "STARTED", 10)
    begun = time.monotonic()
    running.revoke(terminate=True, signal="SIGTERM")
    check("a task that runs", revoked(running), ("TaskRevokedError", "terminated"))
    check("it ended before its time", time.monotonic() - begun < 30, True)
    time.sleep(4)
    check("what was revoked has not run", app.traces.llen(key), 0)


def revoked(result):
    return outcome(result)[:2]


def main():
    parser = argparse.ArgumentParser(description="Stories of stock Celery with our worker.")
    parser.add_argument("--broker", required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--traces", required=True, help="the Redis in which tasks say that they have run")
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--to", help="the queue that a link goes to")
    parser.add_argument("story", choices=("producers", "results", "canvas", "tracing", "older", "linked", "revoke"))
    arguments = parser.parse_args()
    globals()[arguments.story](application(arguments), arguments)
    assert checked, "a story checks something"


if __name__ == "__main__":
    main()
