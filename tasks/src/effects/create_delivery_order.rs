//! Takes a payment event that comes as a task instead of an event.

use serde::Deserialize;
use serde_json::Value;

use super::{Effects, taken};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};

/// Comes from other services: what is unknown is told to them, not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateDeliveryOrder {
    event_id: String,
    payment: Value,
}

impl Task<Effects> for CreateDeliveryOrder {
    const NAME: &'static str = "waybill.create_delivery_order";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        taken(effects.orders.create(self.event_id, self.payment).await?)
    }
}
