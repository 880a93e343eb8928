"""`make bench`: live orders move to another graph version while events about them keep arriving.

    python migration.py --program target/release/waybill --orders 100000 --rate 200

What is measured, and what the figures do not say: docs/benchmarks.md.
"""

import argparse
import http.client
import json
import pathlib
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time

import psycopg
from bench import machine
from celery_baseline import payment
from waybill_side import Side

TEMPLATE = pathlib.Path(__file__).parents[3] / "cloudformation" / "delivery-graph.yaml"
LIMIT_SECONDS, LIMIT_FACTOR = 60, 2
# Connections that report; an event that is due waits for the next free one, and that is part of its time.
CONNECTIONS = 32


def two_versions():
    """The shipped template with a second version, whose partner has a day to collect instead of two."""
    text = TEMPLATE.read_text()
    start, end = text.index("  DeliveryGraphV1:\n"), text.index("  # Runs the JSON Schema validator")
    second = text[start:end].replace("DeliveryGraphV1", "DeliveryGraphV2").replace("Version: 1}", "Version: 2}")
    second = second.replace("graph-v1", "graph-v2").replace("version: 1\n", "version: 2\n").replace("after: PT48H", "after: PT24H")
    return (text[:end] + second + text[end:]).replace("live: [1]", "live: [1, 2]")


class Traffic:
    """Events about orders, as many a second, due at fixed moments whatever became of those before."""

    def __init__(self, side, token, orders, rate):
        self.side, self.token, self.orders, self.rate = side, token, iter(orders), rate
        self.due, self.lock, self.times, self.reported, self.refused = queue.SimpleQueue(), threading.Lock(), [], 0, []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.report) for _ in range(CONNECTIONS)]
        self.threads.append(threading.Thread(target=self.pace))
        for thread in self.threads:
            thread.start()

    def pace(self):
        start, count = time.monotonic(), 0
        while not self.stopping.is_set():
            at = start + count / self.rate
            time.sleep(max(0, at - time.monotonic()))
            if (order := next(self.orders, None)) is None:
                break
            self.due.put((at, order))
            count += 1
        for _ in range(CONNECTIONS):
            self.due.put(None)

    def report(self):
        connection = http.client.HTTPConnection(self.side.addr, timeout=30)
        while (due := self.due.get()) is not None:
            at, order = due
            body = json.dumps({"event": "PARTNER_PICKED_UP", "fields": {"partner_order_number": f"N-{order}"}})
            headers = {
                "Authorization": f"Bearer {self.token}", "Content-Type": "application/json", "Idempotency-Key": f'"{order}"',
            }
            status, text = ask(connection, f"/v1/delivery-orders/{order}/events", body, headers)
            with self.lock:
                self.times.append(time.monotonic() - at)
                if status == 200:
                    self.reported += 1
                else:
                    self.refused.append(f"{status} {text[:200]!r}")

    def take(self):
        """The times since the last look, in milliseconds, sorted."""
        with self.lock:
            times, self.times = self.times, []
        return sorted(1000 * it for it in times)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def ask(connection, path, body, headers):
    """Posts, once more where the connection was closed while nobody needed it: the key makes twice once."""
    for last in (False, True):
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if last:
                return 0, repr(error)


