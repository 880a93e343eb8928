//! The tasks, as the `celery` crate wants them: a function whose parameters are the keyword arguments.
#![expect(
    non_local_definitions,
    reason = "the crate's macro writes its `impl` inside a constant"
)]

use celery::prelude::*;
use serde_json::{Value, json};

/// Produced only: Waybill runs it.
#[celery::task(name = "waybill.create_delivery_order")]
pub(crate) async fn create_delivery_order(event_id: String, payment: Value) -> TaskResult<()> {
    Err(TaskError::UnexpectedError(format!(
        "waybill runs this, not its peer: {event_id} {payment}"
    )))
}

/// Produced only: Waybill runs it.
#[celery::task(name = "waybill.report_event")]
pub(crate) async fn report_event(
    delivery_order_id: String,
    event: String,
    fields: Value,
    key: String,
) -> TaskResult<()> {
    Err(TaskError::UnexpectedError(format!(
        "waybill runs this, not its peer: {delivery_order_id} {event} {fields} {key}"
    )))
}

/// What Waybill tells order management about a delivery order that has ended; the crate leaves out what is not named here.
#[celery::task(name = "oms.delivery_update")]
pub(crate) async fn delivery_update(
    delivery_order_id: String,
    ordering_id: String,
    state: String,
    outcome: Option<String>,
    failure_reason: Option<String>,
    sequence: i64,
) -> TaskResult<()> {
    println!(
        "{}",
        json!({
            "delivery_order_id": delivery_order_id, "ordering_id": ordering_id, "state": state, "outcome": outcome,
            "failure_reason": failure_reason, "sequence": sequence
        })
    );
    Ok(())
}

/// Consumed only, by `make bench`: what a worker costs that has nothing to do.
#[celery::task(name = "bench.noop", acks_late = true)]
pub(crate) async fn noop() -> TaskResult<()> {
    Ok(())
}

/// Consumed only: the task of the interop tests.
#[celery::task(name = "interop.add", acks_late = true)]
pub(crate) async fn add(x: i64, y: i64) -> TaskResult<i64> {
    println!("{}", json!({"sum": x + y}));
    Ok(x + y)
}
