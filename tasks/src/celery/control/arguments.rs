//! The arguments of each command, refused in Python's words where they do not fit.

use serde_json::{Map, Value};

use super::Raised;
use crate::celery::protocol::python_repr;

/// What a command takes.
struct Signature {
    name: &'static str,
    /// Another name for it.
    alias: &'static str,
    required: &'static [&'static str],
    optional: &'static [&'static str],
    /// It ignores what it does not know.
    open: bool,
}

const fn open(name: &'static str, required: &'static [&'static str], optional: &'static [&'static str]) -> Signature {
    Signature {
        name,
        alias: "",
        required,
        optional,
        open: true,
    }
}

const fn closed(name: &'static str, optional: &'static [&'static str]) -> Signature {
    Signature {
        name,
        alias: "",
        required: &[],
        optional,
        open: false,
    }
}

const fn also(alias: &'static str, signature: Signature) -> Signature {
    Signature { alias, ..signature }
}

const COMMANDS: [Signature; 32] = [
    closed("report", &[]),
    also("dump_conf", open("conf", &[], &["with_defaults"])),
    open("query_task", &["ids"], &[]),
    open("revoke", &["task_id"], &["terminate", "signal"]),
    open("revoke_by_stamped_headers", &["headers"], &["terminate", "signal"]),
    open("terminate", &["signal", "task_id"], &[]),
    open("rate_limit", &["task_name", "rate_limit"], &[]),
    open("time_limit", &[], &["task_name", "hard", "soft"]),
    open("clock", &[], &[]),
    open("election", &["id", "topic"], &["action"]),
    closed("enable_events", &[]),
    closed("disable_events", &[]),
    closed("heartbeat", &[]),
    open("hello", &["from_node"], &["revoked"]),
    open("ping", &[], &[]),
    open("stats", &[], &[]),
    also("dump_schedule", open("scheduled", &[], &[])),
    also("dump_reserved", open("reserved", &[], &[])),
    also("dump_active", open("active", &[], &["safe"])),
    also("dump_revoked", open("revoked", &[], &[])),
    also("dump_tasks", open("registered", &[], &["taskinfoitems", "builtins"])),
    closed("objgraph", &["num", "max_depth", "type"]),
    open("memsample", &[], &[]),
    open("memdump", &[], &["samples"]),
    open("pool_grow", &[], &["n"]),
    open("pool_shrink", &[], &["n"]),
    open("pool_restart", &[], &["modules", "reload", "reloader"]),
    closed("autoscale", &["max", "min"]),
    open("shutdown", &[], &["msg"]),
    open(
        "add_consumer",
        &["queue"],
        &["exchange", "exchange_type", "routing_key"],
    ),
    open("cancel_consumer", &["queue"], &[]),
    closed("active_queues", &[]),
];

/// The arguments of a command, checked by name.
pub(super) struct Arguments {
    command: &'static str,
    given: Map<String, Value>,
}

impl Arguments {
    /// Finds the command and checks the names of its arguments.
    pub(super) fn check(method: &str, given: Map<String, Value>) -> Result<Self, Raised> {
        let named =
            |signature: &&Signature| signature.name == method || (signature.alias == method && !method.is_empty());
        let Some(signature) = COMMANDS.iter().find(named) else {
            return Err(Raised(format!("KeyError({})", python_repr(&method.into()))));
        };
        let command = signature.name;
        let known = |name: &str| signature.required.contains(&name) || signature.optional.contains(&name);
        if let Some(unknown) = given.keys().find(|name| !signature.open && !known(name)) {
            let text = format!("{command}() got an unexpected keyword argument '{unknown}'");
            return Err(Raised::type_error(&text));
        }
        let missing = signature.required.iter().filter(|name| !given.contains_key(**name));
        let missing: Vec<String> = missing.map(|name| format!("'{name}'")).collect();
        if !missing.is_empty() {
            let plural = if missing.len() == 1 { "" } else { "s" };
            let count = missing.len();
            let names = missing.join(" and ");
            let text = format!("{command}() missing {count} required positional argument{plural}: {names}");
            return Err(Raised::type_error(&text));
        }
        Ok(Self { command, given })
    }

    /// The command's own name.
    pub(super) fn command(&self) -> &'static str {
        self.command
    }

    /// What was given; null if nothing was.
    pub(super) fn get(&self, name: &str) -> &Value {
        self.given.get(name).unwrap_or(&Value::Null)
    }

    /// Python's truth of it.
    pub(super) fn is_true(&self, name: &str) -> bool {
        is_true(self.get(name))
    }

    /// A text; anything else as Python would write it.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.get(name) {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(python_repr(other)),
        }
    }

    /// A list of texts, where one alone is a list of one.
    pub(super) fn texts(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => python_repr(other),
        };
        match self.get(name) {
            Value::Null => Vec::new(),
            Value::Array(items) => items.iter().map(text).collect(),
            one => vec![text(one)],
        }
    }

    /// A count; `None` if nothing was given.
    pub(super) fn count(&self, name: &str) -> Result<Option<usize>, Raised> {
        match self.get(name) {
            Value::Null => Ok(None),
            Value::Number(number) if number.as_u64().is_some() => Ok(number
                .as_u64()
                .map(|count| usize::try_from(count).unwrap_or(usize::MAX))),
            other => Err(Raised::value_error(&format!(
                "{name}: expected a count from 0, found {}",
                python_repr(other)
            ))),
        }
    }
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
    }
}

impl Raised {
    pub(super) fn type_error(text: &str) -> Self {
        Self(format!("TypeError({})", python_repr(&text.into())))
    }

    pub(super) fn value_error(text: &str) -> Self {
        Self(format!("ValueError({})", python_repr(&text.into())))
    }
}
