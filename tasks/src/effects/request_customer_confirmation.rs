//! Asks the customer to confirm that the books have arrived.

use serde::Deserialize;
use serde_json::Value;

use super::notify_customer::notice;
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct RequestCustomerConfirmation(EffectArgs);

impl Task<Effects> for RequestCustomerConfirmation {
    const NAME: &'static str = "waybill.request_customer_confirmation";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        // The link is derived, so a second run sends the same one.
        let link = effects.orders.confirmation_link(work.effect_id).await?;
        let finish = effects
            .hand_over(&work, notice(effects, &work, "confirm_receipt", Some(link)))
            .await;
        effects.finish(&work, finish).await
    }
}
