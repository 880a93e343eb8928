//! Applies a partner's callback that the webhooks have stored.

use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Effects;
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};

/// What was said lies in the store: the message carries its id only.
#[derive(Debug, Deserialize)]
pub(super) struct ApplyPartnerCallback {
    callback_id: Uuid,
}

impl Task<Effects> for ApplyPartnerCallback {
    const NAME: &'static str = "waybill.apply_partner_callback";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        effects.orders.apply_callback(self.callback_id).await?;
        Ok(json!({"ended": "done"}))
    }
}
