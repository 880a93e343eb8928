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

/// An enum of rules, each with its code and its sentence; shared with what else can be wrong with a template.
#[doc(hidden)]
#[macro_export]
macro_rules! rules {
    ($(#[$about:meta])* $name:ident { $($variant:ident = $code:literal $rule:literal;)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $(#[doc = $rule] $variant,)+
        }

        impl $name {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its code: never changed, never used for another rule.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)+
                }
            }

            /// The rule, in a sentence.
            pub fn rule(self) -> &'static str {
                match self {
                    $(Self::$variant => $rule,)+
                }
            }
        }
    };
}

rules! {
    /// Which rule a document breaks.
    DefectKind {
        SchemaOutOfRange = "schema-out-of-range" "The language version is one that this program reads.";
        VersionOutOfRange = "version-out-of-range" "The graph version is a positive number.";
        TooLarge = "too-large" "No list is larger than any life cycle needs.";
        BadName = "bad-name" "A name follows its pattern.";
        UnknownWord = "unknown-word" "A kind, outcome, type, tag, disposition or source is one that exists.";
        UnknownInitial = "unknown-initial" "The initial state is defined.";
        InitialRequires = "initial-requires" "The initial state requires no fields: delivery orders are born with none, and other machines may be.";
        InitialImmediate = "initial-immediate" "The initial state is not left at once, else nothing could ever be in it.";
        UnknownTarget = "unknown-target" "A transition leads to a state that is defined.";
        UnknownRole = "unknown-role" "A role is one that exists.";
        NoActors = "no-actors" "Every transition can be reported by somebody.";
        UnknownField = "unknown-field" "A field that is named is defined.";
        UnknownEffect = "unknown-effect" "An effect is one of our own, or names the task and the queue of another service.";
        EffectOfDeliveries = "effect-of-deliveries" "An effect of our own that is about a delivery order is asked for by delivery orders only; any machine may open an operator's case.";
        UnknownInverse = "unknown-inverse" "The inverse of an effect is an effect that is known, and another one.";
        BadEffect = "bad-effect" "A task of another service has a queue, and an effect of our own has no other task, queue or arguments.";
        BadArgument = "bad-argument" "An argument of an effect is exactly one of a value, a field and something of the order.";
        CriticalWithoutFailure = "critical-without-failure" "A critical effect says which event its final failure is.";
        FailureEventUnknown = "failure-event-unknown" "The failure of an effect leads out of every state that asks for the effect.";
        FailureAsksInput = "failure-asks-input" "The failure of an effect is an event that `system` may report and that asks for nothing.";
        NothingToCompensate = "nothing-to-compensate" "A state that compensates can be reached after an effect that has an inverse.";
        DuplicateEntry = "duplicate-entry" "A list names nothing twice.";
        EnumWithoutValues = "enum-without-values" "An enum has values.";
        MisplacedAttribute = "misplaced-attribute" "A field has only attributes that its type has.";
        LengthOutOfRange = "length-out-of-range" "A length is from 1 to 10000, and a minimum is no larger than its maximum.";
        Cycle = "cycle" "No way leads back to a state that was left.";
        Unreachable = "unreachable" "Some way leads to every state.";
        DeadEnd = "dead-end" "A state that is not terminal has a way out.";
        WaitsForEver = "waits-for-ever" "A state in which an order can wait has a deadline, or an operator can act in it.";
        TerminalWithExits = "terminal-with-exits" "A terminal state has no way out.";
        TerminalWithDeadline = "terminal-with-deadline" "A terminal state has no deadline, and nothing happens in it by itself.";
        TerminalWithoutOutcome = "terminal-without-outcome" "A terminal state says how it ended.";
        OutcomeBeforeEnd = "outcome-before-end" "Only a terminal state has an outcome.";
        FailureWithoutReason = "failure-without-reason" "A failure requires the field that gives its reason.";
        OperatorOutOfReach = "operator-out-of-reach" "In a state that needs attention, or after it, an operator can act.";
        TakesTooLong = "takes-too-long" "The deadlines on a way add up to ten years at most.";
        BadDuration = "bad-duration" "A duration is ISO 8601 and of fixed length.";
        DeadlineEventUnknown = "deadline-event-unknown" "The deadline's event leads out of its state.";
        DeadlineNotForSystem = "deadline-not-for-system" "The deadline's event may be reported by `system`.";
        DeadlineAsksInput = "deadline-asks-input" "The deadline's event requires nothing that is not known whatever way the order came.";
        DeadlineGuarded = "deadline-guarded" "The deadline's event has no guard: it could be refused, and the order would wait for ever.";
        DeadlineFieldUnfit = "deadline-field-unfit" "A deadline counts from a field that is an instant or a duration.";
        AutomaticEventUnknown = "automatic-event-unknown" "An automatic event leads out of its state.";
        AutomaticNotForSystem = "automatic-not-for-system" "An automatic event may be reported by `system`.";
        AutomaticAsksInput = "automatic-asks-input" "An automatic event requires nothing that is not known whatever way the order came.";
        AutomaticShadowed = "automatic-shadowed" "An automatic event comes before the one that always happens.";
        BadCondition = "bad-condition" "A condition is a field with exactly one test that its type allows, or exactly one state.";
        GuardNeverHolds = "guard-never-holds" "A guard can hold.";
        GuardAlwaysHolds = "guard-always-holds" "A guard can fail to hold.";
        SetsUnfit = "sets-unfit" "A transition sets fields that events bring, to values that they may hold.";
        SuccessorUnfit = "successor-unfit" "A successor is named by a UUID of the engine's, and takes over where the order ends.";
        MisplacedDisposition = "misplaced-disposition" "A disposition is for an event of the graph that does not lead out of the state, and only what is parked has a time.";
        ParkedForEver = "parked-for-ever" "An event is parked only where a way leads to a state that takes it.";
        CancellableWithoutWay = "cancellable-without-way" "A state tagged `cancellable` has a way to an end with the outcome `cancelled`, and no other state has one without the tag.";
        ModifiableEnd = "modifiable-end" "A terminal state is not tagged `modifiable`.";
        HappyPathBroken = "happy-path-broken" "The states tagged `happy` are one way from the initial state to a success.";
    }
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
    /// A way on which it happens, as a counter-example: `CREATED -PICKED_UP-> PICKED_UP`.
    pub way: Option<String>,
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
            way: None,
        });
    }

    /// Adds a defect that happens on a way.
    pub(super) fn add_on(&mut self, way: Option<String>, path: Path, kind: DefectKind, detail: impl Into<String>) {
        self.0.push(Defect {
            path,
            kind,
            detail: detail.into(),
            way,
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
