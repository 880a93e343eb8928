//! Rules about duties: failures have reasons, operators can step in, deadlines can be kept.
//!
//! Which states are failures is read from the structure, not from names: an attention state that a delivery partner can
//! bring about, or that hands on at once (it exists to record a fact), must require an enum field. A terminal state with
//! outcome `failure` must require an enum field, or a UUID that names what takes over.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    DefectKind, Findings, GraphDocument, Kind, Path, Shape, StateDocument, duration, is_immediate, required_fields,
};
use crate::Role;

pub(super) fn check(document: &GraphDocument, shape: &Shape<'_>, findings: &mut Findings) {
    check_initial(document, findings);
    let known = surely_known(document);
    for (name, state) in &document.states {
        check_reason(document, name, state, findings);
        check_operator(document, shape, name, findings);
        check_deadline(document, &known[name.as_str()], name, findings);
    }
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
    if is_immediate(initial) {
        let detail = format!(
            "{} is the initial state, expected a deadline after its birth",
            document.initial
        );
        findings.add(path.at("deadline").at("after"), DefectKind::InitialImmediate, detail);
    }
}

fn check_reason(document: &GraphDocument, name: &str, state: &StateDocument, findings: &mut Findings) {
    let requires = |types: &[&str]| {
        let mut required = state.requires.iter().filter_map(|field| document.fields.get(field));
        required.any(|field| types.contains(&field.kind.as_str()))
    };
    let missing = match Kind::parse(&state.kind) {
        Some(Kind::Attention) if !requires(&["enum"]) => {
            if reported_by(document, name, Role::DeliveryPartner) {
                "a delivery partner can bring it about, expected an enum field in requires that gives the reason"
            } else if is_immediate(state) {
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
    findings.add(
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
    let acts = |state: &StateDocument| {
        state
            .transitions
            .values()
            .any(|transition| transition.actors.iter().any(|actor| actor == Role::Operator.as_str()))
    };
    let within_reach = || {
        let mut states = document.states.iter();
        states.any(|(other, state)| (other == name || shape.leads_to(name, other)) && acts(state))
    };
    if document.states[name].kind == Kind::Attention.as_str() && !within_reach() {
        let detail = format!("{name} needs attention, but an operator can act neither in it nor after it");
        findings.add(Path::state(name), DefectKind::OperatorOutOfReach, detail);
    }
}

fn check_deadline(document: &GraphDocument, known: &BTreeSet<&str>, name: &str, findings: &mut Findings) {
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
    let asked: Vec<&str> = required_fields(document, transition)
        .into_iter()
        .filter(|field| !known.contains(field))
        .collect();
    if !asked.is_empty() {
        let detail = format!("{event} requires {}, which a deadline cannot bring", asked.join(", "));
        findings.add(path, DefectKind::DeadlineAsksInput, detail);
    }
}

/// The fields that an order knows in each state whatever way it came: the greatest set that every way in agrees on.
fn surely_known(document: &GraphDocument) -> BTreeMap<&str, BTreeSet<&str>> {
    let all: BTreeSet<&str> = document.fields.keys().map(String::as_str).collect();
    let mut known: BTreeMap<&str, BTreeSet<&str>> = document
        .states
        .keys()
        .map(|name| (name.as_str(), all.clone()))
        .collect();
    if let Some(initial) = known.get_mut(document.initial.as_str()) {
        initial.clear();
    }
    let mut changed = true;
    while changed {
        changed = false;
        for (name, state) in &document.states {
            for transition in state.transitions.values() {
                let mut brought = known[name.as_str()].clone();
                brought.extend(required_fields(document, transition));
                if let Some(target) = known.get_mut(transition.to.as_str()) {
                    let before = target.len();
                    target.retain(|field| brought.contains(field));
                    changed |= target.len() < before;
                }
            }
        }
    }
    known
}
