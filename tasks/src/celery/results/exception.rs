//! Python's exceptions, as documents.

use serde_json::{Value, json};

use crate::celery::protocol::python_repr;

/// An exception as Python reads it out of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The class, such as `ValueError`.
    pub exc_type: String,
    /// The module that it is in, such as `builtins`.
    pub exc_module: String,
    /// What it was made with: a list of arguments, or one text.
    pub exc_message: Value,
    /// For people; Python prints it above the exception.
    pub traceback: Option<String>,
}

impl Exception {
    /// With one argument, and the last line of a traceback: a worker in another language has no more of it.
    pub fn new(exc_type: impl Into<String>, exc_module: impl Into<String>, message: impl Into<String>) -> Self {
        let (exc_type, exc_module, message) = (exc_type.into(), exc_module.into(), message.into());
        Self {
            traceback: Some(format!("{exc_module}.{exc_type}: {message}\n")),
            exc_type,
            exc_module,
            exc_message: json!([message]),
        }
    }

    /// `ChordError`: a part of a header has failed, or the parts could not be joined.
    pub fn chord_error(message: impl Into<String>) -> Self {
        Self::new("ChordError", "celery.exceptions", message)
    }

    /// `TaskRevokedError`, whose reason is one of `revoked`, `expired`, `terminated`.
    pub fn revoked(reason: &str) -> Self {
        Self {
            traceback: None,
            ..Self::new("TaskRevokedError", "celery.exceptions", reason)
        }
    }

    /// The document.
    pub fn to_json(&self) -> Value {
        json!({"exc_type": self.exc_type, "exc_message": self.exc_message, "exc_module": self.exc_module})
    }

    /// Reads a document. What is none becomes an `Exception` that shows it.
    pub fn from_value(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(exc_type) = text("exc_type") else {
            return Self {
                traceback: None,
                ..Self::new("Exception", "builtins", python_repr(value))
            };
        };
        Self {
            exc_type,
            exc_module: text("exc_module").unwrap_or_else(|| "celery.exceptions".to_owned()),
            exc_message: value.get("exc_message").cloned().unwrap_or_else(|| json!("")),
            traceback: None,
        }
    }

    /// As Python's `repr` writes it: `ValueError('boom')`.
    pub fn repr(&self) -> String {
        let name = self.exc_type.rsplit('.').next().unwrap_or_default();
        match &self.exc_message {
            Value::Array(args) => {
                let args: Vec<_> = args.iter().map(python_repr).collect();
                format!("{name}({})", args.join(", "))
            }
            other => format!("{name}({})", python_repr(other)),
        }
    }
}
