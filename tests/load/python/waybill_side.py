"""Waybill's side of `make bench`: its processes, its database and virtual host, and the payment events that they meet.

The queue is filled before the worker starts, as the Python peer's is. The clock is PostgreSQL's, as the peer's is: from the
transaction that made the first order to the one that recorded the broker's confirm of the last effect.
"""

import http.client
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import psycopg
from kombu import Connection, Exchange, Producer, Queue

QUORUM = {"x-queue-type": "quorum"}
PAYMENTS = Exchange("payments", type="topic", durable=True)
PAYMENTS_QUEUE = Queue("waybill.payments", PAYMENTS, routing_key="payment.succeeded", queue_arguments=QUORUM)
TASKS_QUEUE = Queue("waybill", queue_arguments=QUORUM)
OTHERS = [Queue(name, queue_arguments=QUORUM) for name in ("oms", "notifications")]
SECRET = "whsec_" + "YmVuY2htYXJrIHNlY3JldCBvZiAzMiBieXRlcyEhISE="


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def memory(process, name):
    """VmRSS or VmHWM of a process, in MB of a million bytes."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) * 1024 / 1e6


class Side:
    """A fresh database and virtual host, and what runs on them; all of it is gone at the end."""

    def __init__(self, program, folder, name):
        self.program, self.folder, self.name = program, folder, name
        self.processes = []
        self.log = folder / f"{name}.log"
        server = urllib.parse.urlsplit(os.environ["WAYBILL_TEST_POSTGRES_URL"])
        broker = urllib.parse.urlsplit(os.environ["WAYBILL_TEST_AMQP_URL"])
        self.server = server.geturl()
        self.database = server._replace(path=f"/{name}").geturl()
        self.broker = broker._replace(path=f"/{name}").geturl()
        self.addr = f"127.0.0.1:{free_port()}"
        self.partner = f"127.0.0.1:{free_port()}"
        partners = folder / "partners.yaml"
        partners.write_text(
            "default: simulated\npartners:\n  simulated:\n    adapter: standard\n"
            f"    base_url: http://{self.partner}\n    secrets:\n      - {{id: first, value: {SECRET}}}\n"
        )
        self.settings = {
            "WAYBILL_DATABASE_URL": self.database, "WAYBILL_BROKER_URL": self.broker, "WAYBILL_HTTP_ADDR": self.addr,
            "WAYBILL_PUBLIC_URL": f"http://{self.addr}", "WAYBILL_PARTNERS": str(partners), "WAYBILL_DATA_KEY": "07" * 32,
            "WAYBILL_JWT_KEY": "a key for measurements, and for nothing else", "WAYBILL_LOG": "warn",
        }

    def __enter__(self):
        with psycopg.connect(self.server, autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {self.name}")
            server.execute(f"CREATE DATABASE {self.name}")
        control = os.environ["WAYBILL_TEST_RABBITMQCTL"]
        subprocess.run([control, "--quiet", "add_vhost", self.name], check=True)
        subprocess.run([control, "--quiet", "set_permissions", "-p", self.name, "guest", ".*", ".*", ".*"], check=True)
        self.run("migrate")
        with Connection(self.broker) as broker:
            for queue in (PAYMENTS_QUEUE, TASKS_QUEUE, *OTHERS):
                queue(broker).declare()
        return self

    def __exit__(self, kind, *_):
        for process in reversed(self.processes):
            stop(process)
        if kind is not None and self.log.exists():
            print(self.log.read_text()[-4000:], file=sys.stderr)
        subprocess.run([os.environ["WAYBILL_TEST_RABBITMQCTL"], "--quiet", "delete_vhost", self.name], check=True)
        with psycopg.connect(self.server, autocommit=True) as server:
            server.execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def environment(self):
        others = {name: value for name, value in os.environ.items() if not name.startswith("WAYBILL_")}
        return {**others, **self.settings}

    def run(self, *command):
        subprocess.run([self.program, *command], env=self.environment(), cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def start(self, *command):
        with self.log.open("a") as log:
            process = subprocess.Popen([self.program, *command], env=self.environment(), cwd=self.folder, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    def simulate_partner(self):
        self.start("partner-sim", "--addr", self.partner, "--callback-secret", SECRET, "--walk-delay", "100ms")

    def wait_until_ready(self):
        """Until `serve` or `all` answers that it is ready."""
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://{self.addr}/readyz", timeout=2) as answer:
                    if answer.status == 200:
                        return
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)
        raise SystemExit("waybill is not ready after 30 seconds")

    def pay(self, payments):
        """Gives one payment event for each of these, each confirmed by the broker."""
        options = {"confirm_publish": True}
        with Connection(self.broker, transport_options=options) as broker:
            producer = Producer(broker.channel(), exchange=PAYMENTS, routing_key="payment.succeeded", serializer="json")
            for number, data in enumerate(payments):
                event = {
                    "event_id": f"evt-{number}", "type": "payment.succeeded", "occurred_at": "2026-11-20T11:00:00Z", "data": data,
                }
                producer.publish(event, delivery_mode=2, mandatory=True)

    def wait_for_orders(self, orders, limit, worker):
        """Until as many orders are there and no effect waits for the broker; answers from the first to the last, in seconds."""
        with psycopg.connect(self.database, autocommit=True) as database:
            end = time.monotonic() + limit
            done = "SELECT (SELECT count(*) FROM instances), (SELECT count(*) FROM effects WHERE published_at IS NULL)"
            while database.execute(done).fetchone() != (orders, 0):
                if time.monotonic() > end:
                    raise SystemExit(f"waybill has not done {orders} orders in {limit} seconds")
                if worker.poll() is not None:
                    raise SystemExit(f"waybill ended with {worker.returncode}")
                # Counting many takes the database long enough.
                time.sleep(0.1 if orders < 20_000 else 1)
            effects, seconds = database.execute(
                "SELECT count(*), extract(epoch FROM max(published_at) - (SELECT min(created_at) FROM instances))::float8"
                " FROM effects"
            ).fetchone()
            if effects < orders:
                raise SystemExit(f"{orders} orders have only {effects} effects")
            return seconds

    def wait_for_state(self, orders, state, limit):
        """Until all orders are in this state; answers from the first order's birth to the last one's move, in seconds."""
        with psycopg.connect(self.database, autocommit=True) as database:
            end = time.monotonic() + limit
            while database.execute("SELECT count(*) FROM instances WHERE state = %s", (state,)).fetchone()[0] < orders:
                if time.monotonic() > end:
                    states = database.execute("SELECT state, count(*) FROM instances GROUP BY state").fetchall()
                    raise SystemExit(f"not all orders are {state} after {limit} seconds: {states}")
                time.sleep(0.1)
            return database.execute("SELECT extract(epoch FROM max(updated_at) - min(created_at))::float8 FROM instances").fetchone()[0]

    def commit_batches(self):
        """Commits and commands of the process that answers HTTP, from its metrics."""
        with urllib.request.urlopen(f"http://{self.addr}/metrics", timeout=5) as answer:
            text = answer.read().decode()

        def value(name):
            found = re.search(rf"^{name}(?:{{}})? ([0-9.e+]+)$", text, re.MULTILINE)
            return float(found[1]) if found else 0.0

        return value("commit_batch_size_count"), value("commit_batch_size_sum")


def stop(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
