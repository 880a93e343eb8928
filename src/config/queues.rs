//! `WAYBILL_QUEUE`, and the tasks of other services: `WAYBILL_OMS_*`, `WAYBILL_NOTIFY_*`.

use super::SettingsError;
use super::reader::{Reader, Value};

/// Payment events have a queue of their own, bound to another exchange.
const PAYMENTS: &str = "waybill.payments";

/// Our queue, and the tasks of others that we call.
#[derive(Debug, Clone)]
pub struct Queues {
    /// Our task queue.
    pub tasks: String,
    /// Order management, told of each end.
    pub oms: Destination,
    /// Customer notices.
    pub notices: Destination,
}

/// A task of another service.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Its Celery name.
    pub task: String,
    /// The queue it is published to.
    pub queue: String,
}

pub(super) fn read(reader: &mut Reader) -> Result<Queues, SettingsError> {
    let Queue(tasks) = reader.read_or("WAYBILL_QUEUE", "waybill")?;
    if tasks == PAYMENTS {
        return Err(reader.wrong("WAYBILL_QUEUE", "another queue than that of the payment events"));
    }
    let oms = read_destination(
        reader,
        &tasks,
        ("WAYBILL_OMS_TASK", "oms.delivery_update"),
        ("WAYBILL_OMS_QUEUE", "oms"),
    )?;
    let notices = read_destination(
        reader,
        &tasks,
        ("WAYBILL_NOTIFY_TASK", "notifications.send"),
        ("WAYBILL_NOTIFY_QUEUE", "notifications"),
    )?;
    Ok(Queues { tasks, oms, notices })
}

/// Reads a task and its queue, each by name and default.
fn read_destination(
    reader: &mut Reader,
    own: &str,
    task: (&'static str, &str),
    queue: (&'static str, &str),
) -> Result<Destination, SettingsError> {
    let Task(task) = reader.read_or(task.0, task.1)?;
    let (name, default) = queue;
    let Queue(queue) = reader.read_or(name, default)?;
    if queue == own || queue == PAYMENTS {
        let expected = format!("a queue of another service, not {queue}, which is ours");
        return Err(SettingsError::wrong(name, super::error::quote(&queue), expected));
    }
    Ok(Destination { task, queue })
}

struct Queue(String);

impl Value for Queue {
    const EXPECTED: &'static str = "a queue's name: 1 to 255 printable characters, not beginning with amq.";

    fn parse(text: &str) -> Option<Self> {
        let named = (1..=255).contains(&text.len())
            && !text.chars().any(char::is_control)
            && text.trim() == text
            && !text.starts_with("amq.");
        named.then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

struct Task(String);

impl Value for Task {
    const EXPECTED: &'static str = "a task's name, such as oms.delivery_update";

    fn parse(text: &str) -> Option<Self> {
        let part = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        (text.len() <= 255 && text.split('.').all(part)).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}
