"""Every command of remote control, asked of our worker and of a Python worker in the same moment; the answers are compared.

    python control.py --broker amqp://… --backend redis://… --ours ours@host --python python@host

Questions are compared by shape: the same keys and types all the way down. What changes a worker is compared by its words.
Prints a table, then one line of JSON for each command.
"""

import argparse
import json
import re
import time
import uuid

from celery import Celery

# What no two workers have alike, by path; each with its reason.
FREE = {
    "stats.total": "the names of the tasks that ran",
    "stats.pool.writes": "billiard's pipes to its children; a worker without children has none",
    "stats.pool.implementation": "a name",
    "stats.broker.transport_options": "settings of kombu's transport",
    "conf": "settings of the Python application: ours tells those that it has",
    "report": "text for people",
    "registered": "the names of the tasks",
    "active_queues[].queue_arguments": "the queue's type: ours asks for quorum queues, and takes any that is there",
    "memsample": "Python needs psutil for it",
    "memdump": "Python needs psutil for it",
}
QUESTIONS = [
    ("ping", {}), ("active", {}), ("active", {"safe": True}), ("reserved", {}), ("scheduled", {}), ("revoked", {}), ("registered", {}),
    ("registered", {"taskinfoitems": ["rate_limit", "name"]}), ("registered", {"builtins": True}), ("stats", {}),
    ("active_queues", {}), ("clock", {}), ("conf", {"with_defaults": False}), ("report", {}), ("query_task", {"ids": ["active", "scheduled", "nobody"]}),
    ("hello", {"from_node": "story@nowhere", "revoked": {}}), ("memsample", {}), ("memdump", {"samples": 2}),
    ("objgraph", {"num": 1, "max_depth": 1, "type": "Request"}),
]
ORDERS = [
    ("rate_limit", {"task_name": "interop.add", "rate_limit": "10/m"}), ("rate_limit", {"task_name": "interop.add", "rate_limit": "0"}),
    ("rate_limit", {"task_name": "interop.nobody", "rate_limit": "10/m"}), ("rate_limit", {"task_name": "interop.add", "rate_limit": "much"}),
    ("time_limit", {"task_name": "interop.add", "hard": 60, "soft": 30}), ("time_limit", {"task_name": "interop.nobody", "hard": 1}),
    ("pool_grow", {"n": 1}), ("pool_shrink", {"n": 1}), ("autoscale", {"max": 3, "min": 1}),
    ("pool_restart", {"modules": [], "reload": False}),
    ("add_consumer", {"queue": "extra-NODE"}), ("add_consumer", {"queue": "extra-NODE"}), ("cancel_consumer", {"queue": "extra-NODE"}),
    ("disable_events", {}), ("enable_events", {}), ("enable_events", {}), ("disable_events", {}), ("heartbeat", {}),
    ("revoke", {"task_id": "one"}), ("revoke", {"task_id": ["two"]}), ("revoke", {"task_id": "nobody", "terminate": True}),
    ("terminate", {"signal": "SIGTERM", "task_id": "nobody"}),
    ("revoke_by_stamped_headers", {"headers": {"story": ["v1"]}}), ("revoke_by_stamped_headers", {"headers": {"story": ["v9"]}, "terminate": True}),
    ("nosuch", {}), ("enable_events", {"bogus": 1}), ("ping", {"bogus": 1}),
    # The last, because a Python worker may end of it.
    ("election", {"id": "1", "topic": "task", "action": {"task": "interop.add", "args": [1, 1], "kwargs": {}, "options": {}, "subtask_type": None, "immutable": False}}),
]


