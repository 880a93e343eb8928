//! Payments that come twice, in a wrong order or for nothing, as messages: over RabbitMQ into PostgreSQL, and over the
//! in-process transport into SQLite.

use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::stage::{Stage, eventually};

const SOON: Duration = Duration::from_secs(60);

fn paid(ordering: &str, event: &str, format: &str) -> Json {
    let address =
        json!({"name": "A. Reader", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"});
    json!({
        "event_id": event, "type": "payment.succeeded", "occurred_at": "2026-11-20T11:00:00Z",
        "data": {
            "payment_id": format!("pay-{ordering}"), "ordering_id": ordering, "customer_id": "cus-1", "locale": "de",
            "amount": {"minor_units": 4599, "currency": "EUR"}, "pickup": address, "dropoff": address,
            "items": [{"sku": "b-1", "title": "A book", "quantity": 1, "format": format}],
        },
    })
}

fn refunded(ordering: &str, event: &str, minor_units: i64) -> Json {
    json!({
        "event_id": event, "type": "payment.refunded", "occurred_at": "2026-11-20T12:00:00Z",
        "data": {
            "payment_id": format!("pay-{ordering}"), "ordering_id": ordering,
            "amount": {"minor_units": minor_units, "currency": "EUR"},
        },
    })
}

/// Puts events into the queue of payments, each when the one before was taken.
fn send(stage: &Stage, events: &[Json]) {
    for (event, before) in events.iter().zip(0..) {
        stage.write("event.json", &event.to_string());
        // The queue is made by the process that has just started.
        eventually("it is sent", SOON, || {
            (stage.run(&["send", "event.json"]).code == 0).then_some(())
        });
        eventually("it is taken", SOON, || (taken(stage) > before).then_some(()));
    }
}

/// How many payment events were taken, by the metrics.
fn taken(stage: &Stage) -> u64 {
    let told = stage.clients.get(&format!("{}/metrics", stage.url()), None);
    let text = told.body.as_str().expect("text").to_owned();
    let counts = text.lines().filter(|line| line.starts_with("payment_events_total{"));
    counts
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The states of an ordering's orders, once there are so many.
fn states(stage: &Stage, token: &str, ordering: &str, count: usize) -> Vec<String> {
    let url = format!("{}/v1/delivery-orders?ordering_id={ordering}", stage.url());
    eventually(&format!("{count} orders of {ordering}"), SOON, || {
        let found = stage.clients.get(&url, Some(token)).body;
        let states = found["items"]
            .as_array()?
            .iter()
            .map(|order| order["state"].as_str().map(str::to_owned));
        states
            .collect::<Option<Vec<_>>>()
            .filter(|states| states.len() == count)
    })
}

fn cases(stage: &Stage, token: &str, kind: &str) -> usize {
    let listed = stage
        .clients
        .get(&format!("{}/v1/operator-cases?limit=200", stage.url()), Some(token))
        .body;
    listed["items"]
        .as_array()
        .expect("cases")
        .iter()
        .filter(|case| case["kind"] == kind)
        .count()
}

fn story(mut stage: Stage) {
    stage.start(&["all"]);
    let token = stage.token("operator");

    send(
        &stage,
        &[
            paid("twice", "evt-1", "physical"),
            paid("twice", "evt-1", "physical"),
            paid("twice", "evt-1-in-other-words", "physical"),
            refunded("early", "evt-2", 4599),
            paid("early", "evt-3", "physical"),
            paid("e-books", "evt-4", "ebook"),
            paid("in-part", "evt-5", "physical"),
            refunded("in-part", "evt-6", 100),
            paid("back", "evt-7", "physical"),
            refunded("back", "evt-8", 4599),
        ],
    );

    assert_eq!(
        states(&stage, &token, "twice", 1),
        ["CREATED"],
        "paid twice, whatever it is called"
    );
    assert_eq!(
        states(&stage, &token, "early", 0),
        [""; 0],
        "refunded before it was paid"
    );
    assert_eq!(states(&stage, &token, "e-books", 0), [""; 0], "nothing to deliver");
    assert_eq!(
        states(&stage, &token, "in-part", 1),
        ["CREATED"],
        "a part of the money moves nothing"
    );
    eventually("an operator sees the part", SOON, || {
        (cases(&stage, &token, "partial-refund") == 1).then_some(())
    });
    eventually("refunded before pick-up", SOON, || {
        (states(&stage, &token, "back", 1) == ["CANCELLED"]).then_some(())
    });
    assert_eq!(
        stage.run(&["dead", "list", "--json"]).json(),
        json!([]),
        "all was understood"
    );
    stage.run(&["audit", "verify"]).good();
}

mod payments_that_come_twice_early_in_part_or_for_nothing_do_what_they_should {
    use super::*;

    #[test]
    fn over_the_in_process_transport_on_sqlite() {
        story(Stage::single(&["--walk-delay", "60m"]));
    }

    #[test]
    fn over_rabbitmq_on_postgres() {
        story(Stage::real(&["--walk-delay", "60m"]));
    }
}
