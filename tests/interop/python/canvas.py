"""Stock Celery beside a Rust worker: `work` consumes a queue, `canvas` sends canvases that cross between both, `read` and `store`
deal with results in a backend. What is found is printed as JSON."""
import argparse
import json
import sys

from celery import Celery, chain, chord, group, signature
from celery.exceptions import TimeoutError
from celery.result import GroupResult
from kombu import Queue

parser = argparse.ArgumentParser()
parser.add_argument("mode", choices=["work", "canvas", "read", "store", "tables"])
parser.add_argument("--broker", default="memory://")
parser.add_argument("--backend", required=True)
parser.add_argument("--theirs", default="theirs")
parser.add_argument("--ours", default="ours")
parser.add_argument("ids", nargs="*")
given = parser.parse_intermixed_args()

app = Celery("canvas", broker=given.broker, backend=given.backend)
app.conf.update(
    task_default_queue=given.theirs,
    task_queues=[Queue(given.theirs), Queue(given.ours)],
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    result_chord_retry_interval=0.3,
)


@app.task(name="math.add")
def add(*numbers):
    return sum(numbers)


@app.task(name="math.sum")
def total(numbers):
    return sum(numbers)


@app.task(name="math.echo")
def echo(*args):
    return list(args)


@app.task(name="math.fail")
def fail(*args):
    raise ValueError("boom")


@app.task(name="math.nan")
def nan():
    return float("nan")


def at(queue):
    """Signatures for one of both sides."""
    return lambda name, *args, **options: signature(f"math.{name}", args=args, queue=queue, app=app, **options)


def canvases():
    p, r = at(given.theirs), at(given.ours)
    both = lambda first, second, count: [(first if i % 2 else second)("add", i, 1) for i in range(count)]
    return {
        "chain, theirs between ours": chain(r("add", 1, 1), p("add", 2), r("add", 3)),
        "chain, ours between theirs": chain(p("add", 1, 1), r("add", 2), p("add", 3)),
        "group of both": group(both(p, r, 5)),
        "chord of both, ours last": chord(both(p, r, 6), r("sum")),
        "chord of both, theirs last": chord(both(p, r, 6), p("sum")),
        "chord in a chain": chain(r("add", 1, 1), group(p("add", 1), r("add", 2)), r("sum"), p("add", 1)),
        "chord in a chord": chord([chord(both(p, r, 2), r("sum")), p("add", 5)], r("sum")),
        "chain that ends in a group, in a chord": chord(
            [chain(r("add", 1), group(p("add", 1), r("add", 2))), r("add", 7)], r("echo")),
        "chord whose body is a chord": chain(group(both(r, p, 2)), group(r("sum"), p("sum")), r("sum")),
        "chord whose body is a group": chord(both(p, r, 2), group(r("sum"), p("sum"))),
        "one task": r("echo", {"deep": [1, None, 2.5, "ü"]}),
        "map": signature("celery.map", kwargs={"task": dict(r("sum")), "it": [[1, 2], [3]]}, queue=given.ours, app=app),
        "starmap": signature("celery.starmap", kwargs={"task": dict(r("add")), "it": [[1, 2], [3]]}, queue=given.ours, app=app),
        "chain that breaks at ours": chain(r("fail"), p("add", 1)),
        "chain that breaks at theirs": chain(p("fail"), r("add", 1)),
        "chord that breaks at ours": chord([r("fail"), p("add", 1)], p("sum")),
        "chord that breaks at theirs": chord([p("fail"), r("add", 1)], r("sum")),
        "chord of what JSON has not": chord([p("nan"), r("add", 1, countdown=3)], r("echo")),
        "error callback": r("fail", link_error=[p("echo", task_id=f"told-{given.ours}")]),
    }


def outcome(result, seconds=40):
    try:
        return result.get(timeout=seconds, interval=0.1)
    except TimeoutError:
        return ["TimeoutError", states(result)]
    except Exception as error:
        return [type(error).__name__, str(error)]


def states(result):
    """How far it came: of each task before it, and of the task itself."""
    before = states(result.parent) if result.parent else []
    members = result.results if isinstance(result, GroupResult) else [result]
    return [*before, {member.id: app.backend.get_task_meta(member.id, cache=False)["status"] for member in members}]


def cross():
    sent = {name: canvas.apply_async() for name, canvas in canvases().items()}
    found = {name: outcome(result) for name, result in sent.items()}
    found["told"] = outcome(app.AsyncResult(f"told-{given.ours}")) == [sent["error callback"].id]
    linked = signature("math.add", args=(1, 1), queue=given.ours, app=app)
    linked.link(signature("math.add", args=(5,), queue=given.theirs, app=app))
    linked.link(signature("math.add", args=(6,), queue=given.ours, app=app))
    result = linked.apply_async()
    found["linked"] = [outcome(result), [outcome(child) for child in result.children]]
    broken = sent["chain that breaks at ours"]
    found["states of what broke"] = [broken.state, broken.parent.state]
    for name in ("chord that breaks at ours", "chord that breaks at theirs"):
        found[f"body of the {name}"] = outcome(app.AsyncResult(sent[name].id))
    text = json.dumps(found)
    for name in ("chord that breaks at ours", "chord that breaks at theirs"):
        for index, member in enumerate(sent[name].parent.results):
            text = text.replace(member.id, f"part {index}")
    return json.loads(text)


def read():
    found = {}
    for task_id in given.ids:
        result = app.AsyncResult(task_id)
        value = result.result
        if isinstance(value, Exception):
            value = [type(value).__module__, type(value).__name__, [str(arg) for arg in value.args]]
        raised = outcome(result, 10) if result.ready() else None
        children = [child.id for child in result.children or []]
        done = result.date_done and result.date_done.isoformat()
        found[task_id] = [result.state, value, raised, result.traceback, children, bool(done)]
    return found


def store():
    backend = app.backend
    backend.store_result("py-success", {"deep": [1, None, 2.5, "ü"]}, "SUCCESS")
    backend.store_result("py-failure", KeyError("lost"), "FAILURE", traceback="Traceback: KeyError")
    backend.store_result("py-retry", ValueError("busy"), "RETRY")
    backend.store_result("py-progress", {"done": 3}, "PROGRESS")
    app.GroupResult("py-group", [app.AsyncResult("py-success"), app.AsyncResult("py-failure")]).save()
    # A success of ours stays, whatever comes after it.
    backend.store_result("rs-success", 13, "SUCCESS")
    return list(given.ids)


if given.mode == "work":
    sys.exit(app.worker_main(["worker", "--pool=solo", "--loglevel=warning", "-Q", given.theirs,
                              "-n", f"{given.theirs}@python", "--without-gossip", "--without-mingle"]))
if given.mode == "tables":
    print(json.dumps(app.AsyncResult("none").state))
else:
    print(json.dumps({"canvas": cross, "read": read, "store": store}[given.mode]()))
