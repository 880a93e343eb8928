//! How a task can end other than well, and the exceptions that Python is told.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::celery::protocol::python_repr;

/// A Python exception: what a sender gets to catch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Its class.
    pub exc_type: String,
    /// The module that the class is in.
    pub exc_module: String,
    /// Its arguments, a list.
    pub exc_message: Value,
    /// Where it was raised, as Python prints it.
    pub traceback: Option<String>,
}

impl Exception {
    /// With one argument, its message.
    pub fn new(exc_type: impl Into<String>, exc_module: impl Into<String>, message: impl Into<Value>) -> Self {
        Self {
            exc_type: exc_type.into(),
            exc_module: exc_module.into(),
            exc_message: json!([message.into()]),
            traceback: None,
        }
    }

    /// One of Python's own, such as `ValueError`.
    pub fn builtin(exc_type: impl Into<String>, message: impl Into<Value>) -> Self {
        Self::new(exc_type, "builtins", message)
    }

    /// One of `celery.exceptions`.
    pub fn celery(exc_type: impl Into<String>, message: impl Into<Value>) -> Self {
        Self::new(exc_type, "celery.exceptions", message)
    }

    /// With other arguments.
    pub fn with_arguments(mut self, arguments: Vec<Value>) -> Self {
        self.exc_message = Value::Array(arguments);
        self
    }

    /// The soft time limit is over: what a task that listens for it ends with.
    pub fn soft_time_limit_exceeded() -> Self {
        Self::new("SoftTimeLimitExceeded", "billiard.exceptions", Value::Null).with_arguments(Vec::new())
    }

    /// Its first argument as text, for people.
    pub fn message(&self) -> String {
        match &self.exc_message {
            Value::Array(arguments) if arguments.is_empty() => String::new(),
            Value::Array(arguments) if arguments.len() == 1 => shown(&arguments[0]),
            other => shown(other),
        }
    }

    /// As Python's `repr` writes it: `ValueError('boom')`.
    pub fn repr(&self) -> String {
        let arguments = match &self.exc_message {
            Value::Array(arguments) => arguments.iter().map(python_repr).collect::<Vec<_>>().join(", "),
            other => python_repr(other),
        };
        format!("{}({arguments})", self.exc_type)
    }

    /// As a result document carries it.
    pub fn to_json(&self) -> Value {
        json!({"exc_type": self.exc_type, "exc_message": self.exc_message, "exc_module": self.exc_module})
    }

    /// The traceback; a task in another language than Python has its last line only.
    pub fn traceback(&self) -> String {
        match &self.traceback {
            Some(traceback) => traceback.clone(),
            None if self.exc_module == "builtins" => format!("{}: {}\n", self.exc_type, self.message()),
            None => format!("{}.{}: {}\n", self.exc_module, self.exc_type, self.message()),
        }
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| python_repr(value), str::to_owned)
}

impl fmt::Display for Exception {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.exc_type, self.message())
    }
}

/// When a task is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// As the task's own backoff says.
    Backoff,
    /// After that long.
    In(Duration),
    /// Then.
    At(DateTime<Utc>),
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tries {
    /// As the task's options say.
    OfTask,
    /// So often.
    AtMost(u32),
    /// As often as it takes.
    Unlimited,
}

/// Again later: Python's `self.retry()`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// When.
    pub again: Again,
    /// How often at most.
    pub tries: Tries,
    /// What the sender gets when that was too often; without one it is `MaxRetriesExceededError`.
    pub exception: Option<Box<Exception>>,
    /// Other positional arguments than the message has.
    pub args: Option<Vec<Value>>,
    /// The same for keyword arguments.
    pub kwargs: Option<Map<String, Value>>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            again: Again::Backoff,
            tries: Tries::OfTask,
            exception: None,
            args: None,
            kwargs: None,
        }
    }
}

impl Retry {
    /// After a while.
    pub fn countdown(mut self, after: Duration) -> Self {
        self.again = Again::In(after);
        self
    }

    /// At an instant.
    pub fn eta(mut self, at: DateTime<Utc>) -> Self {
        self.again = Again::At(at);
        self
    }

    /// So often at most.
    pub fn max_retries(mut self, most: u32) -> Self {
        self.tries = Tries::AtMost(most);
        self
    }

    /// With these positional arguments. Of the keyword arguments those stay that they do not take the place of, as
    /// [`TaskOptions::positional`](super::TaskOptions::positional) has their names.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.args = Some(args.into_iter().map(Into::into).collect());
        self
    }

    /// With these keyword arguments. Positional arguments stay, and one of them that is named here has the new value.
    pub fn kwargs(mut self, kwargs: Map<String, Value>) -> Self {
        self.kwargs = Some(kwargs);
        self
    }

    /// Because of this.
    pub fn exception(mut self, exception: Exception) -> Self {
        self.exception = Some(Box::new(exception));
        self
    }
}

/// How a task can end other than well. Each asks something else of the worker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskError {
    /// Again later: parked, with one more on the count of retries.
    #[error("again: {}", .0.exception.as_ref().map_or("asked for".to_owned(), |it| it.to_string()))]
    Retry(Retry),
    /// Failed for good: the sender gets an exception.
    #[error("{0}")]
    Failed(Exception),
    /// The arguments are wrong: the message is set aside, and the sender gets a `TypeError`.
    #[error("{code} at {place}: {detail}")]
    Wrong {
        /// A stable word for the reason.
        code: &'static str,
        /// Where in the message.
        place: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// The broker is to have it back, to be handed out again or to be dead lettered; Python's `Reject`.
    #[error("rejected: {reason}")]
    Reject {
        /// Back into the queue.
        requeue: bool,
        /// Why, for people.
        reason: String,
    },
    /// Done, and nobody is told; Python's `Ignore`.
    #[error("ignored")]
    Ignore,
    /// Another task goes on under this one's id: see [`Scope::replace`](super::Scope::replace).
    #[error("replaced")]
    Replaced,
    /// Something the task needs does not answer: the message goes back into the queue, and the worker slows down.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

impl TaskError {
    /// Failed, as a Python `RuntimeError`.
    pub fn failed(message: impl fmt::Display) -> Self {
        Self::Failed(Exception::builtin("RuntimeError", message.to_string()))
    }

    /// Again after a while, as often as it takes. [`Retry`] has the limits that Python's `retry` has.
    pub fn retry(after: Duration, cause: impl fmt::Display) -> Self {
        Self::Retry(Retry {
            again: Again::In(after),
            tries: Tries::Unlimited,
            exception: Some(Box::new(Exception::builtin("RuntimeError", cause.to_string()))),
            ..Retry::default()
        })
    }
}

impl From<Exception> for TaskError {
    fn from(exception: Exception) -> Self {
        Self::Failed(exception)
    }
}

impl From<Retry> for TaskError {
    fn from(retry: Retry) -> Self {
        Self::Retry(retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_reads_as_python_writes_it() {
        let plain = Exception::builtin("ValueError", "it's");
        assert_eq!(plain.repr(), r#"ValueError("it's")"#);
        assert_eq!(plain.to_string(), "ValueError: it's");
        assert_eq!(plain.traceback(), "ValueError: it's\n");

        let soft = Exception::soft_time_limit_exceeded();
        assert_eq!(soft.repr(), "SoftTimeLimitExceeded()");
        assert_eq!(soft.to_json()["exc_message"], json!([]));
        assert_eq!(soft.traceback(), "billiard.exceptions.SoftTimeLimitExceeded: \n");
    }
}