def percentile(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


class Mover:
    """`waybill graph migrate-orders`, there and back."""

    def __init__(self, side, by):
        self.side, self.by = side, by

    def start(self, source, target):
        command = [self.side.program, "graph", "migrate-orders", "--from", str(source), "--to", str(target), "--by", self.by, "--json"]
        return subprocess.Popen(
            command, env=self.side.environment(), cwd=self.side.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def run(self, source, target):
        process = self.start(source, target)
        told = json.loads(process.communicate()[0])
        if process.returncode != 0:
            raise SystemExit(f"not all orders moved: {told}")
        return told["moved"]

    def kill_in_the_middle(self, source, target, database, half):
        process = self.start(source, target)
        count = "SELECT count(*) FROM instances WHERE graph_version = %s"
        while (moved := database.execute(count, (target,)).fetchone()[0]) < half:
            if process.poll() is not None:
                raise SystemExit("the migration ended before it could be killed")
            time.sleep(0.2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return moved


def main():
    parser = argparse.ArgumentParser(description="Move live orders to another graph version beside live traffic.")
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--orders", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=200, help="events a second")
    parser.add_argument("--before", type=int, default=30, help="seconds of traffic that the migration is compared with")
    parser.add_argument("--limit", type=int, default=900, help="seconds until the orders must be there")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder, Side(
        arguments.program.resolve(), pathlib.Path(folder), "bench_migration"
    ) as side:
        template = pathlib.Path(folder) / "graphs.yaml"
        template.write_text(two_versions())
        side.run("graph", "publish", str(template))
        worker = side.start("work", "-Q", "waybill.payments")
        side.pay(map(payment, range(arguments.orders)))
        side.wait_for_orders(arguments.orders, arguments.limit, worker)
        side.start("serve")
        side.wait_until_ready()
        token = subprocess.run(
            [side.program, "token", "--role", "service", "--sub", "bench", "--ttl", "2h"],
            env=side.environment(), cwd=side.folder, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.strip()
        with psycopg.connect(side.database, autocommit=True) as database:
            database.execute("VACUUM ANALYZE")
            # In no order that the migration would follow.
            orders = [row[0] for row in database.execute("SELECT id FROM instances ORDER BY md5(id::text)")]
            traffic = Traffic(side, token, orders, arguments.rate)
            time.sleep(5)
            traffic.take()
            time.sleep(arguments.before)
            before = traffic.take()

            began = time.monotonic()
            moved = Mover(side, "bench").run(1, 2)
            seconds = time.monotonic() - began
            during = traffic.take()

            back = Mover(side, "bench-back")
            began = time.monotonic()
            killed_at = back.kill_in_the_middle(2, 1, database, arguments.orders // 2)
            rest = back.run(2, 1)
            killed_seconds = time.monotonic() - began
            killed = traffic.take()
            traffic.stop()
            if traffic.refused:
                raise SystemExit(f"{len(traffic.refused)} events were refused: {traffic.refused[:3]}")

            found = {
                "orders on version 1": "SELECT count(*) FROM instances WHERE graph_version = 1",
                "rows that moved an order there": "SELECT count(*) FROM transitions WHERE kind = 'migrated' AND graph_version = 2",
                "and back": "SELECT count(*) FROM transitions WHERE kind = 'migrated' AND graph_version = 1",
                "orders that an event moved": "SELECT count(*) FROM transitions WHERE event = 'PARTNER_PICKED_UP'",
            }
            found = {name: database.execute(sql).fetchone()[0] for name, sql in found.items()}
        expected = [arguments.orders] * 3 + [traffic.reported]
        if list(found.values()) != expected or moved != arguments.orders:
            raise SystemExit(f"something was lost or moved twice: {found}, expected {expected}; {moved} moved")
        audit = subprocess.run(
            [side.program, "audit", "verify"], env=side.environment(), cwd=side.folder, stdout=subprocess.PIPE, text=True
        )
        if audit.returncode != 0:
            raise SystemExit(audit.stdout)

    factor = percentile(during, 0.99) / percentile(before, 0.99)
    print(f"{machine()}; {arguments.orders} live orders, {arguments.rate} events a second, {traffic.reported} answered in all\n")
    print(f"{'':<44}{'seconds':>9}{'orders/s':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for name, took, times in (
        ("before", None, before),
        ("migration", seconds, during),
        (f"back, killed after {killed_at}, resumed", killed_seconds, killed),
    ):
        speed = f"{took:9.1f}{arguments.orders / took:10.0f}" if took else f"{'':19}"
        print(f"{name:<44}{speed}{percentile(times, 0.5):9.1f}{percentile(times, 0.99):9.1f}")
    print(f"\np99 while orders move, of that before: {factor:.1f} (limit {LIMIT_FACTOR}); {rest} moved after the kill")
    print(re.sub(r"\s+", " ", audit.stdout).strip())
    if seconds > LIMIT_SECONDS or factor > LIMIT_FACTOR:
        raise SystemExit(f"more than {LIMIT_SECONDS} seconds, or a p99 of more than {LIMIT_FACTOR} times that before")


if __name__ == "__main__":
    main()
