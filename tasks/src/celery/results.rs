//! Results of tasks as Celery's clients read them, and the seam to where they are kept.
//!
//! `rpc://` needs no backend: its results are messages to whoever asked ([`rpc`]). What outlives the asker is a
//! [`ResultBackend`]: [`redis`] here, any other in the application.

mod exception;
pub mod pickle;
pub mod redis;
pub mod rpc;
mod state;
mod tree;

use async_trait::async_trait;
use chrono::{DateTime, NaiveDateTime, Utc};
use serde_json::{Value, json};

use super::protocol::{Request, isoformat, parse_json};

pub use exception::Exception;
pub use state::State;
pub use tree::ResultTree;

/// What became of a task, with everything that Celery's result document holds.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskResult {
    /// The task's id.
    pub task_id: String,
    /// Where it stands.
    pub state: State,
    /// What it returned; an exception ([`Exception::to_json`]) where the state is one of those that have one.
    pub result: Value,
    /// Python's text, for people.
    pub traceback: Option<String>,
    /// The tasks that it sent, each as a [`ResultTree`] writes it.
    pub children: Vec<Value>,
    /// When it came to its end.
    pub date_done: Option<DateTime<Utc>>,
    /// The group it belongs to.
    pub group_id: Option<String>,
    /// The task that sent it.
    pub parent_id: Option<String>,
}

impl TaskResult {
    /// A result of a task in a state; `now` counts where the state is final.
    pub fn new(task_id: impl Into<String>, state: State, result: Value, now: DateTime<Utc>) -> Self {
        Self {
            task_id: task_id.into(),
            date_done: state.is_ready().then_some(now),
            state,
            result,
            traceback: None,
            children: Vec::new(),
            group_id: None,
            parent_id: None,
        }
    }

    /// The same for a task that raised, is to be tried again, or was revoked.
    pub fn raised(task_id: impl Into<String>, state: State, exception: &Exception, now: DateTime<Utc>) -> Self {
        Self {
            traceback: (state != State::Revoked).then(|| exception.traceback()),
            ..Self::new(task_id, state, exception.to_json(), now)
        }
    }

    /// With the group and the parent that a request names.
    #[must_use]
    pub fn of(mut self, request: &Request) -> Self {
        self.group_id.clone_from(&request.group);
        self.parent_id.clone_from(&request.parent_id);
        self
    }

    /// With the tasks that it sent.
    #[must_use]
    pub fn with_children(mut self, children: Vec<Value>) -> Self {
        self.children = children;
        self
    }

    /// The exception, where the state is one of those that have one.
    pub fn exception(&self) -> Option<Exception> {
        self.state.is_exception().then(|| Exception {
            traceback: self.traceback.clone(),
            ..Exception::from_json(&self.result)
        })
    }

    /// Celery's result document, as every key-value backend and `rpc://` have it.
    pub fn to_meta(&self) -> Value {
        let mut meta = json!({
            "status": self.state.as_str(),
            "result": self.result,
            "traceback": self.traceback,
            "children": self.children,
            "date_done": self.date_done.map(isoformat),
            "task_id": self.task_id,
        });
        let more = [("group_id", &self.group_id), ("parent_id", &self.parent_id)];
        for (name, value) in more
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
        {
            meta[name] = value.into();
        }
        meta
    }

    /// Reads a result document, of any worker. `None` if it is none.
    pub fn from_meta(meta: &Value) -> Option<Self> {
        let text = |name: &str| meta.get(name).and_then(Value::as_str).map(str::to_owned);
        let children = meta.get("children").and_then(Value::as_array);
        Some(Self {
            task_id: text("task_id")?,
            state: State::from(text("status")?.as_str()),
            result: meta.get("result").cloned().unwrap_or_default(),
            traceback: text("traceback"),
            children: children.cloned().unwrap_or_default(),
            date_done: text("date_done").as_deref().and_then(instant),
            group_id: text("group_id"),
            parent_id: text("parent_id"),
        })
    }
}

/// With a zone or without; kombu may have wrapped it.
fn instant(text: &str) -> Option<DateTime<Utc>> {
    let naive = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").ok();
    let zoned = DateTime::parse_from_rfc3339(text).map(|at| at.to_utc()).ok();
    zoned.or_else(|| naive().map(|at| at.and_utc()))
}

