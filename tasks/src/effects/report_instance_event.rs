//! Takes an event that another service reports about an instance of a machine.

use serde::Deserialize;
use serde_json::{Map, Value};
use waybill_domain::{Actor, EventName, MachineName, OrderId};

use super::{Effects, taken};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::Report;

/// Comes from other services: what is unknown is told to them, not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportInstanceEvent {
    machine: MachineName,
    instance_id: OrderId,
    event: EventName,
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    actor: Option<Actor>,
    key: String,
}

impl Task<Effects> for ReportInstanceEvent {
    const NAME: &'static str = "waybill.report_instance_event";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let report = Report {
            machine: Some(self.machine),
            order_id: self.instance_id,
            event: self.event,
            fields: Value::Object(self.fields),
            actor: self.actor,
            key: self.key,
        };
        taken(effects.orders.report(report).await?)
    }
}