class Both:
    """Our worker and the Python one."""

    def __init__(self, arguments):
        self.app = Celery("control", broker=arguments.broker, backend=arguments.backend)
        self.nodes = {"ours": arguments.ours, "python": arguments.python}

    def ask(self, method, arguments):
        """The answer of each, and how long the slower took."""
        told = {}
        begun = time.monotonic()
        for side, node in self.nodes.items():
            own = json.loads(json.dumps(arguments).replace("NODE", side).replace('"active"', f'"active-{side}"').replace('"scheduled"', f'"scheduled-{side}"'))
            replies = self.app.control.broadcast(method, arguments=own, destination=[node], reply=True, timeout=3, limit=1)
            told[side] = replies[0][node] if replies else "no answer"
        return told, time.monotonic() - begun

    def employ(self):
        """Both have something active, reserved, scheduled and revoked."""
        for side in self.nodes:
            tail = uuid.uuid4().hex[:6]
            for number in range(4):
                self.app.send_task("interop.sleep", args=(8,), queue=side, task_id=f"active-{side}" if number == 0 else f"busy-{side}-{number}-{tail}")
            self.app.send_task("interop.add", args=(1, 2), queue=side, task_id=f"scheduled-{side}", countdown=600)
        end = time.monotonic() + 20
        while time.monotonic() < end:
            ready = [self.ask("active", {})[0], self.ask("scheduled", {})[0], self.ask("reserved", {})[0]]
            if all(isinstance(answer[side], list) and answer[side] for answer in ready for side in self.nodes):
                return
            time.sleep(0.2)


def shape(value, path):
    """Keys and types. Of a list, the union of its elements' shapes; what FREE names is not looked into."""
    if path in FREE:
        return "free"
    if isinstance(value, dict):
        names = {re.sub(r"(active|scheduled|busy)-(ours|python)\S*", "<id>", name): name for name in sorted(value)}
        return {name: shape(value[given], f"{path}.{name}") for name, given in names.items()}
    if isinstance(value, list):
        shapes = {json.dumps(shape(entry, path + "[]"), sort_keys=True) for entry in value}
        return ["list", *sorted(shapes)]
    if value is None or isinstance(value, (bool, str)):
        return type(value).__name__
    return "number"


def words(value):
    """What a worker says, without what differs by name."""
    text = json.dumps(value, sort_keys=True)
    return json.loads(re.sub(r"extra-(ours|python)", "extra-NODE", text))


def difference(ours, python, path=""):
    """The first place where two shapes differ, or nothing."""
    if ours == python:
        return ""
    if isinstance(ours, dict) and isinstance(python, dict):
        if ours.keys() != python.keys():
            return f"{path or 'keys'}: only ours {sorted(ours.keys() - python.keys())}, only Python {sorted(python.keys() - ours.keys())}"
        return next(filter(None, (difference(ours[name], python[name], f"{path}.{name}") for name in ours)))
    return f"{path or 'value'}: ours {json.dumps(ours)[:400]}, Python {json.dumps(python)[:400]}"


def keys(answer):
    """The keys in short, for the table."""
    if isinstance(answer, dict):
        return "{" + ", ".join(sorted(answer)[:8]) + (", …" if len(answer) > 8 else "") + "}"
    if isinstance(answer, list):
        return f"[{keys(answer[0])}]" if answer and isinstance(answer[0], dict) else f"[{type(answer[0]).__name__ if answer else ''}]"
    return json.dumps(answer)


def main():
    parser = argparse.ArgumentParser(description="Compare remote control of our worker with that of a Python worker.")
    for name in ("--broker", "--backend", "--traces", "--ours", "--python"):
        parser.add_argument(name, required=True)
    both = Both(parser.parse_args())
    both.employ()
    rows = []
    for questions, look in ((QUESTIONS, shape), (ORDERS, None)):
        for method, given in questions:
            told, seconds = both.ask(method, given)
            seen = {side: shape(answer, method) if look else words(answer) for side, answer in told.items()}
            rows.append((method, given, told, difference(seen["ours"], seen["python"]), seconds))
    print(f"{'command':<58} {'Python':<60} {'ours':<60} equal")
    for method, given, told, differs, _ in rows:
        label = method + (" " + json.dumps(given) if given else "")
        verdict = "no: " + differs if differs else "yes" + (f", but for {FREE[method]}" if method in FREE else "")
        print(f"{label:<58.58} {keys(told['python']):<60.60} {keys(told['ours']):<60.60} {verdict}")
    for method, given, told, differs, seconds in rows:
        found = {"check": f"{method} {json.dumps(given)}", "ok": not differs and seconds < 4}
        print(json.dumps(found if found["ok"] else {**found, "why": differs, "seconds": seconds}))


if __name__ == "__main__":
    main()
