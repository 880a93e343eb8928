//! The tasks, as the `celery` crate wants them: a function whose parameters are the keyword arguments.
#![expect(non_local_definitions, reason = "the crate's macro writes its `impl` inside a constant")]

use celery::prelude::*;
use serde_json::{Value, json};

/// Produced only: Waybill runs it.
#[celery::task(name = "waybill.create_delivery_order")]
pub(crate) async fn create_delivery_order(event_id: String, payment: Value) -> TaskResult<()> {
    Err(TaskError::UnexpectedError(format!("waybill runs this, not its peer: {event_id} {payment}")))
}

/// Produced only: Waybill runs it.
#[celery::task(name = "waybill.report_event")]
pub(crate) async fn report_event(delivery_order_id: String, event: String, fields: Value, key: String) -> TaskResult<()> {
    Err(TaskError::UnexpectedError(format!(
        "waybill runs this, not its peer: {delivery_order_id} {event} {fields} {key}"
    )))
}

/// What Waybill tells order management about a delivery order that has ended.
#[celery::task(name = "oms.delivery_update")]
#[expect(clippy::too_many_arguments, reason = "the crate makes one parameter of each keyword argument")]
pub(crate) async fn delivery_update(
    delivery_order_id: String,
    ordering_id: String,
    customer_id: String,
    payment_id: String,
    attempt: u32,
    successor_id: Option<String>,
    state: String,
    outcome: Option<String>,
    failure_reason: Option<String>,
    confirmed_by: Option<String>,
    sequence: i64,
    occurred_at: String,
) -> TaskResult<()> {
    println!(
        "{}",
        json!({
            "delivery_order_id": delivery_order_id, "ordering_id": ordering_id, "customer_id": customer_id,
            "payment_id": payment_id, "attempt": attempt, "successor_id": successor_id, "state": state,
            "outcome": outcome, "failure_reason": failure_reason, "confirmed_by": confirmed_by,
            "sequence": sequence, "occurred_at": occurred_at
        })
    );
    Ok(())
}
