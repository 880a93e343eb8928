"""Sends everything that stops or silences a Python worker, each with an id that somebody waits for, and prints what becomes of it.

    python refused.py --broker amqp://… --backend rpc:// --queue waybill --task waybill.create_delivery_order

A line of JSON for each message: what was sent (properties, headers, body in base64) and what its sender gets (state and type of the
exception, or the value). With `--answered` only those that a Python worker survives and answers.
"""

import argparse
import base64
import json
import uuid

from celery import Celery
from celery.exceptions import TimeoutError as WaitedTooLong

GOOD = b"[[],{},{}]"
PATIENCE = 30


def v2(body=GOOD, headers=None, **properties):
    return body, headers or {}, properties


# What is sent; what is said of it where it is kept; what its sender gets. None: it is run.
DEADLY = {
    "two elements": (v2(b"[[1,2],{}]"), "body-two-elements", "ValueError"),
    "a number": (v2(b"5"), "body-not-list", "TypeError"),
    "a text": (v2(b'"text"'), "body-not-list", "TypeError"),
    "an object without arguments": (v2(b'{"a": 1}'), "body-not-list", "TypeError"),
    "no body": (v2(b""), "body-empty", "DecodeError"),
    "no id": (v2(headers={"id": None}), "missing-id", "KeyError"),
    "a time limit that is no list": (v2(headers={"timelimit": 5}), "bad-timelimit", "TypeError"),
}
DELETED = {
    "no JSON": (v2(b'[["a"'), "body-not-json", "DecodeError"),
    "no UTF-8": (v2(b'[["\xff"],{},{}]'), "body-not-utf8", "DecodeError"),
    "not compressed as it says": (v2(headers={"compression": "application/x-gzip"}), "bad-compression", "DecodeError"),
    "an unknown compression": (v2(headers={"compression": "application/x-rar"}), "unknown-compression", "DecodeError"),
    "plain text": (v2(b"text", content_type="text/plain"), "unsupported-content-type", "ContentDisallowed"),
    "an unknown content type": (v2(content_type="application/x-other"), "unsupported-content-type", "ContentDisallowed"),
    "pickle": (
        v2(b"cos\nsystem\n(S'true'\ntR.", content_type="application/x-python-serialize", content_encoding="binary"),
        "unsupported-content-type", "ContentDisallowed",
    ),
    "an eta that is no instant": (v2(headers={"eta": "soon"}), "bad-eta", "InvalidTaskError"),
    "an eta that is a number": (v2(headers={"eta": 5}), "bad-eta", "InvalidTaskError"),
    "keyword arguments that are a list": (v2(b"[[],[1],{}]"), "kwargs-not-object", "InvalidTaskError"),
    "no task": (v2(headers={"task": None}), "unknown-message", "InvalidTaskError"),
}
ANSWERED = {
    "an unknown task": (v2(headers={"task": "story.nobody"}), "unknown-task", "NotRegistered"),
    "too many arguments": (v2(b"[[1,2,3,4],{},{}]"), "wrong-arguments", "TypeError"),
    "an unknown argument": (v2(b'[[],{"story": 1},{}]'), "wrong-arguments", "TypeError"),
    "arguments that are no list": (v2(b"[5,{},{}]"), "args-not-list", "TypeError"),
    "a callback that is text": (v2(b'[[1,2],{},{"callbacks":["x"]}]'), "bad-embed", "AttributeError"),
}
# A Python worker runs these, and so must we: a builtin task of every worker gives back what it is given.
RUN = {
    "an eta without a zone, in the past": (v2(b"[[1],{},{}]", {"task": "celery.accumulate", "eta": "2026-01-01T00:00:00"}), None, [1]),
    "protocol 1": (v2(b'{"task": "celery.accumulate", "id": "ID", "args": [2], "kwargs": {}}', {"task": None, "id": None}), None, [2]),
}


def main():
    parser = argparse.ArgumentParser(description="Send what stops or silences a Python worker.")
    for name in ("--broker", "--backend", "--queue", "--task"):
        parser.add_argument(name, required=True)
    parser.add_argument("--traces")
    parser.add_argument("--answered", action="store_true", help="only what a Python worker survives and answers")
    arguments = parser.parse_args()
    app = Celery("refused", broker=arguments.broker, backend=arguments.backend)
    rows = ANSWERED if arguments.answered else {**DEADLY, **DELETED, **ANSWERED, **RUN}
    sent = {name: send(app, arguments, *row[0]) for name, row in rows.items()}
    for name, message in sent.items():
        _, reason, expected = rows[name]
        print(json.dumps({"row": name, "reason": reason, "expected": expected, **message, "got": outcome(app, message["id"])}), flush=True)


def send(app, arguments, body, headers, properties):
    task_id = str(uuid.uuid4())
    body = body.replace(b"ID", task_id.encode())
    headers = {
        "lang": "py", "task": arguments.task, "id": task_id, "root_id": task_id, "retries": 0, "timelimit": [None, None],
        "note": {"kept": ["whole", 1, 2.5, True, None]}, **headers,
    }
    headers = {name: value for name, value in headers.items() if value is not None}
    properties = {
        "content_type": "application/json", "content_encoding": "utf-8", "correlation_id": task_id, "reply_to": app.thread_oid,
        "priority": 3, "delivery_mode": 2, "message_id": f"m-{task_id}", "app_id": "story", "type": "order", "timestamp": 1763700000,
        **properties,
    }
    with app.producer_pool.acquire(block=True) as producer:
        app.backend.on_task_call(producer, task_id)
        producer.publish(body, exchange="", routing_key=arguments.queue, headers=headers, **properties)
    return {"id": task_id, "properties": properties, "headers": headers, "base64": base64.b64encode(body).decode()}


def outcome(app, task_id):
    """The value, or the type of the exception, as the sender gets it."""
    result = app.AsyncResult(task_id)
    try:
        value = result.get(timeout=PATIENCE, propagate=False)
    except WaitedTooLong:
        return "nothing"
    return type(value).__name__ if isinstance(value, BaseException) else value


if __name__ == "__main__":
    main()
