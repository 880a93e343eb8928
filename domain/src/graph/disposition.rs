//! Dispositions: what each event means in each state, so that no pair is left open.

use std::fmt;

use chrono::TimeDelta;

use super::{DispositionDocument, Graph, duration};

/// What an event means in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It takes its edge.
    Move,
    /// It is recorded; the order stays where it is.
    Note,
    /// It was told before: the order is where it leads to.
    Duplicate,
    /// The order has been where it leads to; a conflict where it has not.
    Stale,
    /// Its turn has not come yet: it waits so long.
    Park(TimeDelta),
    /// It cannot be true together with what is known.
    Conflict,
    /// An operator decides what it means.
    Operator,
}

impl Disposition {
    /// How a graph writes those that it may choose.
    pub(super) const WORDS: [&str; 6] = ["note", "duplicate", "stale", "park", "conflict", "operator"];

    /// How long an event waits for its turn where the graph says nothing.
    pub const PATIENCE: TimeDelta = TimeDelta::hours(1);

    /// What a checked document says.
    pub(super) fn of(document: &DispositionDocument) -> Option<Self> {
        Some(match document.is.as_str() {
            "note" => Self::Note,
            "duplicate" => Self::Duplicate,
            "stale" => Self::Stale,
            "park" => match &document.patience {
                Some(text) => Self::Park(duration::parse(text)?),
                None => Self::Park(Self::PATIENCE),
            },
            "conflict" => Self::Conflict,
            "operator" => Self::Operator,
            _ => return None,
        })
    }
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Move => "move",
            Self::Note => "note",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Park(_) => "park",
            Self::Conflict => "conflict",
            Self::Operator => "operator",
        })
    }
}

impl Graph {
    /// What `event` means in the state `from`: what the graph says, else what follows from the ranks. None if either is unknown.
    pub fn disposition(&self, from: &str, event: &str) -> Option<Disposition> {
        let state = self.state(from)?;
        if state.edges.contains_key(event) {
            return Some(Disposition::Move);
        }
        let edges: Vec<_> = self.edges(event).collect();
        if edges.is_empty() {
            return None;
        }
        if let Some(said) = state.otherwise.get(event) {
            return Some(*said);
        }
        Some(if edges.iter().any(|(_, edge)| edge.to == *from) {
            Disposition::Duplicate
        } else if edges.iter().any(|(_, edge)| self.leads_to(edge.to.as_str(), from)) {
            Disposition::Stale
        } else if edges.iter().any(|(start, _)| self.leads_to(from, start.name.as_str())) {
            Disposition::Park(Disposition::PATIENCE)
        } else {
            Disposition::Conflict
        })
    }

    /// How long `event` waits in the state `from` for its turn.
    pub fn patience(&self, from: &str, event: &str) -> TimeDelta {
        match self.state(from).and_then(|state| state.otherwise.get(event)) {
            Some(Disposition::Park(patience)) => *patience,
            _ => Disposition::PATIENCE,
        }
    }
}
