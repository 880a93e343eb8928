//! Takes an event that another service reports about a delivery order.

use serde::Deserialize;
use serde_json::{Map, Value};
use waybill_domain::{EventName, OrderId};

use super::{Effects, taken};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::Report;

/// Comes from other services: what is unknown is told to them, not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportEvent {
    delivery_order_id: OrderId,
    event: EventName,
    #[serde(default)]
    fields: Map<String, Value>,
    key: String,
}

impl Task<Effects> for ReportEvent {
    const NAME: &'static str = "waybill.report_event";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let report = Report {
            machine: None,
            order_id: self.delivery_order_id,
            actor: None,
            event: self.event,
            fields: Value::Object(self.fields),
            key: self.key,
        };
        taken(effects.orders.report(report).await?)
    }
}
