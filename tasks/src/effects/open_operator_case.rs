//! Puts an instance that needs a person before the operators.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{EffectArgs, Effects};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::Finish;

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct OpenOperatorCase(EffectArgs);

impl Task<Effects> for OpenOperatorCase {
    const NAME: &'static str = "waybill.open_operator_case";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        // Any machine may ask for it, and what is begun has the record of a delivery order. A second case is never opened.
        effects.orders.open_case(self.0.effect_id).await?;
        effects.orders.finish(self.0.effect_id, Finish::Done).await?;
        Ok(json!({"ended": "done"}))
    }
}
