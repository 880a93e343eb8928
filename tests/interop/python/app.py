"""The Python half of a mixed cluster: a stock Celery app, configured by environment, with small tasks.

    INTEROP_BROKER=amqp://… INTEROP_BACKEND=redis://… python -m celery -A app worker -Q python --pool=solo

The worker in the other language has tasks of the same names; either may take a message.
"""

import os
import time

import redis
from celery import Celery
from celery.signals import worker_process_init

backend = os.environ.get("INTEROP_BACKEND") or None
# Where tasks say that they have run.
traces = redis.Redis.from_url(os.environ.get("INTEROP_TRACES") or "redis://")

app = Celery("interop", broker=os.environ.get("INTEROP_BROKER", ""), backend=backend)
app.conf.update(
    task_default_queue=os.environ.get("INTEROP_QUEUE", "python"),
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_deduplicate_successful_tasks=os.environ.get("INTEROP_DEDUPLICATE", "yes") == "yes",
    task_track_started=True,
    result_extended=True,
    worker_prefetch_multiplier=int(os.environ.get("INTEROP_PREFETCH", "4")),
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
def fail(*arguments):
    raise ValueError(arguments[-1])


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
    return [[label, self.request.root_id, self.request.parent_id]]


@app.task(name="interop.ids_after", bind=True)
def ids_after(self, before, label):
    return [*before, [label, self.request.root_id, self.request.parent_id]]


@app.task(name="interop.trace", bind=True)
def trace(self, before=(), child=None):
    """What it was traced with, after what those before it were; and the trace and baggage that it runs in."""
    if child:
        trace.apply_async(queue=child)
    names = ("traceparent", "tracestate", "baggage", "sentry-trace")
    return [*before, {**{name: self.request.get(name) for name in names}, **running_in()}]


def running_in():
    """The span that a task runs in, where tasks are traced."""
    if not os.environ.get("INTEROP_TRACING"):
        return {}
    from opentelemetry import baggage
    from opentelemetry.trace import format_trace_id, get_current_span

    span = get_current_span()
    return {
        "span": span.name, "trace_id": format_trace_id(span.get_span_context().trace_id), "baggage_read": dict(baggage.get_all()),
        "state_read": dict(span.get_span_context().trace_state),
    }


@worker_process_init.connect
def be_traced(**_):
    """As OpenTelemetry says to: in each process that runs tasks."""
    if os.environ.get("INTEROP_TRACING"):
        from opentelemetry import trace as tracing
        from opentelemetry.instrumentation.celery import CeleryInstrumentor
        from opentelemetry.sdk.trace import TracerProvider

        tracing.set_tracer_provider(TracerProvider())
        CeleryInstrumentor().instrument()


@app.task(name="interop.stamps", bind=True)
def stamps(self):
    return [*(self.request.stamped_headers or []), *(self.request.stamps or {}).values()]


@app.task(name="interop.note")
def note(key):
    """Leaves a trace of having run."""
    traces.rpush(key, "ran")


@app.task(name="interop.note_error")
def note_error(task_id, key):
    """An error callback: called with the id of the task that failed."""
    traces.rpush(key, task_id)


@app.task(name="interop.step", bind=True)
def step(self, value, log, label, pause=0):
    """One part of a canvas: says in a list of all, in the order of time, that it has run, then adds one."""
    time.sleep(pause)
    traces.rpush(log, f"{label} {self.request.id} python")
    return (sum(value) if isinstance(value, list) else value) + 1
