//! Refusals: the graph's no, with what the caller needs to act on it.

use crate::{Condition, EventName, FieldName, Role, StateName};

/// Why an event does not move an order. Never retried, never logged as an error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The order is in the state that this event leads to: told twice.
    #[error("{event} is a duplicate: the order is in {state}")]
    Duplicate {
        /// Where the order is.
        state: StateName,
        /// What was told again.
        event: EventName,
    },
    /// The order has been where this event leads to and has moved on.
    #[error("{event} is stale: the order has been in {target} and is in {state}")]
    Stale {
        /// Where the order is.
        state: StateName,
        /// What came late.
        event: EventName,
        /// Where it would have led.
        target: StateName,
    },
    /// The event's target is still ahead: something before it is missing.
    #[error("{event} is early in {state}: it leads from {expected} to {target}")]
    Early {
        /// Where the order is.
        state: StateName,
        /// What came early.
        event: EventName,
        /// From where it would be taken.
        expected: StateName,
        /// Where it leads.
        target: StateName,
    },
    /// The event cannot be true together with what is known.
    #[error("{event} is not allowed in {state}: it contradicts what is known")]
    Contradiction {
        /// Where the order is.
        state: StateName,
        /// What was reported.
        event: EventName,
    },
    /// The graph wants it recorded here without moving.
    #[error("{event} is only noted in {state}")]
    Noted {
        /// Where the order is.
        state: StateName,
        /// What was reported.
        event: EventName,
    },
    /// The graph leaves it to an operator.
    #[error("{event} is for an operator to decide in {state}")]
    ForOperator {
        /// Where the order is.
        state: StateName,
        /// What was reported.
        event: EventName,
    },
    /// What the transition asks of the order does not hold.
    #[error("{event} is not allowed in {state}: expected that {condition}")]
    GuardNotMet {
        /// Where the order is.
        state: StateName,
        /// What was reported.
        event: EventName,
        /// What does not hold.
        condition: Condition,
    },
    /// No transition of this graph version has that name.
    #[error("{event} is not an event of this graph")]
    UnknownEvent {
        /// What was reported.
        event: EventName,
    },
    /// The reporter's role may not report this.
    #[error("{role} may not report {event}")]
    WrongActor {
        /// Who reported.
        role: Role,
        /// What.
        event: EventName,
    },
    /// A required field is missing.
    #[error("{event} requires {field}")]
    MissingField {
        /// Which field.
        field: FieldName,
        /// Of which event.
        event: EventName,
    },
    /// A field that this graph does not know.
    #[error("{field} is not a field of this graph")]
    UnknownField {
        /// Which field.
        field: FieldName,
    },
    /// A field with a value that its type does not allow.
    #[error("{field} must be {expected}")]
    BadField {
        /// Which field.
        field: FieldName,
        /// What is allowed, in words.
        expected: String,
    },
}
