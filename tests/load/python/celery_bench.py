"""`WAYBILL_BENCH=celery make bench`: tasks per second of workers, at a task that does nothing.

    python celery_bench.py --worker target/release/examples/celery-worker --limit target/release/examples/broker_limit \
        --peer target/release/waybill-peer --tasks 100000 --plot docs/benchmarks/tasks-per-second.svg

What is measured, and what the figures do not say: docs/benchmarks.md.
"""

import argparse
import os
import pathlib
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

import psycopg
from kombu import Connection, Queue

import plot
from bench import machine

HERE = pathlib.Path(__file__).resolve().parent
TYPES = {"classic": {}, "quorum": {"x-queue-type": "quorum"}}
# The rate is that between these shares of the queue: starting up, and what is fetched ahead, are in neither.
FROM, TO = 0.9, 0.1
MEMORY_LIMIT = 100
# What a worker has in hand at once: for all of them as much as the bare loop, or nearly.
IN_HAND = 1024


def control(*arguments):
    return subprocess.run([os.environ["WAYBILL_TEST_RABBITMQCTL"], "--quiet", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


class Bench:
    """A virtual host and a database of its own, and the programs that are measured on them."""

    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        name = "bench_celery"
        self.name = name
        self.server = os.environ["WAYBILL_TEST_POSTGRES_URL"]
        self.database = urllib.parse.urlsplit(self.server)._replace(path=f"/{name}").geturl()
        self.broker = urllib.parse.urlsplit(os.environ["WAYBILL_TEST_AMQP_URL"])._replace(path=f"/{name}").geturl()

    def __enter__(self):
        with psycopg.connect(self.server, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
            server.execute(f"CREATE DATABASE {self.name}")
        control("add_vhost", self.name)
        control("set_permissions", "-p", self.name, "guest", ".*", ".*", ".*")
        return self

    def __exit__(self, *_):
        control("delete_vhost", self.name)
        with psycopg.connect(self.server, autocommit=True) as server:
            server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def fresh(self, kind, tasks, countdown=None):
        """An empty queue of that type, filled."""
        queue = f"bench.{kind}"
        with Connection(self.broker) as broker:
            channel = broker.channel()
            channel.queue_delete(queue)
            Queue(queue, queue_arguments=TYPES[kind])(channel).declare()
        command = [self.arguments.limit, "fill", self.broker, queue, str(tasks)]
        subprocess.run([*command, str(countdown)] if countdown else command, check=True)
        return queue

    def measure(self, command, kind, tasks):
        """Tasks per second of a program that empties the queue."""
        queue = self.fresh(kind, tasks)
        command = [part.format(queue=queue, broker=self.broker, tasks=tasks) for part in command]
        with self.running(command), Connection(self.broker) as broker:
            channel = broker.channel()
            seen = {}
            end = time.monotonic() + self.arguments.patience
            while TO not in seen:
                left = channel.queue_declare(queue, passive=True).message_count
                now = time.monotonic()
                for share in (FROM, TO):
                    if left <= share * tasks:
                        seen.setdefault(share, (now, left))
                if now > end:
                    raise SystemExit(f"{command[0]} has not emptied {queue} in {self.arguments.patience} seconds: {left} left")
                time.sleep(0.005)
            while self.unfinished(queue):
                if time.monotonic() > end:
                    raise SystemExit(f"{command[0]} has not acknowledged everything")
                time.sleep(0.2)
        (begun, most), (ended, least) = seen[FROM], seen[TO]
        return (most - least) / (ended - begun)

    def unfinished(self, queue):
        """What is in the queue or in somebody's hands."""
        listed = control("list_queues", "-p", self.name, "name", "messages")
        return int(re.search(rf"^{re.escape(queue)}\s+(\d+)$", listed, re.MULTILINE)[1])

    def running(self, command):
        return Running(command, self.folder, self.environment())

    def environment(self):
        return {**os.environ, "BENCH_BROKER": self.broker, "BENCH_DATABASE": self.database}

    def ours(self, *more):
        return [
            str(self.arguments.worker), "--broker", "{broker}", "--database", self.database, "-Q", "{queue}", "-n", "bench@waybill", "-c", "64",
            "--prefetch-multiplier", str(IN_HAND // 64), *more,
        ]

    def waiting(self, tasks):
        """Resident memory, in MB of a million bytes, of a worker that has so many scheduled tasks waiting."""
        queue = self.fresh("quorum", tasks, countdown=3600)
        command = [part.format(queue=queue, broker=self.broker) for part in self.ours()]
        with self.running(command) as running:
            end = time.monotonic() + self.arguments.patience
            while self.unfinished(queue):
                if time.monotonic() > end:
                    raise SystemExit(f"the worker has not put {queue} aside")
                time.sleep(0.5)
            status = pathlib.Path(f"/proc/{running.process.pid}/status").read_text()
        return {name: int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM")}


class Running:
    """A program with all its children; what it said is shown if the measurement fails."""

    def __init__(self, command, folder, environment):
        self.log = folder / "program.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=log, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if kind is not None:
            print(self.log.read_text()[-3000:], file=sys.stderr)


def python(pool, processes):
    return [
        sys.executable, "-B", "-m", "celery", "-A", "noop", "worker", "-Q", "{queue}", f"--pool={pool}", f"--concurrency={processes}",
        f"--prefetch-multiplier={IN_HAND // processes}",
        "--loglevel=WARNING", "--without-gossip", "--without-mingle", "--without-heartbeat",
    ]


def main():
    parser = argparse.ArgumentParser(description="Measure workers at a task that does nothing.")
    parser.add_argument("--worker", type=pathlib.Path, required=True)
    parser.add_argument("--limit", type=pathlib.Path, required=True)
    parser.add_argument("--peer", type=pathlib.Path, help="the peer on the `celery` crate")
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn; the median counts")
    parser.add_argument("--patience", type=int, default=180, help="seconds until one measurement is given up")
    parser.add_argument("--plot", type=pathlib.Path, help="where to draw the result")
    arguments = parser.parse_args()
    arguments.worker, arguments.limit = arguments.worker.resolve(), arguments.limit.resolve()
    tasks = arguments.tasks

    with tempfile.TemporaryDirectory(prefix="celery-bench-") as folder, Bench(arguments, pathlib.Path(folder)) as bench:
        drain = [str(arguments.limit), "drain", "{broker}", "{queue}", "{tasks}"]
        rows = [
            ("bare loop, acks of 64", [*drain, "64"], TYPES, tasks),
            ("bare loop, single acks", [*drain, "1"], TYPES, tasks),
            ("Waybill", bench.ours(), TYPES, tasks),
            ("Waybill, with events", bench.ours("-E"), TYPES, tasks),
            ("Python Celery, prefork 2", python("prefork", 2), TYPES, tasks // 4),
            ("Python Celery, solo", python("solo", 1), TYPES, tasks // 4),
        ]
        if arguments.peer:
            crate = [str(arguments.peer.resolve()), "--broker", "{broker}", "work", "{queue}"]
            rows.insert(4, ("`celery` crate", crate, ["classic"], tasks))
        runs = {}
        for _ in range(arguments.runs):
            for name, command, kinds, amount in rows:
                for kind in kinds:
                    speed = bench.measure(command, kind, amount)
                    runs.setdefault((name, kind), []).append(speed)
                    print(f"{name:<26} {kind:<8} {speed:9.0f} tasks/s", flush=True)
        waiting = bench.waiting(tasks)

    found = {row: statistics.median(speeds) for row, speeds in runs.items()}
    report(found, [name for name, *_ in rows], waiting, tasks)
    if arguments.plot:
        draw(arguments.plot, runs, tasks)
    if waiting["VmRSS"] > MEMORY_LIMIT:
        raise SystemExit("more memory than the limit allows")


def report(found, names, waiting, tasks):
    print(f"\n{machine()}; {tasks} tasks\n\n{'tasks per second':<28}" + "".join(f"{kind:>12}" for kind in TYPES))
    for name in names:
        print(f"{name:<28}" + "".join(f"{found[name, kind]:12.0f}" if (name, kind) in found else f"{'–':>12}" for kind in TYPES))
    print()
    for label, other in (
        ("of Python prefork 2 (aim: 10)", "Python Celery, prefork 2"), ("of the `celery` crate (aim: 2)", "`celery` crate"),
        ("of the bare loop, single acks (aim: 0.8)", "bare loop, single acks"), ("of the bare loop, acks of 64", "bare loop, acks of 64"),
    ):
        ratios = [f"{kind} {found['Waybill', kind] / found[other, kind]:.2f}" for kind in TYPES if (other, kind) in found]
        if ratios:
            print(f"Waybill is so many times {label:<42} {', '.join(ratios)}")
    less = [f"{kind} {100 - 100 * found['Waybill, with events', kind] / found['Waybill', kind]:.0f} %" for kind in TYPES]
    print(f"with events it does less by (limit: 25 %)                           {', '.join(less)}")
    print(f"{tasks} scheduled tasks waiting: {waiting['VmRSS']:.0f} MB resident, {waiting['VmHWM']:.0f} MB at most (limit {MEMORY_LIMIT})")


def draw(path, runs, tasks):
    rows = [(name.replace("`", ""), statistics.median(speeds), f"{kind} queue", speeds) for (name, kind), speeds in runs.items()]
    rows.sort(key=lambda row: -row[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plot.bars("Tasks per second", f"a task that does nothing, late ack, json, {tasks} tasks; dots: runs; {machine()}", rows))
    print(f"drawn: {path}")


if __name__ == "__main__":
    main()
