//! What Python gets of the tasks that it sends.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{dead, payment, send_and_get, waybill};
use crate::stage::eventually;
use crate::stage::people::text;

#[test]
fn python_gets_the_order_that_its_task_made_and_the_exception_of_one_that_is_wrong() {
    let stage = waybill();
    let create = |event: &str, payment: Json| {
        send_and_get(
            &stage,
            "waybill.create_delivery_order",
            &json!([]),
            &json!({"event_id": event, "payment": payment}),
        )
    };

    let made = create("evt-1", payment("ord-1"));
    let again = create("evt-1", payment("ord-1"));
    let conflict = create("evt-1", payment("ord-2"));
    let mut lacking = payment("ord-3");
    lacking["items"][0]["quantity"] = json!(0);
    let lacking = create("evt-3", lacking);
    let unknown = send_and_get(&stage, "waybill.vanish", &json!([]), &json!({}));
    let positional = send_and_get(&stage, "waybill.create_delivery_order", &json!(["evt-4"]), &json!({}));
    let surplus = send_and_get(&stage, "waybill.report_event", &json!([]), &json!({"surplus": 1}));

    assert_eq!(made["state"], "SUCCESS", "{made}");
    let order = text(&made["result"]["delivery_order_id"]);
    assert_eq!(
        stage.count(&format!(
            "SELECT count(*) FROM delivery_orders WHERE order_id = '{order}'"
        )),
        1
    );
    assert_eq!(
        (&again["state"], &again["result"]),
        (&json!("SUCCESS"), &Json::Null),
        "{again}"
    );
    for (told, kind) in [
        (&conflict, "TypeError"),
        (&lacking, "TypeError"),
        (&unknown, "NotRegistered"),
        (&positional, "TypeError"),
        (&surplus, "TypeError"),
    ] {
        assert_eq!(
            (&told["state"], &told["error"]["type"]),
            (&json!("FAILURE"), &json!(kind)),
            "{told}"
        );
    }
    assert!(
        text(&lacking["error"]["text"]).contains("body[1].payment.items[0].quantity"),
        "{lacking}"
    );
    assert!(text(&unknown["error"]["text"]).contains("waybill.vanish"), "{unknown}");
    let dead = dead(&stage);
    let reasons: Vec<(&Json, &Json)> = dead.iter().map(|dead| (&dead["reason"], &dead["task_id"])).collect();
    assert_eq!(
        reasons,
        [
            (&json!("event-key-conflict"), &conflict["id"]),
            (&json!("wrong-arguments"), &lacking["id"]),
            (&json!("unknown-task"), &unknown["id"]),
            (&json!("wrong-arguments"), &positional["id"]),
            (&json!("wrong-arguments"), &surplus["id"]),
        ]
    );
    assert_eq!(stage.count("SELECT count(*) FROM delivery_orders"), 1);
}

#[test]
fn an_event_that_python_reports_moves_the_order_once() {
    let stage = waybill();
    let made = send_and_get(
        &stage,
        "waybill.create_delivery_order",
        &json!([]),
        &json!({"event_id": "evt-1", "payment": payment("ord-1")}),
    );
    let order = text(&made["result"]["delivery_order_id"]);
    let state = || {
        stage
            .database
            .as_ref()
            .unwrap()
            .query(&format!("SELECT state FROM instances WHERE id = '{order}'"))
    };
    eventually("it is delivered", Duration::from_secs(30), || {
        (state() == "DELIVERED").then_some(())
    });
    let report = |event: &str, key: &str, fields: Json| {
        let kwargs = json!({"delivery_order_id": order, "event": event, "fields": fields, "key": key});
        send_and_get(&stage, "waybill.report_event", &json!([]), &kwargs)
    };

    let cancelled = report("CANCELLED", "k-1", json!({"cancel_reason": "CUSTOMER_REQUEST"}));
    let vanished = report("VANISHED", "k-2", json!({}));
    let nobody = send_and_get(
        &stage,
        "waybill.report_event",
        &json!([]),
        &json!({"delivery_order_id": uuid::Uuid::nil(), "event": "CANCELLED", "fields": {}, "key": "k-3"}),
    );

    let confirmed = report("CUSTOMER_CONFIRMED", "k-4", json!({}));
    let again = report("CUSTOMER_CONFIRMED", "k-4", json!({}));

    for told in [&cancelled, &vanished, &nobody] {
        assert_eq!(
            (&told["state"], &told["error"]["type"]),
            (&json!("FAILURE"), &json!("TypeError")),
            "{told}"
        );
    }
    assert_eq!(
        (&confirmed["state"], &confirmed["result"]),
        (&json!("SUCCESS"), &again["result"]),
        "{confirmed} {again}"
    );
    assert_eq!(state(), "DELIVERY_CONFIRMED");
    let reported =
        format!("SELECT count(*) FROM transitions WHERE order_id = '{order}' AND event = 'CUSTOMER_CONFIRMED'");
    assert_eq!(stage.count(&reported), 1);
    assert_eq!(dead(&stage).len(), 3);
}
