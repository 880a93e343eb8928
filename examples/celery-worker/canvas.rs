//! Signatures as JSON, for tasks that send others.

use serde_json::{Value, json};

/// A task.
pub(crate) fn task(name: &str, args: Value) -> Value {
    json!({"task": name, "args": args, "kwargs": {}, "options": {}, "subtask_type": null, "immutable": false})
}

/// The same task, which takes nothing from who is before it.
pub(crate) fn immutable(mut signature: Value) -> Value {
    signature["immutable"] = json!(true);
    signature
}

/// With an option, such as `link`.
pub(crate) fn with(mut signature: Value, option: &str, value: Value) -> Value {
    signature["options"][option] = value;
    signature
}

/// One after the other.
pub(crate) fn chain(tasks: Vec<Value>) -> Value {
    composed("chain", json!({"tasks": tasks}))
}

/// Side by side.
pub(crate) fn group(tasks: Vec<Value>) -> Value {
    composed("group", json!({"tasks": tasks}))
}

/// Side by side, and then the body.
pub(crate) fn chord(header: Vec<Value>, body: Value) -> Value {
    composed("chord", json!({"kwargs": {}, "header": header, "body": body}))
}

fn composed(kind: &str, kwargs: Value) -> Value {
    json!({"task": format!("celery.{kind}"), "args": [], "kwargs": kwargs, "options": {}, "subtask_type": kind, "immutable": false})
}