/// Why a result could not be stored or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResultError {
    /// The backend does not answer: try again.
    #[error("the result backend does not answer: {0}")]
    Away(String),
    /// It answers, and refuses: trying again will not help.
    #[error("the result backend refuses: {0}")]
    Refused(String),
}

/// Reads what another worker wrote, as strictly as a message: what JSON has not, and integers that would lose digits, are refused
/// in the name of `what`.
pub fn read_json(what: &str, bytes: &[u8]) -> Result<Value, ResultError> {
    parse_json(bytes).map_err(|error| ResultError::Refused(format!("{what} that cannot be read: {}", error.detail)))
}

/// Keeps results where Celery's clients look for them.
#[async_trait]
pub trait ResultBackend: Send + Sync + 'static {
    /// Stores a result for its task. A SUCCESS that is there stays: who ran twice ended once.
    async fn store(&self, result: &TaskResult) -> Result<(), ResultError>;

    /// The results of tasks, in the order asked for; `None` where nothing is known.
    async fn load(&self, task_ids: &[String]) -> Result<Vec<Option<TaskResult>>, ResultError>;

    /// Keeps the shape of a group, for those that ask for it by its id.
    async fn save_group(&self, group: &ResultTree) -> Result<(), ResultError>;

    /// The shape of a group, if it was saved.
    async fn load_group(&self, group_id: &str) -> Result<Option<ResultTree>, ResultError>;

    /// How it counts the parts of chords. `None`: chords are joined by polling, with `celery.chord_unlock`.
    fn chords(&self) -> Option<&dyn ChordCounter> {
        None
    }

    /// Where it is, without a password.
    fn as_uri(&self) -> String;

    /// Deletes what has expired, where the backend does not do that by itself; says how many.
    async fn forget_expired(&self) -> Result<u64, ResultError> {
        Ok(0)
    }
}

/// Counts the parts of chords, together with Python's workers.
#[async_trait]
pub trait ChordCounter: Send + Sync {
    /// Says how many parts a chord has, before its header is sent. False: this run of it was finished before, and a message that
    /// came twice must not start it anew.
    async fn begin(&self, start: &ChordStart) -> Result<bool, ResultError>;

    /// A part has ended. Saying so twice counts once.
    async fn part(&self, part: &ChordPart) -> Result<ChordProgress, ResultError>;

    /// Prolongs a claim before the body is published; false if somebody else has taken it over.
    async fn keep(&self, claim: &ChordClaim) -> Result<bool, ResultError>;

    /// The body was published: forgets the parts, and remembers that it is done.
    async fn finish(&self, claim: &ChordClaim) -> Result<(), ResultError>;

    /// The body was failed: a part that comes late fails it no second time.
    async fn abandon(&self, group_id: &str) -> Result<(), ResultError>;
}

/// A chord that is about to start.
#[derive(Debug, Clone, PartialEq)]
pub struct ChordStart {
    /// The id of the header's group.
    pub group_id: String,
    /// How many parts count.
    pub size: usize,
    /// The header's shape, where it is more than a list of tasks.
    pub shape: Option<ResultTree>,
    /// Whose doing it is.
    pub run: ChordRun,
}

/// Whether starting a chord twice means it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChordRun {
    /// A client applies it: a new run, even under the ids of an older one.
    New,
    /// A worker goes on with what a message says, which may come twice.
    Once,
}

/// A part of a chord that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct ChordPart {
    /// The id of the header's group.
    pub group_id: String,
    /// Its place in the header.
    pub group_index: Option<i64>,
    /// The task's id.
    pub task_id: String,
    /// How it ended.
    pub state: State,
    /// What it returned, or its exception.
    pub result: Value,
}

/// How far a chord is.
#[derive(Debug, Clone, PartialEq)]
pub enum ChordProgress {
    /// Parts are missing, or its size is not known yet.
    Waiting,
    /// All parts are there, and another worker is about to publish the body; if it dies, the claim lapses.
    Claimed,
    /// The body was published before.
    Done,
    /// All parts are there, in order, and the body is ours to publish.
    Complete(ChordClaim, Vec<ChordPart>),
}

/// The right to publish a chord's body, for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChordClaim {
    /// The id of the header's group.
    pub group_id: String,
    token: String,
}

impl ChordClaim {
    /// A claim that a counter has given under a token.
    pub fn new(group_id: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            group_id: group_id.into(),
            token: token.into(),
        }
    }

    /// What it is known by.
    pub fn token(&self) -> &str {
        &self.token
    }
}

#[cfg(test)]
mod tests;
