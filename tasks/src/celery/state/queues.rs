//! Which queues a worker consumes, and the wish that it consume others.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::mpsc;

use super::locked;

/// A queue that is consumed, as `inspect active_queues` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumedQueue {
    /// Its name.
    pub name: String,
    /// The exchange that it is bound to; a queue of ours has one of its own name, as Celery has it.
    pub exchange: String,
    /// `direct` or `topic`.
    pub exchange_type: String,
    /// What it is bound with.
    pub routing_key: String,
    /// How many messages are in hand at most.
    pub prefetch: u16,
}

impl ConsumedQueue {
    /// As Celery takes a queue of which only the name is known.
    pub fn named(name: impl Into<String>, prefetch: u16) -> Self {
        let name = name.into();
        Self {
            exchange: name.clone(),
            exchange_type: "direct".to_owned(),
            routing_key: name.clone(),
            name,
            prefetch,
        }
    }
}

/// What whoever runs the consumers is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueCommand {
    /// Consume this one too.
    Add {
        /// Its name.
        name: String,
        /// The exchange, if another than the queue's own.
        exchange: Option<String>,
        /// Its type.
        exchange_type: String,
        /// What it is to be bound with, if with something else than its name.
        routing_key: Option<String>,
    },
    /// Consume that one no more.
    Cancel(String),
}

/// The queues of a worker.
#[derive(Debug)]
pub struct Queues {
    consumed: Mutex<BTreeMap<String, ConsumedQueue>>,
    /// With what they hold.
    reserved: Mutex<BTreeMap<String, &'static str>>,
    wishes: mpsc::UnboundedSender<QueueCommand>,
    heard: Mutex<Option<mpsc::UnboundedReceiver<QueueCommand>>>,
}

impl Queues {
    pub(super) fn new() -> Self {
        let (wishes, heard) = mpsc::unbounded_channel();
        Self {
            consumed: Mutex::default(),
            reserved: Mutex::default(),
            wishes,
            heard: Mutex::new(Some(heard)),
        }
    }

    /// What is consumed, by name.
    pub fn list(&self) -> Vec<ConsumedQueue> {
        locked(&self.consumed).values().cloned().collect()
    }

    /// How many messages are in hand at most, over all queues.
    pub fn prefetch(&self) -> u64 {
        locked(&self.consumed)
            .values()
            .map(|queue| u64::from(queue.prefetch))
            .sum()
    }

    /// That one holds something else than tasks: nobody adds it to those that are consumed as tasks, or takes it away.
    pub fn reserve(&self, name: &str, holds: &'static str) {
        locked(&self.reserved).insert(name.to_owned(), holds);
    }

    /// What that one holds, if not tasks.
    pub fn reserved(&self, name: &str) -> Option<&'static str> {
        locked(&self.reserved).get(name).copied()
    }

    /// This one is consumed from now on.
    pub fn consuming(&self, queue: ConsumedQueue) {
        locked(&self.consumed).insert(queue.name.clone(), queue);
    }

    /// That one no more.
    pub fn left(&self, name: &str) {
        locked(&self.consumed).remove(name);
    }

    /// Asks whoever runs the consumers.
    pub fn ask(&self, command: QueueCommand) {
        // Nobody runs consumers any more: the worker is stopping.
        let _ = self.wishes.send(command);
    }

    /// What is asked for, for whoever runs the consumers: to be had once.
    pub fn asked(&self) -> Option<mpsc::UnboundedReceiver<QueueCommand>> {
        locked(&self.heard).take()
    }
}
