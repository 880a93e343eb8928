//! Beat: sends tasks when their time has come, each tick under an id of its own, however many beats there are.
//!
//! A tick is an instant that follows from the schedule alone: a multiple of the interval since 1970, or what a crontab names
//! in its zone. The id of its task is derived from the schedule's name, the entry's name and that instant. What is promised:
//!
//! - One beat of a schedule sends at a time. It holds a queue that RabbitMQ gives to one connection only; the others wait for it.
//! - A tick counts as sent when the broker has confirmed its task, and beat moves on only then. What was sent last is kept in
//!   RabbitMQ, in a queue of one message, so that the next beat, or the same one after a restart, goes on from there.
//! - A crash between the two, or two beats that both believe to hold the queue for a moment, send a tick again, under the same
//!   id. A tick is so sent *at least once, always as the same task*; it is done once where the task is done once for its id.
//! - Ticks that nobody could send are sent once, for the latest of them, or not at all: [`Missed`] says which.

mod agenda;
mod crontab;
mod entry;
mod file;
mod sending;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::amqp::AmqpTransport;

pub use crontab::{Crontab, CrontabError};
pub use entry::{Entry, Missed, When};
pub use file::ScheduleError;

/// Periodic tasks, and the name under which their beats know of each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    /// Its name; beats of one name send one schedule.
    pub name: String,
    /// The tasks, by name.
    pub entries: Vec<Entry>,
}

impl Schedule {
    /// The id of an entry's task for a tick: the same for every beat.
    pub fn task_id(&self, entry: &Entry, tick: DateTime<Utc>) -> Uuid {
        let space = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"waybill.beat");
        let name = format!("{}\n{}\n{}", self.name, entry.name, tick.timestamp());
        Uuid::new_v5(&space, name.as_bytes())
    }
}

/// Sends the tasks of a schedule.
#[derive(Debug)]
pub struct Beat {
    schedule: Schedule,
    transport: Arc<AmqpTransport>,
}

impl Beat {
    /// Over that transport, which it has for itself.
    pub fn new(schedule: Schedule, transport: Arc<AmqpTransport>) -> Self {
        Self { schedule, transport }
    }

    /// Sends until `stop`, over all connections that come and go.
    pub async fn run(self, stop: CancellationToken) {
        sending::run(self, stop).await;
    }
}
