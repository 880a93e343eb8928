//! Messages that are no tasks, and those of an older time.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{dead, payment, waybill};
use crate::stage::{Stage, eventually};

/// Publishes to our queue whatever it is.
fn publish(stage: &Stage, headers: &Json, properties: &Json, body: &str) {
    let (headers, properties) = (headers.to_string(), properties.to_string());
    let command = [
        "--queue",
        "waybill",
        "publish",
        "--headers",
        &headers,
        "--properties",
        &properties,
        "--body",
        body,
    ];
    stage.run_python("tests/interop/python/peer.py", &command).good();
}

fn wait_for_dead(stage: &Stage, count: usize) -> Vec<Json> {
    eventually(
        &format!("{count} messages are set aside"),
        Duration::from_secs(20),
        || Some(dead(stage)).filter(|dead| dead.len() == count),
    )
}

#[test]
fn what_is_no_task_is_set_aside_whole_with_its_reason_and_place() {
    let stage = waybill();
    let id = json!({"task": "waybill.create_delivery_order", "id": "a-1"});
    let nothing = json!({});
    let cases = [
        (&id, &nothing, "[[], {}]", ["body-two-elements", "body"]),
        (&id, &nothing, "", ["body-empty", "body"]),
        (
            &id,
            &nothing,
            "{\"no\": ",
            ["body-not-json", "body.no (line 1, column 7)"],
        ),
        (
            &json!({"task": "waybill.create_delivery_order"}),
            &nothing,
            "[[], {}, {}]",
            ["missing-id", "headers.id"],
        ),
        (&nothing, &nothing, "[[], {}, {}]", ["unknown-message", "headers.task"]),
        (
            &id,
            &json!({"content_type": "application/x-python-serialize", "content_encoding": "binary"}),
            "cos\nsystem\n(S'true'\ntR.",
            ["unsupported-content-type", "properties.content_type"],
        ),
    ];

    let mut expected = Vec::new();
    for (headers, properties, body, verdict) in cases {
        publish(&stage, headers, properties, body);
        expected.push(json!([verdict[0], verdict[1], body.len()]));
        wait_for_dead(&stage, expected.len());
    }

    let found: Vec<Json> = dead(&stage)
        .iter()
        .map(|dead| json!([dead["reason"], dead["place"], dead["size"]]))
        .collect();
    assert_eq!(found, expected);
    let oldest = &dead(&stage)[0];
    assert_eq!(
        (&oldest["source"], &oldest["queue"], &oldest["task_id"]),
        (&json!("amqp"), &json!("waybill"), &json!("a-1"))
    );
    let shown = stage
        .run(&["dead", "show", oldest["id"].as_str().unwrap(), "--json", "--whole"])
        .good();
    assert!(shown.contains("[[], {}]"), "{shown}");
    assert_eq!(
        stage.clients.queue("waybill").map(|(messages, _)| messages),
        Some(0),
        "nothing is left in the queue"
    );
}

#[test]
fn a_message_that_is_sent_again_goes_back_to_its_queue_as_it_was() {
    let mut stage = waybill();
    let headers = json!({"task": "waybill.vanish", "id": "a-1", "note": "kept"});
    let properties = json!({"correlation_id": "a-1", "priority": 3});
    publish(&stage, &headers, &properties, "[[1], {}, {}]");
    let set_aside = wait_for_dead(&stage, 1);
    assert_eq!(stage.process(1).stop(), 0, "now nobody consumes");

    let replayed = stage
        .run(&["dead", "replay", set_aside[0]["id"].as_str().unwrap(), "--yes"])
        .good();
    let got = stage
        .run_python(
            "tests/interop/python/peer.py",
            &["--queue", "waybill", "get", "--seconds", "10"],
        )
        .json();

    assert_eq!(replayed, "sent 1 of 1 again\n");
    assert_eq!(
        (&got["body"], &got["exchange"], &got["routing_key"]),
        (&json!("[[1], {}, {}]"), &json!(""), &json!("waybill"))
    );
    for (name, value) in headers.as_object().unwrap() {
        assert_eq!(&got["headers"][name], value, "{got}");
    }
    for (name, value) in [
        ("correlation_id", json!("a-1")),
        ("priority", json!(3)),
        ("content_type", json!("application/json")),
    ] {
        assert_eq!(got["properties"][name], value, "{got}");
    }
    assert_eq!(dead(&stage).len(), 0, "it is no longer listed");
    assert_eq!(
        stage
            .run(&["dead", "list", "--all", "--json"])
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn a_task_in_the_first_protocol_makes_an_order() {
    let stage = waybill();
    let body = json!({
        "task": "waybill.create_delivery_order", "id": "old-1", "args": [],
        "kwargs": {"event_id": "evt-1", "payment": payment("ord-1")}, "retries": 0, "eta": null, "expires": null, "utc": true,
        "callbacks": null, "errbacks": null, "timelimit": [null, null], "taskset": null, "chord": null,
    });

    publish(
        &stage,
        &json!({}),
        &json!({"correlation_id": "old-1"}),
        &body.to_string(),
    );

    eventually("an order", Duration::from_secs(20), || {
        (stage.count("SELECT count(*) FROM delivery_orders WHERE ordering_id = 'ord-1'") == 1).then_some(())
    });
    assert_eq!(dead(&stage).len(), 0);
}
