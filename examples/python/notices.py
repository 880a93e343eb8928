"""Customer notices: a Celery worker that would send e-mails, and here prints them.

    python notices.py --broker amqp://guest:guest@127.0.0.1:5672// --answer yes

Waybill sends `notifications.send` to the queue `notifications`. A notice of the kind `confirm_receipt` carries a link for the
customer; with --answer this worker plays the customer and answers the form behind it.
"""

import argparse
import json
import urllib.error
import urllib.parse
import urllib.request

from celery import Celery

app = Celery("notices")
app.conf.update(
    task_default_queue="notifications",
    task_ignore_result=True,
    task_acks_late=True,
    worker_redirect_stdouts=False,
    broker_connection_retry_on_startup=True,
)
record = None
answer = "none"


@app.task(name="notifications.send", bind=True, max_retries=5)
def send(self, kind, delivery_order_id, customer_id, confirmation_url=None, **notice):
    print(f"to {customer_id} about {delivery_order_id}: {kind} {confirmation_url or ''}".rstrip(), flush=True)
    status = None
    if confirmation_url and answer != "none":
        try:
            status = confirm(confirmation_url)
        except OSError as unreachable:
            raise self.retry(exc=unreachable, countdown=1)
    if record:
        told = {"kind": kind, "delivery_order_id": delivery_order_id, "customer_id": customer_id}
        answered = {"confirmation_url": confirmation_url, "answer_status": status}
        with open(record, "a", encoding="utf-8") as file:
            file.write(json.dumps({"task_id": self.request.id, **told, **answered, **notice}) + "\n")


def confirm(url):
    """Answers the confirmation form as a browser would, and returns the HTTP status."""
    form = urllib.parse.urlencode({"received": answer}).encode()
    try:
        with urllib.request.urlopen(url, data=form, timeout=10) as response:
            return response.status
    except urllib.error.HTTPError as refused:
        if refused.code >= 500:
            raise
        return refused.code


def main():
    global answer, record
    parser = argparse.ArgumentParser(description="Consume the notices that Waybill sends to customers.")
    parser.add_argument("--broker", default="amqp://guest:guest@127.0.0.1:5672//")
    parser.add_argument("--queue", default="notifications")
    parser.add_argument("--answer", choices=("yes", "no", "none"), default="none", help="answer confirmation links")
    parser.add_argument("--record", help="append each notice to this file, one JSON object a line")
    arguments = parser.parse_args()
    answer, record = arguments.answer, arguments.record
    app.conf.broker_url = arguments.broker
    app.conf.task_default_queue = arguments.queue
    app.worker_main(["--quiet", "worker", "--pool=solo", "--loglevel=WARNING", "--hostname=notices@%h"])


if __name__ == "__main__":
    main()
