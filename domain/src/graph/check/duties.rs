//! Rules about duties: failures have reasons, operators can step in, deadlines can be kept.
//!
//! Which states are failures is read from the structure, not from names: an attention state that a delivery partner can
//! bring about, or that hands on at once (it exists to record a fact), must require an enum field. A terminal state with
//! outcome `failure` must require an enum field, or a UUID that names what takes over.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{
    DefectKind, Findings, GraphDocument, Kind, Knowledge, Path, Shape, StateDocument, duration, is_immediate, is_passed,
};
use crate::Role;

/// Deadlines on one way, together.
const LONGEST: TimeDelta = TimeDelta::days(3650);

pub(super) fn check(document: &GraphDocument, shape: &Shape<'_>, knowledge: &Knowledge<'_>, findings: &mut Findings) {
    check_initial(document, findings);
    for (name, state) in &document.states {
        check_reason(document, shape, (name, state), findings);
        check_operator(document, shape, name, findings);
        check_waiting(shape, name, state, findings);
        check_deadline(document, shape, knowledge, name, findings);
    }
    check_duration(document, shape, findings);
}

fn check_initial(document: &GraphDocument, findings: &mut Findings) {
    let Some(initial) = document.states.get(&document.initial) else {
        return;
    };
    let path = Path::state(&document.initial);
    if !initial.requires.is_empty() {
        let detail = format!("{} is the initial state, expected no required fields", document.initial);
        findings.add(path.at("requires"), DefectKind::InitialRequires, detail);
    }
    if is_immediate(initial) || !initial.automatic.is_empty() {
        let key = if initial.automatic.is_empty() {
            path.at("deadline").at("after")
        } else {
            path.at("automatic")
        };
        let detail = format!(
            "{} is the initial state, expected a deadline after its birth",
            document.initial
        );
        findings.add(key, DefectKind::InitialImmediate, detail);
    }
}

fn check_reason(
    document: &GraphDocument,
    shape: &Shape<'_>,
    (name, state): (&str, &StateDocument),
    findings: &mut Findings,
) {
    let requires = |types: &[&str]| {
        let mut required = state.requires.iter().filter_map(|field| document.fields.get(field));
        required.any(|field| types.contains(&field.kind.as_str()))
    };
    let missing = match Kind::parse(&state.kind) {
        Some(Kind::Attention) if !requires(&["enum"]) => {
            if reported_by(document, name, Role::DeliveryPartner) {
                "a delivery partner can bring it about, expected an enum field in requires that gives the reason"
            } else if is_passed(state) {
                "it hands on at once, expected an enum field in requires that gives the reason"
            } else {
                return;
            }
        }
        Some(Kind::Terminal) if state.outcome.as_deref() == Some("failure") && !requires(&["enum", "uuid"]) => {
            "its outcome is failure, expected an enum field in requires that gives the reason, or a uuid of what takes over"
        }
        _ => return,
    };
    findings.add_on(
        shape.way(name),
        Path::state(name),
        DefectKind::FailureWithoutReason,
        format!("{name} has no reason: {missing}"),
    );
}

fn reported_by(document: &GraphDocument, target: &str, role: Role) -> bool {
    let mut entries = document
        .states
        .values()
        .flat_map(|state| state.transitions.values())
        .filter(|t| t.to == target);
    entries.any(|transition| transition.actors.iter().any(|actor| actor == role.as_str()))
}

fn check_operator(document: &GraphDocument, shape: &Shape<'_>, name: &str, findings: &mut Findings) {
    let within_reach = || {
        let mut states = document.states.iter();
        states.any(|(other, state)| (other == name || shape.leads_to(name, other)) && operator_acts(state))
    };
    if document.states[name].kind == Kind::Attention.as_str() && !within_reach() {
        let detail = format!("{name} needs attention, but an operator can act neither in it nor after it");
        findings.add_on(
            shape.way(name),
            Path::state(name),
            DefectKind::OperatorOutOfReach,
            detail,
        );
    }
}

