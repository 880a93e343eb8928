//! What a worker says of itself is what happens to its tasks.

use serde_json::json;

use super::*;
use crate::celery::message::{HeaderValue, Headers};
use crate::celery::protocol::Signature;

fn delivery(signature: Signature) -> (Arc<Request>, Delivery) {
    let message = signature.into_message();
    let request = Arc::new(Request::decode(&message).unwrap());
    let delivery = Delivery {
        queue: message.routing_key.clone(),
        message,
        redelivered: true,
    };
    (request, delivery)
}

fn add(id: &str) -> (Arc<Request>, Delivery) {
    delivery(
        Signature::new("math.add")
            .id(id)
            .args(vec![json!(2)])
            .kwargs(json!({"y": "z"})),
    )
}

#[test]
fn a_task_is_reserved_then_active_then_gone_and_stays_counted() {
    let state = WorkerState::new("w1@host", 2);
    let (request, delivery) = add("a");

    let ticket = state.received(&request, &delivery);
    assert_eq!((state.reserved().len(), state.active().len()), (1, 0));
    let reserved = state.reserved()[0].info("w1@host", false);
    ticket.started();
    ticket.started();
    ticket.acknowledged();
    assert_eq!((state.reserved().len(), state.active().len()), (0, 1));
    let active = state.active()[0].info("w1@host", true);
    drop(ticket);

    assert_eq!(state.counts(), (0, 0));
    assert_eq!(state.totals(), [("math.add".to_owned(), 1)].into());
    assert_eq!(
        reserved,
        json!({
            "id": "a", "name": "math.add", "args": [2], "kwargs": {"y": "z"}, "type": "math.add", "hostname": "w1@host",
            "time_start": null, "acknowledged": false, "worker_pid": null,
            "delivery_info": {"exchange": "", "routing_key": "celery", "priority": null, "redelivered": true},
        })
    );
    assert_eq!(
        (&active["args"], &active["kwargs"]),
        (&json!("(2,)"), &json!("{'y': 'z'}"))
    );
    assert!(active["time_start"].as_f64().unwrap() > 1.0e9);
    assert_eq!(
        (&active["acknowledged"], &active["worker_pid"]),
        (&json!(true), &json!(std::process::id()))
    );
}

#[test]
fn a_message_that_is_in_hand_twice_leaves_twice() {
    let state = WorkerState::new("w1@host", 2);
    let (request, delivery) = add("a");

    let first = state.received(&request, &delivery);
    let second = state.received(&request, &delivery);
    drop(first);

    assert_eq!(state.find("a").len(), 1);
    drop(second);
    assert_eq!(state.find("a").len(), 0);
}

#[test]
fn terminating_reaches_whoever_runs_the_task() {
    let state = WorkerState::new("w1@host", 2);
    let (request, delivery) = add("a");
    let ticket = state.received(&request, &delivery);
    let token = state.cancel_token("a").unwrap();
    assert!(state.cancel_token("b").is_none());

    let ended = state.terminate(&["a".to_owned(), "b".to_owned()], Signal::TERM);

    assert_eq!(ended, ["a"]);
    assert!(token.is_cancelled() && ticket.termination().is_cancelled());
    assert_eq!(ticket.signal(), Some(Signal::TERM));
}

#[test]
fn a_task_is_revoked_by_its_id_or_by_a_stamp() {
    let state = WorkerState::new("w1@host", 2);
    let stamped = |value: HeaderValue| {
        let stamps = Headers::from([("order".to_owned(), value)]);
        let names = HeaderValue::List(vec!["order".into()]);
        let (_, mut delivery) = add("s");
        delivery.message.headers.insert("stamped_headers".to_owned(), names);
        delivery
            .message
            .headers
            .insert("stamps".to_owned(), HeaderValue::Table(stamps));
        Request::decode(&delivery.message).unwrap()
    };
    let (one, _) = add("a");
    assert!(!state.is_revoked(&one));

    state.revoke(["a", "b"]);
    state.revoke_stamped("order", [json!("o-1"), json!(7), json!(true), json!([8, 9])]);

    assert!(state.is_revoked(&one));
    assert!(!state.is_revoked(&add("c").0));
    assert_eq!(state.revoked_ids(), ["a", "b"]);
    for (value, revoked) in [
        ("o-1".into(), true),
        ("o-2".into(), false),
        (HeaderValue::Int(7), true),
        (HeaderValue::Float(7.0), true),
        (HeaderValue::Int(1), true),
        (HeaderValue::List(vec![HeaderValue::Int(8), HeaderValue::Int(7)]), true),
        (HeaderValue::List(vec![HeaderValue::Int(8), HeaderValue::Int(9)]), false),
        (HeaderValue::List(vec!["o-3".into(), "o-1".into()]), true),
        (HeaderValue::List(vec![]), false),
    ] {
        assert_eq!(state.is_revoked(&stamped(value)), revoked);
    }
}
