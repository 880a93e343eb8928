//! The rules of Waybill: which events may move a delivery order where, by whom, with what.
//!
//! Pure: no I/O, no async, no clock of its own. The application asks, records and acts.

mod event;
mod graph;
mod migration;
mod names;
mod order;
mod reason;
mod refusal;
mod transition;

pub use event::{Actor, Event, FieldValue, Fields, Role};
pub use graph::{
    Argument, ArgumentDocument, Comparison, Condition, ConditionDocument, DELIVERY, Deadline, DeadlineDocument, Defect,
    DefectKind, Difference, Disposition, DispositionDocument, Edge, EffectDefinition, EffectDocument, Field,
    FieldDocument, FieldSource, FieldType, Graph, GraphDocument, KNOWN_EFFECTS, Kind, MOST_WAYS, Outcome, Passage,
    Path, SCHEMA, State, StateDocument, Stop, Tag, TransitionDocument, Vocabulary, Way, known_words,
};
pub use migration::{Migration, MigrationError, StateMapping};
pub use names::{EffectName, EventName, FieldName, GraphVersion, MachineName, OrderId, Revision, StateName};
pub use order::{DeliveryOrder, Instance};
pub use reason::{CancelReason, FailureReason};
pub use refusal::Refusal;
pub use transition::{ArmedDeadline, Change, RequestedEffect, Transition};

/// An instant, to the microsecond (what both databases keep).
pub type Timestamp = chrono::DateTime<chrono::Utc>;
