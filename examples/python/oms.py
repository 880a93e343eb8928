"""Order management: a Celery worker that is told how deliveries end.

    python oms.py --broker amqp://guest:guest@127.0.0.1:5672//

Waybill sends `oms.delivery_update` to the queue `oms` when a delivery order has reached its end. The queue is ours, so this
worker declares it. An update may arrive twice: the task id is the same then, and so is (delivery_order_id, sequence).
"""

import argparse
import json

from celery import Celery

app = Celery("oms")
app.conf.update(
    task_default_queue="oms",
    task_ignore_result=True,
    # Acknowledged after the work, not before: a worker that dies is told again.
    task_acks_late=True,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)
record = None


@app.task(name="oms.delivery_update", bind=True)
def delivery_update(self, delivery_order_id, ordering_id, state, outcome=None, **update):
    line = f"{ordering_id}: delivery order {delivery_order_id} ended in {state} ({outcome})"
    if update.get("failure_reason"):
        line += f", because of {update['failure_reason']}"
    if update.get("successor_id"):
        line += f", followed by {update['successor_id']}"
    print(line, flush=True)
    if record:
        told = {"delivery_order_id": delivery_order_id, "ordering_id": ordering_id, "state": state, "outcome": outcome}
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps({"task_id": self.request.id, **told, **update}) + "\n")


def main():
    global record
    parser = argparse.ArgumentParser(description="Consume what Waybill tells order management.")
    parser.add_argument("--broker", default="amqp://guest:guest@127.0.0.1:5672//")
    parser.add_argument("--queue", default="oms")
    parser.add_argument("--record", help="append each update to this file, one JSON object a line")
    arguments = parser.parse_args()
    record = arguments.record
    app.conf.broker_url = arguments.broker
    app.conf.task_default_queue = arguments.queue
    # The solo pool runs tasks in this process: nothing to fork, one update after the other.
    app.worker_main(["--quiet", "worker", "--pool=solo", "--loglevel=WARNING", "--hostname=oms@%h"])


if __name__ == "__main__":
    main()
