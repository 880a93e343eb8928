//! The tasks of Celery's own integration tests, under their names and with their behaviour, for a worker that is none of Python's.

mod again;
mod plain;
mod replacing;

use serde_json::Value;
use waybill_tasks::celery::registry::{Exception, Registry, TaskError, TaskOptions};

use crate::Lent;

/// All of them.
pub(crate) fn register(registry: Registry<Lent>) -> Registry<Lent> {
    replacing::register(again::register(plain::register(registry)))
}

fn name(task: &str) -> String {
    format!("t.integration.tasks.{task}")
}

/// As Celery's defaults are: acknowledged before the work begins.
fn early() -> TaskOptions {
    TaskOptions {
        acks_late: false,
        ..TaskOptions::default()
    }
}

/// The suite's own exception.
fn expected(arguments: Vec<Value>) -> Exception {
    Exception::new("ExpectedException", "t.integration.tasks", Value::Null).with_arguments(arguments)
}

/// What a task ends with that was to fail.
fn value_error(message: &str) -> TaskError {
    Exception::builtin("ValueError", message).into()
}
