"""Runs Celery's own integration tests against a worker that is up, or against a Python worker started for it.

    python run.py --folder target/celery-suite-source --broker amqp://… --redis redis://… --node w@host t/integration/test_inspect.py
    python run.py … --python -c 1 t/integration/test_tasks.py

The tests come with Celery's source distribution, which pip downloads into the folder. Prints each outcome as a line of JSON.
"""

import argparse
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.parse

HERE = pathlib.Path(__file__).resolve().parent
VERSION = "5.7.0"


def source(folder):
    """The tests of the pinned version, downloaded once."""
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tests = folder / f"tests-{VERSION}"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tests.exists():
            subprocess.run(
                [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-binary", ":all:",
                 "--no-deps", f"celery=={VERSION}"],
                cwd=folder, check=True, stdout=sys.stderr,
            )
            with tarfile.open(next(folder.glob(f"celery-{VERSION}.tar.gz"))) as archive:
                inside = f"celery-{VERSION}/t/"
                wanted = [member for member in archive.getmembers() if member.name.startswith(inside)]
                unpacked = folder / "unpacked"
                archive.extractall(unpacked, wanted, filter="data")
            shutil.move(unpacked / f"celery-{VERSION}", tests)
            shutil.rmtree(unpacked)
    return tests


def environment(arguments, report):
    redis = urllib.parse.urlsplit(arguments.redis)
    return {
        **os.environ, "TEST_BROKER": arguments.broker, "TEST_BACKEND": arguments.redis, "FOREIGN_NODE": arguments.node,
        "FOREIGN_REPORT": str(report), "REDIS_HOST": redis.hostname, "REDIS_PORT": str(redis.port or 6379),
        "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1",
    }


def start_python(arguments, tests, settings):
    command = [
        sys.executable, "-m", "celery", "-A", "python_worker", "worker", "-n", arguments.node, "-c", str(arguments.concurrency),
        "--loglevel=WARNING", "--without-gossip", "--without-mingle",
    ]
    log = open(arguments.log, "w") if arguments.log else subprocess.DEVNULL
    return subprocess.Popen(command, cwd=tests, env=settings, stdout=log, stderr=log, start_new_session=True)


def main():
    parser = argparse.ArgumentParser(description="Run Celery's own integration tests against a worker.")
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--broker", required=True)
    parser.add_argument("--redis", required=True)
    parser.add_argument("--node", default="foreign@waybill")
    parser.add_argument("--python", action="store_true", help="start a Python worker of that name: the baseline")
    parser.add_argument("-c", "--concurrency", type=int, default=1)
    parser.add_argument("--log", help="where the Python worker and pytest write")
    parser.add_argument("--without-baseline", action="store_true", help="leave out what fails with a Python worker too")
    parser.add_argument("-k", dest="keyword")
    parser.add_argument("tests", nargs="+")
    arguments = parser.parse_args()

    tests = source(arguments.folder)
    with tempfile.TemporaryDirectory(prefix="celery-suite-") as folder:
        report = pathlib.Path(folder) / "report.jsonl"
        settings = environment(arguments, report)
        worker = start_python(arguments, tests, settings) if arguments.python else None
        try:
            if worker:
                time.sleep(5)
            command = [
                sys.executable, "-m", "pytest", "-p", "foreign_worker", "-p", "celery.contrib.pytest", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short",
                "-W", "ignore", "-o", "python_classes=test_*", f"--rootdir={tests}", *arguments.tests,
            ]
            if arguments.without_baseline:
                known = (HERE / "baseline.txt").read_text().split()
                command += [word for test in known for word in ("--deselect", test)]
            command += ["-k", arguments.keyword] if arguments.keyword else []
            subprocess.run(command, cwd=tests, env=settings, stdout=sys.stderr)
            print(report.read_text() if report.exists() else "", end="")
        finally:
            if worker:
                worker.terminate()
                try:
                    worker.wait(30)
                except subprocess.TimeoutExpired:
                    os.killpg(worker.pid, 9)
                    worker.wait()


if __name__ == "__main__":
    main()
