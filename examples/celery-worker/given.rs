//! The arguments of a call as a Python function would take them, and Python's arithmetic on them.

use serde_json::{Map, Value, json};
use waybill_tasks::celery::protocol::plain;
use waybill_tasks::celery::registry::{Call, Exception, TaskError};

/// Arguments by name.
pub(crate) struct Given(Map<String, Value>);

impl Given {
    /// Matches positional and keyword arguments against a function's parameters; what does not fit is Python's `TypeError`.
    pub(crate) fn of<C>(call: &Call<C>, needed: &[&str], optional: &[&str]) -> Result<Self, TaskError> {
        let names: Vec<&str> = needed.iter().chain(optional).copied().collect();
        let mut given = Map::new();
        if call.request.args.len() > names.len() {
            let found = call.request.args.len();
            return Err(type_error(
                call,
                &format!("takes {} positional arguments but {found} were given", names.len()),
            ));
        }
        for (name, value) in names.iter().zip(&call.request.args) {
            given.insert((*name).to_owned(), value.clone());
        }
        for (name, value) in &call.request.kwargs {
            if !names.contains(&name.as_str()) {
                return Err(type_error(
                    call,
                    &format!("got an unexpected keyword argument '{name}'"),
                ));
            }
            if given.insert(name.clone(), value.clone()).is_some() {
                return Err(type_error(call, &format!("got multiple values for argument '{name}'")));
            }
        }
        match needed.iter().find(|name| !given.contains_key(**name)) {
            Some(name) => Err(type_error(
                call,
                &format!("missing 1 required positional argument: '{name}'"),
            )),
            None => Ok(Self(given)),
        }
    }

    /// One of them; null if it was not given.
    pub(crate) fn value(&self, name: &str) -> Value {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Text, or bytes that are text; anything else as JSON.
    pub(crate) fn text(&self, name: &str) -> String {
        let mut value = self.value(name);
        plain(&mut value);
        match value {
            Value::String(text) => text,
            other => other.to_string(),
        }
    }

    /// A number of seconds, or the default.
    pub(crate) fn seconds(&self, name: &str, default: f64) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.value(name).as_f64().unwrap_or(default))
    }

    /// A list; anything else is a list of none.
    pub(crate) fn list(&self, name: &str) -> Vec<Value> {
        self.value(name).as_array().cloned().unwrap_or_default()
    }
}

fn type_error<C>(call: &Call<C>, message: &str) -> TaskError {
    let function = call.request.task.rsplit('.').next().unwrap_or_default();
    TaskError::Failed(Exception::builtin("TypeError", format!("{function}() {message}")))
}

/// Python's `+`.
pub(crate) fn plus(left: &Value, right: &Value) -> Result<Value, TaskError> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Ok(match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => json!(left + right),
            _ => json!(left.as_f64().unwrap_or_default() + right.as_f64().unwrap_or_default()),
        }),
        (Value::String(left), Value::String(right)) => Ok(json!(format!("{left}{right}"))),
        (Value::Array(left), Value::Array(right)) => Ok(json!([left.as_slice(), right].concat())),
        _ => {
            let message = format!(
                "unsupported operand type(s) for +: '{}' and '{}'",
                kind(left),
                kind(right)
            );
            Err(Exception::builtin("TypeError", message).into())
        }
    }
}

/// Python's `sum`.
pub(crate) fn sum(values: &[Value]) -> Result<Value, TaskError> {
    values.iter().try_fold(json!(0), |total, value| plus(&total, value))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}
