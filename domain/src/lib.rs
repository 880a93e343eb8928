//! The rules of Waybill: which events may move a delivery order where, by whom, with what.
//!
//! Pure: no I/O, no async, no clock of its own. The application asks, records and acts.

mod event;
mod graph;
mod names;
mod order;
mod reason;
mod refusal;
mod transition;

pub use event::{Actor, Event, FieldValue, Fields, Role};
pub use graph::{
    Deadline, DeadlineDocument, Defect, DefectKind, Edge, Field, FieldDocument, FieldSource, FieldType, Graph,
    GraphDocument, KNOWN_EFFECTS, Kind, Outcome, Path, SCHEMA, State, StateDocument, TransitionDocument,
};
pub use names::{EffectName, EventName, FieldName, GraphVersion, MachineName, OrderId, Revision, StateName};
pub use order::DeliveryOrder;
pub use reason::{CancelReason, FailureReason};
pub use refusal::Refusal;
pub use transition::{ArmedDeadline, Change, Transition};

/// An instant, to the microsecond (what both databases keep).
pub type Timestamp = chrono::DateTime<chrono::Utc>;
