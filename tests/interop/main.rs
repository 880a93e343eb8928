//! Stock Celery on the other side, and the `celery` crate: they cannot tell what Waybill is written in.

mod cluster;
mod flags;
mod messages;
mod peer;
mod refused;
mod results;
#[path = "../support/stage.rs"]
#[expect(dead_code, reason = "for all stories, and each folder tells only some")]
mod stage;
mod suite;
mod updates;
mod worker;

use serde_json::{Value as Json, json};

use stage::Stage;

/// Waybill at work on real services, with nobody else.
fn waybill() -> Stage {
    let mut stage = Stage::real(&["--walk-delay", "100ms"]);
    stage.start(&["all"]);
    stage.await_consumers();
    stage
}

/// The `payment` of one printed book.
fn payment(ordering: &str) -> Json {
    let address =
        json!({"name": "A. Reader", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"});
    json!({
        "payment_id": format!("pay-{ordering}"), "ordering_id": ordering, "customer_id": "cus-1", "locale": "de",
        "amount": {"minor_units": 4599, "currency": "EUR"}, "pickup": address, "dropoff": address,
        "items": [{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}],
    })
}

/// What Python sees of a task that it sends with `send_task`, over `rpc://`.
fn send_and_get(stage: &Stage, task: &str, args: &Json, kwargs: &Json) -> Json {
    let (args, kwargs) = (args.to_string(), kwargs.to_string());
    let command = [
        "--backend",
        "rpc://",
        "--queue",
        "waybill",
        "send",
        task,
        "--args",
        &args,
        "--kwargs",
        &kwargs,
        "--wait",
        "20",
    ];
    stage.run_python("tests/interop/python/peer.py", &command).json()
}

/// What was set aside, oldest first.
fn dead(stage: &Stage) -> Vec<Json> {
    let listed = stage.run(&["dead", "list", "--json"]).json();
    listed.as_array().expect("a list").clone()
}
