//! Events: what a worker tells whoever watches it, Flower and `celery events` above all.
//!
//! Telling costs a task nothing but the writing: events go through a bounded queue to a loop of their own, which sends them
//! in batches, on a connection of its own. While the broker is away they are dropped, and counted.

mod event;
mod sending;
mod sent;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::amqp::mailbox::Mailbox;
use super::state::WorkerState;
use event::Event;

pub use event::TaskEvent;

/// How many events wait at most to be sent: a tenth of a second of a busy worker.
const WAITING_AT_MOST: usize = 16_384;

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
    waiting: mpsc::Sender<Vec<u8>>,
    wanted: mpsc::Sender<()>,
}

/// Sends what was taken.
#[derive(Debug)]
pub struct EventLoop {
    state: Arc<WorkerState>,
    software: Software,
    waiting: mpsc::Receiver<Vec<u8>>,
    wanted: mpsc::Receiver<()>,
}

impl EventSender {
    /// For a worker; nothing is sent before the loop runs.
    pub fn new(state: Arc<WorkerState>, software: Software) -> (Self, EventLoop) {
        let (sender, receiver) = mpsc::channel(WAITING_AT_MOST);
        let (want, wanted) = mpsc::channel(1);
        let events = EventLoop {
            state: Arc::clone(&state),
            software,
            waiting: receiver,
            wanted,
        };
        let sender = Self {
            state,
            waiting: sender,
            wanted: want,
        };
        (sender, events)
    }

    /// Tells what happened to a task, if anybody wants to know. Never waits.
    pub fn send(&self, event: &TaskEvent<'_>) {
        if !self.state.events_enabled() {
            return;
        }
        let written = Event::of(&self.state, event.kind(), event).write();
        if self.waiting.try_send(written).is_err() {
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
