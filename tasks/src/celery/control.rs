//! Remote control: what `celery inspect`, `celery control`, `celery status` and Flower ask a worker, answered as Python answers.
//!
//! Commands come over a mailbox of the worker's own and are answered by a loop of their own, never behind the tasks: a
//! worker that is as busy as can be answers at once.

mod arguments;
mod command;
mod facts;
mod instruments;
mod introduction;
mod limiting;
mod mailing;
mod matcher;
mod places;
mod process;
mod revoking;
mod tasks;
mod worker;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use super::amqp::mailbox::Mailbox;
use super::events::EventSender;
use super::results::ResultBackend;
use super::state::WorkerState;
use super::transport::{Keeper, Transport};
use arguments::Arguments;

pub use facts::{BrokerFacts, Facts, TaskFacts};

/// Python keeps fanout and reply exchanges by these names.
const EXCHANGE: &str = "celery.pidbox";
const REPLIES: &str = "reply.celery.pidbox";

/// Answers commands about one worker.
#[derive(Clone)]
pub struct Panel {
    state: Arc<WorkerState>,
    facts: Arc<Facts>,
    keeper: Arc<dyn Keeper>,
    events: Option<EventSender>,
    /// Events of tasks were asked for at the start: like Python's, they cannot be switched then.
    always: bool,
    results: Option<Arc<dyn ResultBackend>>,
}

/// What a command is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// This.
    Reply(Value),
    /// Nothing, not even that there is nothing.
    Silence,
}

/// An exception, as Python's `repr` writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Raised(String);

type Replied = Result<Value, Raised>;

impl Panel {
    /// Of a worker: its state, what it is, and who keeps what it is told.
    pub fn new(state: Arc<WorkerState>, facts: Facts, keeper: Arc<dyn Keeper>) -> Self {
        Self {
            always: state.events_enabled(),
            state,
            facts: Arc::new(facts.with_builtins()),
            keeper,
            events: None,
            results: None,
        }
    }

    /// With events, which can be asked for from outside.
    pub fn with_events(mut self, events: EventSender) -> Self {
        self.events = Some(events);
        self
    }

    /// With a result backend: who waits for a task that is revoked is told at once.
    pub fn with_results(mut self, results: Arc<dyn ResultBackend>) -> Self {
        self.results = Some(results);
        self
    }

    /// Carries a command out.
    pub async fn answer(&self, method: &str, arguments: Map<String, Value>) -> Answer {
        if method == "shutdown" {
            return self.shut_down(&arguments);
        }
        match self.call(method, arguments).await {
            Ok(value) => Answer::Reply(value),
            Err(Raised(repr)) => {
                tracing::error!("remote control: {method} raised {repr}");
                Answer::Reply(nok(repr))
            }
        }
    }

    async fn call(&self, method: &str, arguments: Map<String, Value>) -> Replied {
        let arguments = Arguments::check(method, arguments)?;
        match arguments.command() {
            "revoke" => self.revoke(&arguments).await,
            "terminate" => self.terminate(&arguments).await,
            "revoke_by_stamped_headers" => self.revoke_stamped(&arguments),
            "scheduled" => self.scheduled().await,
            "query_task" => self.query(&arguments.texts("ids")).await,
            "rate_limit" => self.rate_limit(&arguments),
            "time_limit" => self.time_limit(&arguments),
            "pool_grow" | "pool_shrink" | "pool_restart" | "autoscale" => self.resize(&arguments),
            "add_consumer" | "cancel_consumer" | "active_queues" => self.places(&arguments),
            "active" | "reserved" | "registered" | "revoked" => self.look(&arguments),
            "ping" | "stats" | "conf" | "report" | "memsample" | "memdump" | "objgraph" => self.measure(&arguments),
            other => self.keep_in_step(other, &arguments),
        }
    }
}

impl fmt::Debug for Panel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Panel")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// The mailbox of a worker.
#[derive(Debug)]
pub struct Pidbox {
    panel: Panel,
    mailbox: Mailbox,
}

impl Pidbox {
    /// Of that worker.
    pub fn new(panel: Panel, mailbox: Mailbox) -> Self {
        Self { panel, mailbox }
    }

    /// Introduces the worker to its neighbours and takes over what they know: revocations and the clock. Waits for their
    /// answers for a second, and not at all where there are none. To be called before [`Pidbox::run`].
    pub async fn mingle(&mut self, transport: &dyn Transport, stop: &CancellationToken) {
        introduction::mingle(self, transport, stop).await;
    }

    /// Answers until `stop`, over all connections that come and go.
    pub async fn run(self, stop: CancellationToken) {
        mailing::run(self, stop).await;
    }
}

fn ok(text: impl Into<String>) -> Value {
    json!({ "ok": text.into() })
}

fn nok(text: impl Into<String>) -> Value {
    json!({ "error": text.into() })
}

#[cfg(test)]
mod tests;
