//! Brings an instance of a machine into being, for another service.

use serde::Deserialize;
use serde_json::{Map, Value};
use waybill_domain::{Actor, MachineName};

use super::{Effects, taken};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::NewInstance;

/// Comes from other services: what is unknown is told to them, not ignored.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateInstance {
    machine: MachineName,
    #[serde(default)]
    fields: Map<String, Value>,
    #[serde(default)]
    actor: Option<Actor>,
    key: String,
}

impl Task<Effects> for CreateInstance {
    const NAME: &'static str = "waybill.create_instance";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let new = NewInstance {
            machine: self.machine,
            fields: Value::Object(self.fields),
            actor: self.actor,
            key: self.key,
        };
        taken(effects.orders.create_instance(new).await?)
    }
}
