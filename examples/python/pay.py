"""Sends payment events to Waybill in the three forms that it understands.

    python pay.py --broker amqp://guest:guest@127.0.0.1:5672// --count 100 --form mixed

Nothing here is special to Waybill: kombu for the events, Celery for the task. Publisher confirms are on, because without
them a broker that goes away takes the last messages with it and nobody is told; and messages are mandatory, because without
that one that finds no queue is confirmed and dropped.
"""

import argparse
import json
import random
import sys
from datetime import datetime, timezone

from amqp.exceptions import ChannelError
from celery import Celery
from kombu import Connection, Exchange, Producer, Queue

# The exchange is declared as Waybill declares it. Queues are Waybill's own: we declare none.
PAYMENTS = Exchange("payments", type="topic", durable=True)
FORMS = ("json", "cloudevents", "celery")
CONFIRMS = {"confirm_publish": True}


def payment(number, prefix, kind):
    """The `data` of one payment event; `kind` says what was bought."""
    ordering_id = f"{prefix}-{number}"
    items = []
    if kind != "ebook":
        items.append({"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"})
    if kind != "physical":
        items.append({"sku": "e-1", "title": "An e-book", "quantity": 1, "format": "ebook"})
    data = {
        "payment_id": f"pay-{ordering_id}",
        "ordering_id": ordering_id,
        "customer_id": f"cus-{ordering_id}",
        "locale": "de",
        "amount": {"minor_units": 4599, "currency": "EUR"},
        "items": items,
    }
    if kind != "ebook":
        data["pickup"] = {
            "name": "Bookstore Mitte", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE",
            "phone": "+4930111111",
        }
        data["dropoff"] = {
            "name": "A. Reader", "line1": "Kastanienallee 7", "postal_code": "10435", "city": "Berlin", "country": "DE",
            "phone": "+4930000000", "email": "reader@example.org",
        }
    return data


def now():
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


def send_json(producer, event_id, at, data):
    """Form 1: a plain JSON message on the topic exchange."""
    event = {"event_id": event_id, "type": "payment.succeeded", "occurred_at": at, "data": data}
    producer.publish(
        json.dumps(event), exchange=PAYMENTS, routing_key="payment.succeeded", declare=[PAYMENTS], mandatory=True,
        content_type="application/json", content_encoding="utf-8",
    )


def send_cloudevent(producer, event_id, at, data, structured):
    """Form 2: a CloudEvent 1.0, as one JSON document or with its attributes in the headers."""
    attributes = {
        "specversion": "1.0", "id": event_id, "source": "/payments", "type": "com.example.payment.succeeded",
        "time": at, "datacontenttype": "application/json",
    }
    if structured:
        body, headers, content_type = {**attributes, "data": data}, {}, "application/cloudevents+json"
    else:
        content_type = attributes.pop("datacontenttype")
        body, headers = data, {f"cloudEvents_{name}": value for name, value in attributes.items()}
    producer.publish(
        json.dumps(body), exchange=PAYMENTS, routing_key="payment.succeeded", declare=[PAYMENTS], mandatory=True,
        content_type=content_type, content_encoding="utf-8", headers=headers,
    )


def send_task(app, queue, event_id, data):
    """Form 3: a Celery task. `no_declare`, because Celery would otherwise declare a classic queue of that name."""
    app.send_task(
        "waybill.create_delivery_order", kwargs={"event_id": event_id, "payment": data},
        queue=Queue(queue, no_declare=True), mandatory=True, ignore_result=True,
    )


def send(producer, app, arguments, form, number, at, data):
    event_id = f"evt-{arguments.prefix}-{number}"
    if form == "json":
        send_json(producer, event_id, at, data)
    elif form == "cloudevents":
        send_cloudevent(producer, event_id, at, data, structured=number % 2 == 0)
    else:
        send_task(app, arguments.queue, event_id, data)


def parse():
    parser = argparse.ArgumentParser(description="Send payment events to Waybill.")
    parser.add_argument("--broker", default="amqp://guest:guest@127.0.0.1:5672//")
    parser.add_argument("--count", type=int, default=10, help="orderings")
    parser.add_argument("--form", choices=(*FORMS, "mixed"), default="mixed")
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of events that are sent twice")
    parser.add_argument("--ebooks", type=float, default=0.0, help="share of orderings of e-books only")
    parser.add_argument("--mixed", type=float, default=0.0, help="share of orderings of printed books and e-books")
    parser.add_argument("--prefix", default="ord", help="orderings are called PREFIX-1, PREFIX-2, …")
    parser.add_argument("--queue", default="waybill", help="Waybill's task queue")
    parser.add_argument("--seed", type=int, help="for the same choices again")
    parser.add_argument("--json", action="store_true", help="print what was sent as JSON")
    return parser.parse_args()


def main():
    arguments = parse()
    chance = random.Random(arguments.seed)
    app = Celery("payments", broker=arguments.broker)
    app.conf.broker_transport_options = CONFIRMS
    orderings, messages = [], 0
    with Connection(arguments.broker, transport_options=CONFIRMS) as connection:
        producer = Producer(connection)
        for number in range(1, arguments.count + 1):
            draw = chance.random()
            kind = "physical"
            if draw < arguments.ebooks:
                kind = "ebook"
            elif draw < arguments.ebooks + arguments.mixed:
                kind = "mixed"
            form = chance.choice(FORMS) if arguments.form == "mixed" else arguments.form
            data = payment(number, arguments.prefix, kind)
            # A duplicate is the same event word for word, its time included.
            times, at = (2 if chance.random() < arguments.duplicates else 1), now()
            try:
                for _ in range(times):
                    send(producer, app, arguments, form, number, at, data)
            except ChannelError as refused:
                sys.exit(f"{refused}: no queue takes {data['ordering_id']} ({form}); Waybill declares its queues when it starts")
            messages += times
            orderings.append({"ordering_id": data["ordering_id"], "kind": kind, "form": form, "sent": times})

    if arguments.json:
        json.dump({"orderings": orderings, "messages": messages}, sys.stdout)
        print()
    else:
        kinds = ", ".join(
            f"{sum(1 for ordering in orderings if ordering['kind'] == kind)} {kind}" for kind in ("physical", "mixed", "ebook")
        )
        print(f"sent {messages} payment events for {len(orderings)} orderings ({kinds})")


if __name__ == "__main__":
    main()
