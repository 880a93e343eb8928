//! Python's exceptions as results hold them.

use serde_json::{Value, json};

use crate::celery::protocol::python_repr;
pub use crate::celery::registry::Exception;

impl Exception {
    /// `ChordError`: a part of a header has failed, or the parts could not be joined.
    pub fn chord_error(message: impl Into<String>) -> Self {
        Self::celery("ChordError", message.into())
    }

    /// Reads a document. What is none becomes an `Exception` that shows it.
    pub fn from_json(value: &Value) -> Self {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let Some(exc_type) = text("exc_type") else {
            return Self::builtin("Exception", python_repr(value));
        };
        Self {
            exc_type,
            exc_module: text("exc_module").unwrap_or_else(|| "celery.exceptions".to_owned()),
            exc_message: value.get("exc_message").cloned().unwrap_or_else(|| json!("")),
            traceback: None,
        }
    }
}