fn operator_acts(state: &StateDocument) -> bool {
    let mut ways = state.transitions.values();
    ways.any(|transition| transition.actors.iter().any(|actor| actor == Role::Operator.as_str()))
}

fn check_waiting(shape: &Shape<'_>, name: &str, state: &StateDocument, findings: &mut Findings) {
    let waits = Kind::parse(&state.kind).is_some_and(|kind| kind != Kind::Terminal)
        && !state.transitions.is_empty()
        && !is_passed(state);
    // Where attention is needed, its own rule asks for an operator.
    if waits && state.kind == Kind::Active.as_str() && state.deadline.is_none() && !operator_acts(state) {
        let detail = format!("{name} has no deadline, and no operator can act in it: an order could wait for ever");
        findings.add_on(shape.way(name), Path::state(name), DefectKind::WaitsForEver, detail);
    }
}

/// The deadlines of the slowest way.
fn check_duration(document: &GraphDocument, shape: &Shape<'_>, findings: &mut Findings) {
    let mut waited: BTreeMap<&str, TimeDelta> = BTreeMap::new();
    for name in shape.order() {
        let state = &document.states[name];
        let own = state
            .deadline
            .as_ref()
            .and_then(|deadline| duration::parse(&deadline.after));
        let before = waited.get(name).copied().unwrap_or_default();
        // Both are bounded: ten years a state, five hundred states.
        let until = before + own.unwrap_or_default();
        if before <= LONGEST && until > LONGEST {
            let detail = format!(
                "deadlines of {} days lie on a way through {name}, expected 3650 at most",
                until.num_days()
            );
            findings.add_on(
                shape.way(name),
                Path::state(name).at("deadline"),
                DefectKind::TakesTooLong,
                detail,
            );
        }
        for transition in state.transitions.values() {
            let slot = waited.entry(transition.to.as_str()).or_default();
            *slot = (*slot).max(until);
        }
    }
}

fn check_deadline(
    document: &GraphDocument,
    shape: &Shape<'_>,
    knowledge: &Knowledge<'_>,
    name: &str,
    findings: &mut Findings,
) {
    let state = &document.states[name];
    let Some(deadline) = &state.deadline else { return };
    let path = Path::state(name).at("deadline");
    if duration::parse(&deadline.after).is_none() {
        let detail = format!(
            "{:?} is not a duration, expected ISO 8601 of at most ten years in weeks, days, hours, minutes and seconds, \
             such as PT48H or P7D",
            deadline.after
        );
        findings.add(path.at("after"), DefectKind::BadDuration, detail);
    }
    if let Some(field) = &deadline.from {
        let kind = document
            .fields
            .get(field)
            .map_or("not defined", |field| field.kind.as_str());
        if !["instant", "duration"].contains(&kind) {
            let detail = format!("field {field} is {kind}, expected one of type instant or duration");
            findings.add(path.at("from"), DefectKind::DeadlineFieldUnfit, detail);
        }
    }
    let path = path.at("event");
    let event = &deadline.event;
    let Some(transition) = state.transitions.get(event) else {
        let detail = format!("{event} is not a transition of {name}");
        findings.add(path, DefectKind::DeadlineEventUnknown, detail);
        return;
    };
    if !transition.actors.iter().any(|actor| actor == Role::System.as_str()) {
        let detail = format!("{event} is not allowed to system, which reports deadlines");
        findings.add(path.clone(), DefectKind::DeadlineNotForSystem, detail);
    }
    if !transition.when.is_empty() {
        let detail = format!("{event} has a guard: if it does not hold then, the order waits for ever");
        findings.add_on(shape.way(name), path.clone(), DefectKind::DeadlineGuarded, detail);
    }
    let asked = knowledge.missing(document, name, transition);
    if let Some((asked, way)) = asked {
        let detail = format!("{event} requires {asked}, which a deadline cannot bring");
        findings.add_on(way, path, DefectKind::DeadlineAsksInput, detail);
    }
}
