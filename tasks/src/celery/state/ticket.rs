//! A task in hand, from its message's arrival to its end.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::{Signal, WorkerState};
use crate::celery::protocol::{Request, python_repr, tuple_repr};
use crate::celery::transport::Delivery;

/// How far a task in hand is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Received, waiting for a place, its rate or its limits.
    Reserved,
    /// Running.
    Active,
}

/// A task in hand.
#[derive(Debug)]
pub struct TaskInHand {
    request: Arc<Request>,
    exchange: String,
    routing_key: String,
    priority: Option<u8>,
    redelivered: bool,
    /// Seconds since 1970.
    started: OnceLock<f64>,
    acknowledged: AtomicBool,
    termination: CancellationToken,
    /// The signal's number; 0 for none.
    signal: AtomicU8,
}

impl TaskInHand {
    /// One that has just come.
    pub(in crate::celery) fn of(request: &Arc<Request>, delivery: &Delivery) -> Self {
        let message = &delivery.message;
        Self {
            request: Arc::clone(request),
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
            priority: message.properties.priority,
            redelivered: delivery.redelivered,
            started: OnceLock::new(),
            acknowledged: AtomicBool::new(false),
            termination: CancellationToken::new(),
            signal: AtomicU8::new(0),
        }
    }

    /// What it is asked to do.
    pub fn request(&self) -> &Arc<Request> {
        &self.request
    }

    /// How far it is.
    pub fn stage(&self) -> Stage {
        match self.started.get() {
            None => Stage::Reserved,
            Some(_) => Stage::Active,
        }
    }

    /// Is cancelled when it must end at once.
    pub fn termination(&self) -> &CancellationToken {
        &self.termination
    }

    /// By what it was ended, if it was.
    pub fn signal(&self) -> Option<Signal> {
        match self.signal.load(Ordering::Acquire) {
            0 => None,
            number => Some(Signal::numbered(number)),
        }
    }

    /// Ends it.
    pub fn terminate(&self, signal: Signal) {
        self.signal.store(signal.number().max(1), Ordering::Release);
        self.termination.cancel();
    }

    /// As `inspect` shows it; `safe` shows arguments as text.
    pub fn info(&self, nodename: &str, safe: bool) -> Value {
        let request = &self.request;
        let (args, kwargs) = match safe {
            true => (args_repr(request).into(), kwargs_repr(request).into()),
            false => (
                Value::Array(request.args.clone()),
                Value::Object(request.kwargs.clone()),
            ),
        };
        let started = self.started.get();
        json!({
            "id": request.id,
            "name": request.task,
            "args": args,
            "kwargs": kwargs,
            "type": request.task,
            "hostname": nodename,
            "time_start": started,
            "acknowledged": self.acknowledged.load(Ordering::Relaxed),
            "delivery_info": self.delivery_info(),
            "worker_pid": started.map(|_| std::process::id()),
        })
    }

    fn delivery_info(&self) -> Map<String, Value> {
        let entries = [
            ("exchange", self.exchange.as_str().into()),
            ("routing_key", self.routing_key.as_str().into()),
            ("priority", self.priority.map_or(Value::Null, Value::from)),
            ("redelivered", self.redelivered.into()),
        ];
        entries
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }
}

/// Positional arguments as the sender wrote them, or as Python would have.
pub(in crate::celery) fn args_repr(request: &Request) -> String {
    match &request.argsrepr {
        Some(text) => text.clone(),
        None => tuple_repr(&request.args),
    }
}

/// The same for keyword arguments.
pub(in crate::celery) fn kwargs_repr(request: &Request) -> String {
    match &request.kwargsrepr {
        Some(text) => text.clone(),
        None => python_repr(&Value::Object(request.kwargs.clone())),
    }
}

/// Keeps a task in hand; it has left when this is dropped.
#[derive(Debug)]
pub struct TaskTicket {
    state: Arc<WorkerState>,
    key: u64,
    task: Arc<TaskInHand>,
}

impl TaskTicket {
    pub(super) fn new(state: Arc<WorkerState>, key: u64, task: Arc<TaskInHand>) -> Self {
        Self { state, key, task }
    }

    /// It runs from now on, and counts.
    pub fn started(&self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.task.started.set(since.as_secs_f64()).is_ok() {
            self.state.count(&self.task.request.task);
        }
    }

    /// Its message is acknowledged.
    pub fn acknowledged(&self) {
        self.task.acknowledged.store(true, Ordering::Relaxed);
    }

    /// Is cancelled when the task must end at once.
    pub fn termination(&self) -> &CancellationToken {
        self.task.termination()
    }

    /// By what it was ended, if it was.
    pub fn signal(&self) -> Option<Signal> {
        self.task.signal()
    }
}

impl Drop for TaskTicket {
    fn drop(&mut self) {
        self.state.left(self.key);
    }
}
