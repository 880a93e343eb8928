//! Tells the customer where the delivery stands.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::outside::Outside;
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::{ConfirmationLink, Stage, Work};

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct NotifyCustomer(EffectArgs);

impl Task<Effects> for NotifyCustomer {
    const NAME: &'static str = "waybill.notify_customer";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        let kind = kind(&work);
        // The link is derived, so a second run sends the same one.
        let link = match work.stage {
            Stage::Collected => effects.orders.handover_link(work.effect_id).await?,
            Stage::Attention | Stage::Other => None,
        };
        let finish = effects.hand_over(&work, notice(effects, &work, &kind, link)).await;
        effects.finish(&work, finish).await
    }
}

/// By the state that was entered, not by the present one: the order may have moved on. Whoever words the notices knows the first two
/// whatever a graph calls its states.
fn kind(work: &Work) -> String {
    match work.stage {
        Stage::Collected => "picked_up".to_owned(),
        Stage::Attention => "failed".to_owned(),
        Stage::Other => work.entered.as_str().to_lowercase(),
    }
}

/// A notice for the service that reaches customers. Their address for it stands in the drop-off.
pub(super) fn notice<'a>(effects: &'a Effects, work: &Work, kind: &str, link: Option<ConfirmationLink>) -> Outside<'a> {
    let order = &work.order;
    let (url, expires_at) = link.map(|link| (link.url, link.expires_at)).unzip();
    let mut kwargs = Map::new();
    let mut say = |name: &str, value| kwargs.insert(name.to_owned(), value);
    say("kind", json!(kind));
    say("delivery_order_id", json!(order.order_id));
    say("customer_id", json!(order.customer_id));
    say("locale", json!(order.locale));
    say("email", order.dropoff["email"].clone());
    say("phone", order.dropoff["phone"].clone());
    say("confirmation_url", json!(url));
    say("tracking_url", json!(order.tracking_url));
    say("expires_at", json!(expires_at));
    let (task, queue) = (&effects.names.notify_task, &effects.names.notify_queue);
    Outside {
        task,
        queue,
        purpose: "notifications.send",
        kwargs,
    }
}
