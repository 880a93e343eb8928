"""A pytest plugin: Celery's own integration tests against a worker that runs already, in whatever language.

    FOREIGN_NODE=w@host FOREIGN_REPORT=report.jsonl python -m pytest -p foreign_worker t/integration/test_inspect.py

The tests start a Python worker in their own process and call it by that process's name. Here they start none, and the name
is the node's. Each test's outcome goes to the report, one JSON object a line.
"""

import json
import os
import sys

import celery.contrib.pytest
import celery.utils.nodenames as nodenames
import pytest

NODE = os.environ["FOREIGN_NODE"]
outcomes = {}

anonymous = nodenames.anon_nodename


def anon_nodename(*arguments, **options):
    """Only test_inspect takes the name for that of the worker."""
    caller = sys._getframe(1).f_globals.get("__name__", "")
    return NODE if caller.endswith("integration.test_inspect") else anonymous(*arguments, **options)


nodenames.anon_nodename = anon_nodename


@pytest.fixture(scope="session")
def celery_session_worker(request, celery_session_app, celery_includes, celery_class_tasks):
    for module in celery_includes:
        celery_session_app.loader.import_task_module(module)
    for task in celery_class_tasks:
        celery_session_app.register_task(task)
    answer = celery_session_app.control.inspect(destination=[NODE], timeout=5, limit=1).ping()
    assert answer, f"{NODE} does not answer"
    yield None


celery.contrib.pytest.celery_session_worker = celery_session_worker


def pytest_runtest_logreport(report):
    """The worst phase is the outcome; a subtest counts for its test."""
    rank = {"passed": 0, "skipped": 1, "failed": 2}
    kept = outcomes.setdefault(report.nodeid, {"test": report.nodeid, "outcome": "passed", "why": "", "seconds": 0.0})
    kept["seconds"] = round(kept["seconds"] + report.duration, 2)
    if rank[report.outcome] >= rank[kept["outcome"]] and report.outcome != "passed":
        kept["outcome"] = report.outcome
        kept["why"] = reason(report)


def reason(report):
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2]
    lines = str(report.longrepr or "").splitlines()
    told = [line[4:] for line in lines if line.startswith("E   ")]
    return (told or lines or [""])[-1 if not told else 0].strip()[:300]


def pytest_runtest_logfinish(nodeid, location):
    with open(os.environ["FOREIGN_REPORT"], "a") as report:
        report.write(json.dumps(outcomes[nodeid]) + "\n")
