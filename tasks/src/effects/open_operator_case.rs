//! Puts an order that needs a person before the operators.

use serde::Deserialize;
use serde_json::Value;

use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::Finish;

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct OpenOperatorCase(EffectArgs);

impl Task<Effects> for OpenOperatorCase {
    const NAME: &'static str = "waybill.open_operator_case";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        effects.orders.open_case(work.effect_id).await?;
        effects.finish(&work, Finish::Done).await
    }
}
