"""`make bench`: durable callbacks a second over HTTP, beside an axum handler that does one insert per request.

    python webhooks.py --program target/release/waybill --load target/release/examples/webhook-load

What is measured, and what the figures do not say: docs/benchmarks.md.
"""

import argparse
import json
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile

import plot
import psycopg
from waybill_side import SECRET, Side, free_port, stop

# Connections, and callbacks over all of them.
LOADS = ((1, 2_000), (8, 10_000), (64, 20_000))


class Receiver:
    """Something that takes callbacks into a database of its own, until it is closed."""

    def __init__(self, side, load, database):
        self.side, self.load, self.file = side, load, side.folder / f"{side.name}.db"
        self.database = side.database if database == "PostgreSQL" else f"sqlite://{self.file}"

    def send(self, connections, count, rate=None):
        command = [
            self.load, "send", "--addr", self.addr, "--path", "/webhooks/simulated", "--secret", SECRET,
            "--count", str(count), "--connections", str(connections), *(["--rate", str(rate)] if rate else []),
        ]
        before = self.rows()
        answer = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        if self.rows() - before != count:
            raise SystemExit(f"{count} callbacks were answered, {self.rows() - before} are in the database")
        return answer

    def rows(self):
        if self.database.startswith("sqlite"):
            with sqlite3.connect(self.file) as database:
                return database.execute(f"SELECT count(*) FROM {self.table}").fetchone()[0]
        with psycopg.connect(self.database) as database:
            return database.execute(f"SELECT count(*) FROM {self.table}").fetchone()[0]


class Waybill(Receiver):
    """`waybill serve`: verifies, stores, answers, and publishes the task that follows."""

    table = "callbacks"

    def __enter__(self):
        self.side.settings["WAYBILL_DATABASE_URL"] = self.database
        self.side.start("serve")
        self.side.wait_until_ready()
        self.addr = self.side.addr
        return self

    def __exit__(self, *_):
        stop(self.side.processes.pop())


class Peer(Receiver):
    """One insert per request, nothing verified, nothing published."""

    table = "received"

    def __enter__(self):
        self.addr = f"127.0.0.1:{free_port()}"
        self.process = subprocess.Popen(
            [self.load, "peer", "--database", self.database, "--addr", self.addr], stdout=subprocess.PIPE, text=True
        )
        self.process.stdout.readline()
        return self

    def __exit__(self, *_):
        stop(self.process)


def measure(kind, arguments, folder, database):
    name = f"bench_webhooks_{kind.__name__.lower()}_{database.lower()}"
    with Side(arguments.program.resolve(), folder, name) as side, kind(side, arguments.load.resolve(), database) as receiver:
        receiver.send(8, 500)
        found = {connections: receiver.send(connections, count) for connections, count in LOADS}
        most = max(answer["per_second"] for answer in found.values())
        found["half"] = {**receiver.send(64, 20_000, most / 2), "rate": most / 2}
        return found


def main():
    parser = argparse.ArgumentParser(description="Measure durable callbacks a second.")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--load", type=pathlib.Path, required=True)
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn; the medians count")
    parser.add_argument("--plot", type=pathlib.Path, help="where to draw the result")
    arguments = parser.parse_args()

    runs = {}
    for number in range(1, arguments.runs + 1):
        for database in ("PostgreSQL", "SQLite"):
            for kind, name in ((Waybill, "Waybill"), (Peer, "one insert per request")):
                print(f"run {number}: {database}, {name}", file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
                    found = measure(kind, arguments, pathlib.Path(folder), database)
                runs.setdefault((database, name), []).append(found)
    rows = []
    for (database, name), found in runs.items():
        def median(load, figure):
            return statistics.median(run[load][figure] for run in found)

        for connections, _ in LOADS:
            print(
                f"{database:<11} {name:<23} {connections:>3} connections {median(connections, 'per_second'):8.0f}/s"
                f"   p50 {median(connections, 'p50_ms'):6.1f} ms   p99 {median(connections, 'p99_ms'):6.1f} ms",
            )
        each = ", ".join(f"{run['half']['p99_ms']:.1f}" for run in found)
        print(
            f"{database:<11} {name:<23} at {median('half', 'rate'):.0f}/s, half of its most:"
            f"   p50 {median('half', 'p50_ms'):6.1f} ms   p99 {median('half', 'p99_ms'):6.1f} ms (runs: {each})",
        )
        speeds = [median(connections, "per_second") for connections, _ in LOADS]
        rows.append((name, max(speeds), f"{database}, p99 {median('half', 'p99_ms'):.0f} ms at half", speeds))
    if arguments.plot:
        note = "signed callbacks stored before they are answered; dots: 1, 8 and 64 connections"
        arguments.plot.write_text(plot.bars("Durable callbacks per second", note, rows))
        print(f"drawn: {arguments.plot}")


if __name__ == "__main__":
    main()
