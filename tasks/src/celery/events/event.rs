//! One event, as Python writes it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::celery::protocol::{Request, isoformat, python_repr};
use crate::celery::state::{Signal, WorkerState, args_repr, kwargs_repr};

/// What happened to a task.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum TaskEvent<'a> {
    /// It was sent, by us: see [`EventSender::over`](super::EventSender::over).
    Sent {
        /// Its id.
        uuid: &'a str,
        /// Its name.
        name: &'a str,
        /// Positional arguments as text.
        args: &'a str,
        /// Keyword arguments as text.
        kwargs: &'a str,
        /// The first of its tree.
        root_id: Option<&'a str>,
        /// Who sent it.
        parent_id: Option<&'a str>,
        /// How often it was retried.
        retries: u32,
        /// Not before, as its header says.
        eta: Option<&'a str>,
        /// Not after, as its header says.
        expires: Option<&'a str>,
        /// To which queue.
        queue: &'a str,
        /// Over which exchange.
        exchange: &'a str,
        /// With which key.
        routing_key: &'a str,
    },
    /// It came.
    #[serde(serialize_with = "received")]
    Received(&'a Request),
    /// It runs.
    Started {
        /// Its id.
        uuid: &'a str,
    },
    /// It ended well.
    Succeeded {
        /// Its id.
        uuid: &'a str,
        /// What it answered.
        #[serde(serialize_with = "repr")]
        result: &'a Value,
        /// How long it ran.
        #[serde(serialize_with = "seconds")]
        runtime: Duration,
    },
    /// It ended badly.
    Failed {
        /// Its id.
        uuid: &'a str,
        /// The exception, as Python writes it: `ValueError('x')`.
        exception: &'a str,
        /// Where it was raised.
        traceback: &'a str,
    },
    /// It comes again.
    Retried {
        /// Its id.
        uuid: &'a str,
        /// The exception that it comes again for.
        exception: &'a str,
        /// Where it was raised.
        traceback: &'a str,
    },
    /// It is not run, or was ended.
    Revoked {
        /// Its id.
        uuid: &'a str,
        /// It ran, and was ended.
        terminated: bool,
        /// By that.
        #[serde(serialize_with = "number_of")]
        signum: Option<Signal>,
        /// Its time was over.
        expired: bool,
    },
    /// It refused itself.
    Rejected {
        /// Its id.
        uuid: &'a str,
        /// It goes back into its queue.
        requeue: bool,
    },
}

impl TaskEvent<'_> {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "task-sent",
            Self::Received(_) => "task-received",
            Self::Started { .. } => "task-started",
            Self::Succeeded { .. } => "task-succeeded",
            Self::Failed { .. } => "task-failed",
            Self::Retried { .. } => "task-retried",
            Self::Revoked { .. } => "task-revoked",
            Self::Rejected { .. } => "task-rejected",
        }
    }
}

/// What a worker says of itself.
#[derive(Debug, Clone, Serialize)]
pub(super) struct WorkerEvent<'a> {
    pub(super) freq: f64,
    pub(super) active: usize,
    pub(super) processed: u64,
    pub(super) loadavg: [f64; 3],
    pub(super) sw_ident: &'a str,
    pub(super) sw_ver: &'a str,
    pub(super) sw_sys: &'a str,
}

/// An event with what all events have.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a, T> {
    hostname: &'a str,
    utcoffset: f64,
    pid: u32,
    clock: u64,
    #[serde(flatten)]
    what: &'a T,
    timestamp: f64,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a, T: Serialize> Event<'a, T> {
    /// It happens now.
    pub(super) fn of(state: &'a WorkerState, kind: &'static str, what: &'a T) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            hostname: state.nodename(),
            // Our clock is UTC, whatever the machine's zone is.
            utcoffset: 0.0,
            pid: std::process::id(),
            clock: state.clock().forward(),
            what,
            timestamp: since.as_secs_f64(),
            kind,
        }
    }

    pub(super) fn write(&self, json: &mut Vec<u8>) {
        serde_json::to_writer(json, self).expect("an event is made of text and numbers");
    }
}

fn received<S: Serializer>(request: &&Request, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Fields<'a> {
        uuid: &'a str,
        name: &'a str,
        args: String,
        kwargs: String,
        root_id: Option<&'a str>,
        parent_id: Option<&'a str>,
        retries: u32,
        eta: Option<String>,
        expires: Option<String>,
    }
    let fields = Fields {
        uuid: &request.id,
        name: &request.task,
        args: args_repr(request),
        kwargs: kwargs_repr(request),
        root_id: request.root_id.as_deref(),
        parent_id: request.parent_id.as_deref(),
        retries: request.retries,
        eta: request.eta.map(isoformat),
        expires: request.expires.map(isoformat),
    };
    fields.serialize(serializer)
}

fn repr<S: Serializer>(value: &&Value, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&python_repr(value))
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn number_of<S: Serializer>(signal: &Option<Signal>, serializer: S) -> Result<S::Ok, S::Error> {
    match signal {
        Some(signal) => serializer.serialize_u8(signal.number()),
        None => serializer.serialize_none(),
    }
}
