"""What the same work costs a Python Celery worker: the peer in `make bench`.

    python celery_baseline.py --broker amqp://… --database postgres://… --orders 5000

For each payment task a prefork worker writes three rows in one transaction (the order, its first log row, the inbox key
that makes twice once) and publishes one follow-up task with a publisher confirm: what Waybill does for a payment event at
least. The queue is filled first; the clock runs from the first task begun to the last row committed, by PostgreSQL's clock.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
import uuid

import psycopg
from celery import Celery
from celery.signals import worker_process_init
from kombu import Connection, Queue

BROKER = os.environ.get("BASELINE_BROKER", "")
DATABASE = os.environ.get("BASELINE_DATABASE", "")
QUORUM = {"x-queue-type": "quorum"}
WORK = Queue("baseline", queue_arguments=QUORUM)
FOLLOW_UP = Queue("baseline.follow_up", queue_arguments=QUORUM)

app = Celery("baseline", broker=BROKER)
app.conf.update(
    task_queues=[WORK],
    task_default_queue="baseline",
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=16,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
)

TABLES = """
DROP SCHEMA IF EXISTS baseline CASCADE;
CREATE SCHEMA baseline;
CREATE TABLE baseline.orders (
    order_id uuid PRIMARY KEY, ordering_id text NOT NULL UNIQUE, payment_id text NOT NULL UNIQUE, customer_id text NOT NULL,
    state text NOT NULL, revision bigint NOT NULL, payment jsonb NOT NULL, created_at timestamptz NOT NULL);
CREATE INDEX ON baseline.orders (customer_id);
CREATE INDEX ON baseline.orders (state, created_at);
CREATE TABLE baseline.log (
    order_id uuid NOT NULL REFERENCES baseline.orders, sequence bigint NOT NULL, event text NOT NULL, fields jsonb NOT NULL,
    recorded_at timestamptz NOT NULL, PRIMARY KEY (order_id, sequence));
CREATE TABLE baseline.inbox (event_id text PRIMARY KEY, begun_at timestamptz NOT NULL, received_at timestamptz NOT NULL);
"""

connection = None


@worker_process_init.connect
def connect(**_):
    """One database connection for the life of a pool process."""
    global connection
    connection = psycopg.connect(DATABASE, autocommit=True)


@app.task(name="baseline.create_delivery_order")
def create_delivery_order(event_id, payment):
    order_id = uuid.uuid4()
    with connection.transaction():
        new = connection.execute(
            "INSERT INTO baseline.inbox VALUES (%s, now(), clock_timestamp()) ON CONFLICT DO NOTHING RETURNING event_id",
            (event_id,),
        ).fetchone()
        if new is None:
            return
        body = json.dumps(payment)
        connection.execute(
            "INSERT INTO baseline.orders VALUES (%s, %s, %s, %s, 'CREATED', 1, %s, now())",
            (order_id, payment["ordering_id"], payment["payment_id"], payment["customer_id"], body),
        )
        connection.execute("INSERT INTO baseline.log VALUES (%s, 1, 'PAYMENT_SUCCEEDED', %s, now())", (order_id, body))
    app.send_task("baseline.book", kwargs={"order_id": str(order_id)}, queue=FOLLOW_UP)


def payment(number):
    address = {"name": "A. Reader", "line1": "Kastanienallee 7", "postal_code": "10435", "city": "Berlin", "country": "DE"}
    return {
        "payment_id": f"pay-{number}", "ordering_id": f"ord-{number}", "customer_id": f"cus-{number}", "locale": "de",
        "amount": {"minor_units": 4599, "currency": "EUR"}, "pickup": address, "dropoff": address,
        "items": [{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}],
    }


def fill(orders):
    """Empty tables, empty queues, then one task for each order."""
    with psycopg.connect(DATABASE, autocommit=True) as database:
        database.execute(TABLES)
    with Connection(BROKER) as broker:
        for queue in (WORK, FOLLOW_UP):
            bound = queue(broker)
            bound.declare()
            bound.purge()
    with app.producer_pool.acquire(block=True) as producer:
        for number in range(orders):
            create_delivery_order.apply_async(
                kwargs={"event_id": f"evt-{number}", "payment": payment(number)}, queue=WORK, producer=producer
            )


def start_worker(processes):
    command = [
        sys.executable, "-m", "celery", "-A", "celery_baseline", "worker", "--pool=prefork", f"--concurrency={processes}",
        "--loglevel=WARNING", "--without-gossip", "--without-mingle", "--hostname=baseline@%h",
    ]
    return subprocess.Popen(
        command, cwd=os.path.dirname(os.path.abspath(__file__)), start_new_session=True, stdout=subprocess.DEVNULL,
        env={**os.environ, "BASELINE_BROKER": BROKER, "BASELINE_DATABASE": DATABASE},
    )


def measure(orders, processes, limit):
    fill(orders)
    worker = start_worker(processes)
    try:
        with psycopg.connect(DATABASE, autocommit=True) as database:
            end = time.monotonic() + limit
            while database.execute("SELECT count(*) FROM baseline.log").fetchone()[0] < orders:
                if time.monotonic() > end:
                    raise SystemExit(f"the worker has not done {orders} orders in {limit} seconds")
                if worker.poll() is not None:
                    raise SystemExit(f"the worker ended with {worker.returncode}")
                time.sleep(0.1)
            seconds = database.execute(
                "SELECT extract(epoch FROM max(received_at) - min(begun_at))::float8 FROM baseline.inbox"
            ).fetchone()[0]
        return {"orders": orders, "seconds": round(seconds, 3), "per_second": round(orders / seconds, 1)}
    finally:
        worker.send_signal(signal.SIGTERM)
        try:
            worker.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def main():
    global BROKER, DATABASE
    parser = argparse.ArgumentParser(description="Measure a Python Celery worker at Waybill's work.")
    parser.add_argument("--broker", default=os.environ.get("WAYBILL_TEST_AMQP_URL"))
    parser.add_argument("--database", default=os.environ.get("WAYBILL_TEST_POSTGRES_URL"))
    parser.add_argument("--orders", type=int, default=5000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--limit", type=int, default=300, help="seconds until the measurement is given up")
    arguments = parser.parse_args()
    if not arguments.broker or not arguments.database:
        parser.error("--broker and --database are needed")
    BROKER, DATABASE = arguments.broker, arguments.database
    app.conf.broker_url = BROKER
    print(json.dumps(measure(arguments.orders, arguments.processes, arguments.limit)))


if __name__ == "__main__":
    main()
