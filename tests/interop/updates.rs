//! What a stock Celery worker receives from us.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{payment, send_and_get};
use crate::stage::people::{NOTICES, OMS, text};
use crate::stage::{Stage, eventually};

#[test]
fn python_workers_receive_the_keyword_arguments_that_the_interface_names() {
    let mut stage = Stage::real(&["--walk-delay", "100ms"]);
    stage.employ("yes");
    stage.start(&["all"]);
    stage.await_consumers();
    let mut paid = payment("ord-1");
    paid["dropoff"]["email"] = json!("reader@example.org");
    let made = send_and_get(
        &stage,
        "waybill.create_delivery_order",
        &json!([]),
        &json!({"event_id": "evt-1", "payment": paid}),
    );
    let order = text(&made["result"]["delivery_order_id"]);

    let update = eventually("the update", Duration::from_secs(30), || stage.lines(OMS).pop());

    let names = |told: &Json| -> BTreeSet<String> { told.as_object().unwrap().keys().cloned().collect() };
    let promised = [
        "task_id",
        "delivery_order_id",
        "ordering_id",
        "customer_id",
        "payment_id",
        "attempt",
        "successor_id",
        "state",
        "outcome",
        "failure_reason",
        "confirmed_by",
        "sequence",
        "occurred_at",
    ];
    assert_eq!(names(&update), promised.map(str::to_owned).into());
    for (name, value) in [
        ("delivery_order_id", json!(order)),
        ("ordering_id", json!("ord-1")),
        ("customer_id", json!("cus-1")),
        ("payment_id", json!("pay-ord-1")),
        ("attempt", json!(1)),
        ("successor_id", Json::Null),
        ("state", json!("DELIVERY_CONFIRMED")),
        ("outcome", json!("success")),
        ("failure_reason", Json::Null),
        ("confirmed_by", json!("customer")),
    ] {
        assert_eq!(update[name], value, "{name} of {update}");
    }
    let sequence = update["sequence"].as_i64().unwrap();
    let log = format!("SELECT to_state FROM transitions WHERE order_id = '{order}' AND sequence = {sequence}");
    assert_eq!(stage.database.as_ref().unwrap().query(&log), "DELIVERY_CONFIRMED");
    let notices = stage.lines(NOTICES);
    let asked = notices
        .iter()
        .find(|notice| notice["kind"] == "confirm_receipt")
        .expect("the customer was asked");
    for name in [
        "task_id",
        "delivery_order_id",
        "customer_id",
        "locale",
        "email",
        "phone",
        "confirmation_url",
        "tracking_url",
        "expires_at",
    ] {
        assert!(asked.get(name).is_some(), "{name} in {asked}");
    }
    assert_eq!(
        (&asked["email"], &asked["locale"]),
        (&json!("reader@example.org"), &json!("de"))
    );
}
