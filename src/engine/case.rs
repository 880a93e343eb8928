//! Operator cases: claimed by one person, closed with a note.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::Case;
use crate::store::{Needs, Unit};

/// What became of an operator's hand on a case.
#[derive(Debug, Clone, PartialEq)]
pub enum CaseAnswer {
    /// Done, or done by the same operator before.
    Done(Box<Case>),
    /// Somebody else was first.
    Taken(Box<Case>),
    /// There is no such case.
    NotFound,
}

impl Engine {
    /// Claims an open case for an operator.
    pub async fn claim_case(&self, case_id: Uuid, operator: &str) -> Result<CaseAnswer, EngineError> {
        Ok(self
            .committer
            .submit(Claim {
                case_id,
                operator: operator.to_owned(),
            })
            .await?)
    }

    /// Closes a case with a note. Whoever claimed it closes it; an unclaimed one anybody.
    pub async fn close_case(&self, case_id: Uuid, operator: &str, note: &str) -> Result<CaseAnswer, EngineError> {
        Ok(self
            .committer
            .submit(Close {
                case_id,
                operator: operator.to_owned(),
                note: note.to_owned(),
            })
            .await?)
    }
}

struct Claim {
    case_id: Uuid,
    operator: String,
}

impl Command for Claim {
    type Answer = CaseAnswer;

    fn needs(&self) -> Needs {
        Needs {
            cases: BTreeSet::from([self.case_id]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> CaseAnswer {
        let now = unit.now;
        let Some(case) = unit.cases.get_mut(&self.case_id) else {
            return CaseAnswer::NotFound;
        };
        match &case.claimed_by {
            Some(who) if *who == self.operator && case.closed_at.is_none() => {}
            None if case.closed_at.is_none() => {
                case.claimed_by = Some(self.operator.clone());
                case.claimed_at = Some(now);
                unit.writes.changed_cases.insert(self.case_id);
            }
            _ => return CaseAnswer::Taken(Box::new(case.clone())),
        }
        CaseAnswer::Done(Box::new(case.clone()))
    }
}

struct Close {
    case_id: Uuid,
    operator: String,
    note: String,
}

impl Command for Close {
    type Answer = CaseAnswer;

    fn needs(&self) -> Needs {
        Needs {
            cases: BTreeSet::from([self.case_id]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> CaseAnswer {
        let now = unit.now;
        let Some(case) = unit.cases.get_mut(&self.case_id) else {
            return CaseAnswer::NotFound;
        };
        let others = |who: &Option<String>| who.as_ref().is_some_and(|who| *who != self.operator);
        if others(&case.claimed_by) || others(&case.closed_by) {
            return CaseAnswer::Taken(Box::new(case.clone()));
        }
        if case.closed_at.is_none() {
            case.closed_by = Some(self.operator.clone());
            case.closed_at = Some(now);
            case.note = Some(self.note.clone());
            unit.writes.changed_cases.insert(self.case_id);
        }
        CaseAnswer::Done(Box::new(case.clone()))
    }
}
