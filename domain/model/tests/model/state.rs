//! What the model is made of: the world's messages, the store, two processes, the relay and whoever activates.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use waybill_domain::{GraphVersion, Transition};

use crate::order::{Order, OrderNumber, Shared};

/// The number of a fact in its scenario.
pub(crate) type FactNumber = u8;

/// A set of facts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct FactSet(u16);

impl FactSet {
    pub(crate) fn has(self, fact: FactNumber) -> bool {
        self.0 >> fact & 1 == 1
    }

    pub(crate) fn add(&mut self, fact: FactNumber) {
        self.0 |= 1 << fact;
    }

    pub(crate) fn remove(&mut self, fact: FactNumber) {
        self.0 &= !(1 << fact);
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = FactNumber> {
        (0..16).filter(move |fact| self.has(*fact))
    }
}

/// An effect of an order: the sequence that asked for it, and its place there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EffectNumber {
    pub(crate) order: OrderNumber,
    pub(crate) sequence: i64,
    pub(crate) ordinal: u8,
}

/// A task that the broker has; tasks of one effect with other ids act again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Task {
    pub(crate) effect: EffectNumber,
    pub(crate) id: u8,
}

/// What was told under a key, and what came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) fact: FactNumber,
    pub(crate) outcome: Outcome,
    pub(crate) answer: Option<Answer>,
}

/// What came of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// Log rows were written, or there was nothing to write.
    Recorded,
    /// It cannot be true together with what is known.
    Contradicts,
    /// It waits for its turn.
    Parked,
    /// Its turn never came.
    Unresolved,
    /// It was told before.
    Repeated,
    /// Its key was used for something else.
    SetAside,
    /// The graph says no, and whoever asked was told so.
    Refused,
    /// A deadline that was met, or has fired already.
    Over,
}

/// Where what was told is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    pub(crate) order: OrderNumber,
    pub(crate) revision: i64,
}

/// The database.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Store {
    pub(crate) orders: Vec<Shared<Order>>,
    pub(crate) inbox: BTreeMap<&'static str, Entry>,
    pub(crate) payments: Vec<&'static str>,
    pub(crate) quarantine: FactSet,
    pub(crate) cases: FactSet,
    /// Callbacks that wait for their turn.
    pub(crate) parked: FactSet,
    /// Parked ones that the relay has to hand out again: the order moved, or their time is over.
    pub(crate) due: FactSet,
    /// Parked ones whose time is over.
    pub(crate) overdue: FactSet,
    /// Every effect that was recorded, and whether it counts as sent.
    pub(crate) effects: Vec<(EffectNumber, bool)>,
    pub(crate) activation: GraphVersion,
    pub(crate) retired: bool,
}

impl Store {
    /// Whether an older effect of the order waits to be sent.
    pub(crate) fn waits(&self, order: OrderNumber) -> bool {
        self.effects.iter().any(|(effect, sent)| effect.order == order && !sent)
    }

    pub(crate) fn of_attempt(&self, attempt: u8) -> Option<&Shared<Order>> {
        self.orders.iter().find(|order| order.attempt == attempt)
    }
}

/// What a process has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Message {
    Fact(FactNumber),
    Deadline { order: OrderNumber, sequence: i64 },
}

/// What a writer has read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Reading {
    pub(crate) order: Option<Shared<Order>>,
    pub(crate) entry: Option<Entry>,
    pub(crate) payment_known: bool,
    pub(crate) has_live_order: bool,
    /// An older effect of the order waits to be sent.
    pub(crate) waits: bool,
    /// Its time to wait is over.
    pub(crate) overdue: bool,
    pub(crate) activation: GraphVersion,
}

/// What a writer will write.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(crate) message: Message,
    pub(crate) reading: Reading,
    pub(crate) outcome: Outcome,
    pub(crate) rows: Rows,
    pub(crate) born: Option<Shared<Order>>,
    pub(crate) case: bool,
}

/// Log rows, decided and not yet written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rows(pub(crate) Vec<Transition>);

impl Hash for Rows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for row in &self.0 {
            (row.revision, &row.event, &row.key, &row.to, row.rank).hash(state);
            row.fields.keys().for_each(|field| field.hash(state));
        }
    }
}

/// Between which steps a process is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum At {
    Idle,
    Taken,
    Read(Shared<Reading>),
    Decided(Shared<Plan>),
    Committed(Outcome),
    /// Only where the key is not part of the transaction: it is written after it.
    Keyless(Shared<Plan>),
}

/// A process that writes. What it has is lost when it dies.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) message: Option<Message>,
    pub(crate) at: At,
    /// Holds the fence that births share.
    pub(crate) in_birth: bool,
    /// Effects of its commits that it publishes itself.
    pub(crate) outlet: Vec<EffectNumber>,
    /// The first step with the first of them is done: published, and not yet marked as sent.
    pub(crate) half_sent: bool,
}

impl Process {
    pub(crate) fn idle() -> Self {
        Self {
            message: None,
            at: At::Idle,
            in_birth: false,
            outlet: Vec::new(),
            half_sent: false,
        }
    }
}

/// How far the activation of version 2 and the retirement of version 1 have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Rollout {
    Planned,
    /// The fence is closed: no birth is under way, and none begins.
    Fenced,
    Activated,
    Retired,
}

/// A state of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Copies of each fact that wait in the queue.
    pub(crate) queued: Vec<u8>,
    /// How many facts may still be told again.
    pub(crate) again: u8,
    /// What the broker has, in the order of first publication.
    pub(crate) tasks: Vec<Task>,
    pub(crate) store: Store,
    pub(crate) processes: [Process; 2],
    /// What the relay has published and not yet marked as sent.
    pub(crate) relay: Option<EffectNumber>,
    pub(crate) rollout: Rollout,
    /// What whoever told it will not tell again of its own.
    pub(crate) acknowledged: FactSet,
    pub(crate) answers: BTreeMap<FactNumber, Answer>,
}

impl State {
    /// Nothing has happened, and every fact waits to be told.
    pub(crate) fn empty(facts: usize, again: u8) -> Self {
        Self {
            queued: vec![1; facts],
            again,
            tasks: Vec::new(),
            store: Store {
                orders: Vec::new(),
                inbox: BTreeMap::new(),
                payments: Vec::new(),
                quarantine: FactSet::default(),
                cases: FactSet::default(),
                parked: FactSet::default(),
                due: FactSet::default(),
                overdue: FactSet::default(),
                effects: Vec::new(),
                activation: GraphVersion(1),
                retired: false,
            },
            processes: [Process::idle(), Process::idle()],
            relay: None,
            rollout: Rollout::Planned,
            acknowledged: FactSet::default(),
            answers: BTreeMap::new(),
        }
    }

    /// Whether nothing can happen any more, but for an activation or a repetition.
    pub(crate) fn is_at_rest(&self) -> bool {
        let idle = |process: &Process| process.at == At::Idle && process.outlet.is_empty();
        self.queued.iter().all(|copies| *copies == 0)
            && self.processes.iter().all(idle)
            && self.relay.is_none()
            && self.store.parked == FactSet::default()
            && self.store.effects.iter().all(|(_, sent)| *sent)
            && self.store.orders.iter().all(|order| order.deadline.is_none())
    }
}
