//! A periodic task: what is sent, when, and what becomes of ticks that nobody could send.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::crontab::Crontab;
use crate::celery::message::{HeaderValue, Message};
use crate::celery::protocol::Signature;

/// A periodic task.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name in the schedule.
    pub name: String,
    /// The task's name.
    pub task: String,
    /// Positional arguments.
    pub args: Vec<Value>,
    /// Keyword arguments.
    pub kwargs: Map<String, Value>,
    /// The queue that it goes to.
    pub queue: String,
    /// When.
    pub when: When,
    /// How long after its tick it is still to be run.
    pub expires: Option<Duration>,
    /// 0 to 255.
    pub priority: Option<u8>,
    /// What becomes of ticks that nobody could send.
    pub missed: Missed,
}

/// When a task is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At the multiples of so many seconds since 1970, so that all beats mean the same instants.
    Every(u32),
    /// As a crontab says, in a zone; with the text that it was read from.
    Crontab(Crontab, Tz, String),
}

/// What becomes of ticks whose time has passed by more than a minute, because no beat ran or no broker answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// The latest of them is sent, once.
    #[default]
    Once,
    /// None is sent.
    Skip,
}

impl When {
    /// The first tick after an instant.
    pub fn next(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(seconds) => {
                multiple(after, *seconds)?.checked_add_signed(TimeDelta::seconds((*seconds).into()))
            }
            Self::Crontab(crontab, zone, _) => crontab.next(after, *zone),
        }
    }

    /// The last tick that is not after an instant.
    pub fn latest(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(seconds) => multiple(now, *seconds),
            Self::Crontab(crontab, zone, _) => crontab.latest(now, *zone),
        }
    }

    /// As text, by which one notices that it is another one now.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Every(seconds) => format!("every {seconds} s"),
            Self::Crontab(_, zone, text) => format!("{text} {zone}"),
        }
    }
}

/// The last multiple that is not after an instant.
fn multiple(at: DateTime<Utc>, seconds: u32) -> Option<DateTime<Utc>> {
    let seconds = i64::from(seconds.max(1));
    DateTime::from_timestamp(at.timestamp().div_euclid(seconds) * seconds, 0)
}

impl Entry {
    /// The message for a tick.
    pub(super) fn message(&self, id: uuid::Uuid, tick: DateTime<Utc>) -> Message {
        let mut signature = Signature::new(&self.task)
            .id(id)
            .args(self.args.clone())
            .kwargs(&self.kwargs)
            .queue(&self.queue)
            // By these Python's tracing tells a periodic task from others.
            .header("periodic_task_name", self.name.as_str())
            .header("celery_beat_task", HeaderValue::Bool(true));
        if let Some(expires) = self.expires.and_then(|expires| TimeDelta::from_std(expires).ok()) {
            signature = signature.expires(tick + expires);
        }
        if let Some(priority) = self.priority {
            signature = signature.priority(priority);
        }
        signature.into_message()
    }
}
