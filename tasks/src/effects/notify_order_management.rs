//! Tells order management how a delivery order ended.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::outside::Outside;
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::Work;

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct NotifyOrderManagement(EffectArgs);

impl Task<Effects> for NotifyOrderManagement {
    const NAME: &'static str = "waybill.notify_order_management";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        let finish = effects.hand_over(&work, update(effects, &work)).await;
        effects.finish(&work, finish).await
    }
}

fn update<'a>(effects: &'a Effects, work: &Work) -> Outside<'a> {
    let order = &work.order;
    let mut kwargs = Map::new();
    let mut say = |name: &str, value| kwargs.insert(name.to_owned(), value);
    say("delivery_order_id", json!(order.order_id));
    say("ordering_id", json!(order.ordering_id));
    say("customer_id", json!(order.customer_id));
    say("payment_id", json!(order.payment_id));
    say("attempt", json!(order.attempt));
    say("successor_id", json!(order.successor_id));
    say("state", json!(work.entered));
    say("outcome", json!(order.outcome));
    say("failure_reason", json!(order.failure_reason));
    say("confirmed_by", json!(order.confirmed_by));
    say("sequence", json!(work.sequence));
    say("occurred_at", json!(work.occurred_at));
    let (task, queue) = (&effects.names.oms_task, &effects.names.oms_queue);
    Outside {
        task,
        queue,
        purpose: "oms.delivery_update",
        kwargs,
    }
}
