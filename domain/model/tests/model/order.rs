//! A delivery order as the store keeps it, judged once when it is written.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use waybill_domain::{Change, Graph, GraphVersion, Instance, Transition};

use crate::invariants::{Invariant, broken_by};

/// Which order: the number of the fact that brought it into being.
pub(crate) type OrderNumber = u8;

/// An order's row and its log.
#[derive(Clone)]
pub(crate) struct Order {
    pub(crate) number: OrderNumber,
    pub(crate) attempt: u8,
    pub(crate) predecessor: Option<OrderNumber>,
    pub(crate) successor: Option<OrderNumber>,
    /// The row: what decisions are made on.
    pub(crate) row: Instance,
    pub(crate) log: Vec<Transition>,
    pub(crate) live: bool,
    /// The sequence of the row that armed the deadline, and its event.
    pub(crate) deadline: Option<(i64, String)>,
    /// Whether `activate` had answered when this order was born.
    pub(crate) born_after_activation: bool,
    /// What does not hold of it.
    pub(crate) broken: Vec<Invariant>,
}

impl Order {
    /// This order with further log rows, and what they do to its row.
    ///
    /// The row becomes what the writer made of the row that it had read: without a look at the revision that is not the row
    /// that is there now.
    pub(crate) fn with(&self, read: &Self, rows: &[Transition], graph: &Graph) -> Self {
        let mut next = Self {
            number: self.number,
            attempt: self.attempt,
            predecessor: self.predecessor,
            successor: self.successor,
            row: read.row.clone(),
            log: self.log.iter().chain(rows).cloned().collect(),
            live: self.live,
            deadline: read.deadline.clone(),
            born_after_activation: self.born_after_activation,
            broken: Vec::new(),
        };
        for row in rows {
            next.row.apply(row);
            next.follow(row);
        }
        next.live = graph
            .state(next.row.state.as_str())
            .is_some_and(|state| !state.is_terminal());
        next.judge(graph);
        next
    }

    /// An order that has just been born.
    pub(crate) fn born(number: OrderNumber, row: Instance, birth: Transition, graph: &Graph) -> Self {
        let mut order = Self {
            number,
            attempt: 1,
            predecessor: None,
            successor: None,
            row,
            log: vec![birth],
            live: true,
            deadline: None,
            born_after_activation: false,
            broken: Vec::new(),
        };
        let birth = order.log[0].clone();
        order.follow(&birth);
        order.judge(graph);
        order
    }

    pub(crate) fn version(&self) -> GraphVersion {
        self.row.graph_version
    }

    pub(crate) fn revision(&self) -> i64 {
        self.row.revision.0
    }

    fn follow(&mut self, row: &Transition) {
        if matches!(row.change, Change::Born | Change::Moved) {
            self.deadline = row
                .deadline
                .as_ref()
                .map(|deadline| (row.revision.0, deadline.event.to_string()));
        }
    }

    fn judge(&mut self, graph: &Graph) {
        self.broken = broken_by(self, graph);
    }
}

impl Hash for Order {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.number, self.attempt, self.predecessor, self.successor).hash(state);
        (
            self.version(),
            &self.row.state,
            self.revision(),
            self.row.rank,
            self.live,
        )
            .hash(state);
        (&self.deadline, self.born_after_activation).hash(state);
        for row in &self.log {
            (
                row.revision,
                row.change.as_str(),
                &row.event,
                &row.key,
                &row.to,
                row.rank,
            )
                .hash(state);
            row.fields.keys().for_each(|field| field.hash(state));
        }
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "order {} on version {}:", self.number, self.version())?;
        for row in &self.log {
            write!(f, " {} {} {}", row.revision, row.event, row.to)?;
        }
        Ok(())
    }
}

/// A value that many states hold, hashed once.
pub(crate) struct Shared<T> {
    value: Arc<T>,
    hash: u64,
}

impl<T: Hash> Shared<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Self {
            hash: hasher.finish(),
            value: Arc::new(value),
        }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self {
            value: self.value.clone(),
            hash: self.hash,
        }
    }
}

impl<T> std::ops::Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.hash.hash(state);
    }
}

impl<T> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl<T> Eq for Shared<T> {}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}
