//! Protocol 1: everything in one JSON object. No current producer sends it by default, every current worker takes it.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::decode::{Parts, list, object};
use super::fields::Field;
use super::malformed::Malformed;
use super::{Embed, Request};
use crate::celery::message::{Headers, Message};

/// A message without a `task` header whose body is an object.
pub(super) fn read(message: &Message, fields: Map<String, Value>) -> Result<Request, Malformed> {
    if !fields.contains_key("task") {
        return Err(Malformed::wrong(
            "unknown-message",
            "body.task",
            "a task name, here or in the headers",
            "none",
        ));
    }
    let names = (fields.get("task").cloned(), fields.get("id").cloned());
    let named = |mut malformed: Malformed| {
        malformed.task = names.0.as_ref().and_then(Value::as_str).map(str::to_owned);
        malformed.task_id = names.1.as_ref().and_then(Value::as_str).map(str::to_owned);
        malformed
    };
    whole(message, fields).map_err(named)
}

fn whole(message: &Message, fields: Map<String, Value>) -> Result<Request, Malformed> {
    let (parts, mut fields) = parts(fields)?;
    let mut field = |name: &'static str| Field::from_json(name, fields.remove(name));
    let task = field("task").text("bad-task")?.filter(|task| !task.is_empty());
    let Some(task) = task else {
        return Err(Malformed::wrong("bad-task", "body.task", "a task name", "nothing"));
    };
    let id = field("id").text("bad-id")?.filter(|id| !id.is_empty());
    let taskset = field("taskset").text("bad-header")?;
    Ok(Request {
        // The same bytes get the same id, so that a redelivery is known as one.
        id: id.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_OID, &message.body).to_string()),
        task,
        shadow: None,
        args: parts.args,
        kwargs: parts.kwargs,
        embed: parts.embed,
        eta: field("eta").instant("bad-eta")?,
        expires: field("expires").instant("bad-expires")?,
        retries: field("retries").count("bad-retries")?,
        timelimit: field("timelimit").timelimit()?,
        group: taskset.or(field("group").text("bad-header")?),
        group_index: field("group_index").integer("bad-header")?,
        root_id: None,
        parent_id: None,
        origin: None,
        ignore_result: None,
        argsrepr: None,
        kwargsrepr: None,
        replaced_task_nesting: 0,
        stamped_headers: Vec::new(),
        stamps: Headers::new(),
        priority: message.properties.priority,
        reply_to: message.properties.reply_to.clone(),
        correlation_id: message.properties.correlation_id.clone(),
        properties: message.properties.clone(),
        headers: message.headers.clone(),
    })
}

/// Takes arguments and embedded signatures out of an object; absent arguments are none.
pub(super) fn parts(mut fields: Map<String, Value>) -> Result<(Parts, Map<String, Value>), Malformed> {
    let args = fields.remove("args").unwrap_or_else(|| Value::Array(Vec::new()));
    let kwargs = fields.remove("kwargs").unwrap_or_else(|| Value::Object(Map::new()));
    let parts = Parts {
        args: list(args, "body.args")?,
        kwargs: object(kwargs, "body.kwargs")?,
        embed: Embed::from_fields(&mut fields, "body")?,
    };
    Ok((parts, fields))
}
