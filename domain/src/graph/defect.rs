//! Defects: what is wrong with a graph document, and where in it.

use std::fmt;

/// A place in a graph document, such as `states.CREATED.transitions.CANCELLED.to`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(Vec<String>);

impl Path {
    /// The document itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The place with that key in this one; list items are counted from 0.
    #[must_use]
    pub fn at(&self, segment: impl ToString) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_string());
        Self(segments)
    }

    /// The keys from the document's root to this place.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    pub(crate) fn field(name: &str) -> Self {
        Self::root().at("fields").at(name)
    }

    pub(crate) fn state(name: &str) -> Self {
        Self::root().at("states").at(name)
    }

    pub(crate) fn transition(state: &str, event: &str) -> Self {
        Self::state(state).at("transitions").at(event)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

/// Which rule a document breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DefectKind {
    /// The language version is not one that this program reads.
    SchemaOutOfRange,
    /// The graph version is not a positive number.
    VersionOutOfRange,
    /// More states, fields, transitions or entries than any life cycle needs.
    TooLarge,
    /// A name that does not follow its pattern.
    BadName,
    /// A kind, outcome, type or source that does not exist.
    UnknownWord,
    /// The initial state is not defined.
    UnknownInitial,
    /// The initial state requires fields; a birth brings none that could be checked.
    InitialRequires,
    /// The initial state is left at once, so nothing could ever be in it.
    InitialImmediate,
    /// A transition leads to a state that is not defined.
    UnknownTarget,
    /// A role that does not exist.
    UnknownRole,
    /// A transition that nobody may report.
    NoActors,
    /// A required field that is not defined.
    UnknownField,
    /// An effect that nobody performs.
    UnknownEffect,
    /// A list names something twice.
    DuplicateEntry,
    /// An enum field without values.
    EnumWithoutValues,
    /// An attribute that the field's type does not have.
    MisplacedAttribute,
    /// A length outside 1 to 10000.
    LengthOutOfRange,
    /// A way back to a state that was left.
    Cycle,
    /// No way leads to this state.
    Unreachable,
    /// A state that is not terminal and has no way out.
    DeadEnd,
    /// A terminal state with a way out.
    TerminalWithExits,
    /// A terminal state with a deadline.
    TerminalWithDeadline,
    /// A terminal state that does not say how it ended.
    TerminalWithoutOutcome,
    /// An outcome before the end.
    OutcomeBeforeEnd,
    /// A failure that could be recorded without its reason.
    FailureWithoutReason,
    /// A state that needs attention, and no operator can act in it or after it.
    OperatorOutOfReach,
    /// Not an ISO 8601 duration of fixed length.
    BadDuration,
    /// The deadline's event does not leave its state.
    DeadlineEventUnknown,
    /// `system` may not report the deadline's event.
    DeadlineNotForSystem,
    /// The deadline's event requires something that nobody will bring.
    DeadlineAsksInput,
}

/// One thing that is wrong with a graph document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Defect {
    /// Where.
    pub path: Path,
    /// Which rule.
    pub kind: DefectKind,
    /// What was found and what would be right, in words.
    pub detail: String,
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.detail)
    }
}

/// Defects as they are found.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Defect>);

impl Findings {
    pub(super) fn add(&mut self, path: Path, kind: DefectKind, detail: impl Into<String>) {
        self.0.push(Defect {
            path,
            kind,
            detail: detail.into(),
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_sorted(mut self) -> Vec<Defect> {
        self.0.sort();
        self.0
    }
}
