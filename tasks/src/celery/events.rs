//! Events: what a worker tells whoever watches it, Flower and `celery events` above all.
//!
//! Telling costs a task nothing but the writing: events wait, not too many of them, for a loop of their own, which sends them
//! in batches, on a connection of its own. While the broker is away they are dropped, and counted.

mod batches;
mod event;
mod sending;
mod sent;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::amqp::mailbox::Mailbox;
use super::state::WorkerState;
use batches::Batches;
use event::Event;

pub use event::TaskEvent;

/// What a worker calls itself in its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// Its name, where Python says `py-celery`.
    pub ident: String,
    /// Its version.
    pub version: String,
}

/// Takes events; cheap to clone.
#[derive(Debug, Clone)]
pub struct EventSender {
    state: Arc<WorkerState>,
    waiting: Arc<Batches>,
    wanted: mpsc::Sender<()>,
}

/// Sends what was taken.
#[derive(Debug)]
pub struct EventLoop {
    state: Arc<WorkerState>,
    software: Software,
    waiting: Arc<Batches>,
    wanted: mpsc::Receiver<()>,
}

impl EventSender {
    /// For a worker; nothing is sent before the loop runs.
    pub fn new(state: Arc<WorkerState>, software: Software) -> (Self, EventLoop) {
        let waiting = Arc::new(Batches::default());
        let (want, wanted) = mpsc::channel(1);
        let events = EventLoop {
            state: Arc::clone(&state),
            software,
            waiting: Arc::clone(&waiting),
            wanted,
        };
        let sender = Self {
            state,
            waiting,
            wanted: want,
        };
        (sender, events)
    }

    /// Tells what happened to a task, if anybody wants to know. Never waits.
    pub fn send(&self, event: &TaskEvent<'_>) {
        if !self.state.events_enabled() {
            return;
        }
        let write = |json: &mut Vec<u8>| Event::of(&self.state, event.kind(), event).write(json);
        if !self.waiting.add(write) {
            dropped(1);
        }
    }

    /// Tells at once that the worker is alive, because somebody asks.
    pub fn beat(&self) {
        // One that is asked for already answers both.
        let _ = self.wanted.try_send(());
    }
}

impl EventLoop {
    /// Sends until `stop`, then what is left and that the worker goes offline. `None` as interval tells nothing of the worker.
    pub async fn run(self, mailbox: Mailbox, heartbeat: Option<Duration>, stop: CancellationToken) {
        sending::run(self, mailbox, heartbeat, stop).await;
    }
}

fn dropped(count: usize) {
    metrics::counter!("events_dropped_total").increment(count as u64);
}

#[cfg(test)]
mod tests;
