//! Rules about what follows: effects and their inverses, automatic events, what ways bring, successors, dispositions.

use super::{
    DefectKind, Disposition, Findings, GraphDocument, Knowledge, Path, Shape, StateDocument, build_field, duration,
    effect, is_passed, required_fields, words,
};
use crate::Role;
use crate::graph::{ArgumentDocument, EffectDocument, FieldSource, KNOWN_EFFECTS};

pub(super) fn check(document: &GraphDocument, shape: &Shape<'_>, knowledge: &Knowledge<'_>, findings: &mut Findings) {
    for (name, effect) in &document.effects {
        check_effect(document, name, effect, findings);
        check_failure(document, knowledge, (name, effect), findings);
    }
    for (name, state) in &document.states {
        check_compensation(document, shape, (name, state), findings);
        check_automatic(document, knowledge, (name, state), findings);
        check_ways(document, name, state, findings);
        check_dispositions(document, shape, (name, state), findings);
    }
}

fn check_effect(document: &GraphDocument, name: &str, effect: &EffectDocument, findings: &mut Findings) {
    let path = Path::root().at("effects").at(name);
    words::check_effect_name(path.clone(), name, findings);
    let is_own = KNOWN_EFFECTS.contains(&name);
    let wrong = match (is_own, &effect.task, &effect.queue) {
        (true, None, None) if effect.args.is_empty() => None,
        (true, ..) => Some(format!(
            "{name} is an effect of our own, expected no task, queue or args"
        )),
        (false, Some(task), Some(queue)) if !task.is_empty() && !queue.is_empty() => None,
        (false, ..) => Some(format!(
            "{name} is an effect of another service, expected its task and its queue"
        )),
    };
    if let Some(detail) = wrong {
        findings.add(path.clone(), DefectKind::BadEffect, detail);
    }
    for (key, argument) in &effect.args {
        check_argument(document, &path.at("args").at(key), argument, findings);
    }
    if let Some(inverse) = &effect.inverse {
        let is_known = KNOWN_EFFECTS.contains(&inverse.as_str()) || document.effects.contains_key(inverse);
        if !is_known || inverse == name {
            let detail = format!("inverse {inverse} is not another effect of this graph");
            findings.add(path.at("inverse"), DefectKind::UnknownInverse, detail);
        }
    }
    if effect.critical && effect.on_failure.is_none() {
        let detail = format!("{name} is critical, expected on_failure with the event of its final failure");
        findings.add(path.at("critical"), DefectKind::CriticalWithoutFailure, detail);
    }
}

fn check_argument(document: &GraphDocument, path: &Path, argument: &ArgumentDocument, findings: &mut Findings) {
    let given = [
        argument.value.is_some(),
        argument.field.is_some(),
        argument.of.is_some(),
    ];
    if given.into_iter().filter(|given| *given).count() != 1 {
        findings.add(
            path.clone(),
            DefectKind::BadArgument,
            "expected exactly one of value, field and of",
        );
    }
    if let Some(field) = &argument.field
        && !document.fields.contains_key(field)
    {
        findings.add(
            path.at("field"),
            DefectKind::UnknownField,
            format!("field {field} is not defined"),
        );
    }
    if let Some(of) = &argument.of
        && !effect::PROPERTIES.contains(&of.as_str())
    {
        let detail = format!(
            "{of} is nothing of an order, expected one of {}",
            effect::PROPERTIES.join(", ")
        );
        findings.add(path.at("of"), DefectKind::BadArgument, detail);
    }
}

/// The failure of an effect must lead out of every state in which it can become known first.
fn check_failure(
    document: &GraphDocument,
    knowledge: &Knowledge<'_>,
    (name, effect): (&str, &EffectDocument),
    findings: &mut Findings,
) {
    let Some(event) = &effect.on_failure else { return };
    let path = Path::root().at("effects").at(name).at("on_failure");
    for (asking, state) in document
        .states
        .iter()
        .filter(|(_, state)| state.on_enter.iter().any(|it| it == name))
    {
        let Some(transition) = state.transitions.get(event) else {
            if !is_passed(state) {
                let detail = format!("{event} is not a transition of {asking}, which asks for {name}");
                findings.add(path.clone(), DefectKind::FailureEventUnknown, detail);
            }
            continue;
        };
        let by_system = transition.actors.iter().any(|actor| actor == Role::System.as_str());
        let asked = knowledge.missing(document, asking, transition);
        if !by_system {
            let detail = format!("{event} is not allowed to system in {asking}, which reports failures of effects");
            findings.add(path.clone(), DefectKind::FailureAsksInput, detail);
        } else if let Some((asked, way)) = asked {
            let detail = format!("{event} requires {asked} in {asking}, which a failure of {name} cannot bring");
            findings.add_on(way, path.clone(), DefectKind::FailureAsksInput, detail);
        }
    }
}

fn check_compensation(
    document: &GraphDocument,
    shape: &Shape<'_>,
    (name, state): (&str, &StateDocument),
    findings: &mut Findings,
) {
    let has_inverse = |other: &StateDocument| {
        let mut effects = other.on_enter.iter();
        effects.any(|effect| effect::inverse(&document.effects, effect).is_some())
    };
    let something = || {
        let mut before = document.states.iter();
        before.any(|(other, state)| shape.leads_to(other, name) && has_inverse(state))
    };
    if state.compensates && !something() {
        let detail = format!("{name} compensates, but no effect before it has an inverse");
        findings.add(
            Path::state(name).at("compensates"),
            DefectKind::NothingToCompensate,
            detail,
        );
    }
}

fn check_automatic(
    document: &GraphDocument,
    knowledge: &Knowledge<'_>,
    (name, state): (&str, &StateDocument),
    findings: &mut Findings,
) {
    let mut always: Option<&str> = None;
    for (place, event) in state.automatic.iter().enumerate() {
        let path = Path::state(name).at("automatic").at(place);
        if let Some(earlier) = always {
            let detail = format!("{event} never happens by itself: {earlier} before it always does");
            findings.add(path.clone(), DefectKind::AutomaticShadowed, detail);
        }
        let Some(transition) = state.transitions.get(event) else {
            let detail = format!("{event} is not a transition of {name}");
            findings.add(path, DefectKind::AutomaticEventUnknown, detail);
            continue;
        };
        if !transition.actors.iter().any(|actor| actor == Role::System.as_str()) {
            let detail = format!("{event} is not allowed to system, which reports what happens by itself");
            findings.add(path.clone(), DefectKind::AutomaticNotForSystem, detail);
        }
        if let Some((asked, way)) = knowledge.missing(document, name, transition) {
            let detail = format!("{event} requires {asked}, which nobody brings when it happens by itself");
            findings.add_on(way, path, DefectKind::AutomaticAsksInput, detail);
        }
        if transition.when.is_empty() {
            always = always.or(Some(event));
        }
    }
}

/// What ways bring themselves, and whom they name as successor.
fn check_ways(document: &GraphDocument, name: &str, state: &StateDocument, findings: &mut Findings) {
    for (event, transition) in &state.transitions {
        let path = Path::transition(name, event);
        for (field, value) in &transition.sets {
            let built = document.fields.get(field).map(|it| build_field(field, it));
            let wrong = match built {
                None => format!("field {field} is not defined"),
                Some(built) if built.source == FieldSource::Engine => format!("{field} is filled by the engine"),
                Some(built) if !built.accepts(value) => format!("{field} is {value}, expected {}", built.expected()),
                Some(_) => continue,
            };
            findings.add(path.at("sets").at(field), DefectKind::SetsUnfit, wrong);
        }
        let Some(field) = &transition.successor else { continue };
        let names_an_order = document
            .fields
            .get(field)
            .is_some_and(|field| field.kind == "uuid" && field.source.as_deref() == Some("engine"));
        let is_end = document
            .states
            .get(&transition.to)
            .is_some_and(|target| target.kind == "terminal");
        let is_required = required_fields(document, transition).contains(&field.as_str());
        if !(names_an_order && is_end && is_required) {
            let detail = format!(
                "successor {field}: expected a required uuid field with source engine, and a transition to a terminal state"
            );
            findings.add(path.at("successor"), DefectKind::SuccessorUnfit, detail);
        }
    }
}

fn check_dispositions(
    document: &GraphDocument,
    shape: &Shape<'_>,
    (name, state): (&str, &StateDocument),
    findings: &mut Findings,
) {
    for (event, said) in &state.otherwise {
        let path = Path::state(name).at("otherwise").at(event);
        words::check_word(path.at("is"), "disposition", &said.is, &Disposition::WORDS, findings);
        let takers: Vec<&str> = document
            .states
            .iter()
            .filter(|(_, state)| state.transitions.contains_key(event))
            .map(|(taker, _)| taker.as_str())
            .collect();
        let misplaced = if state.transitions.contains_key(event) {
            Some(format!(
                "{event} leads out of {name}: there is nothing else that it could mean"
            ))
        } else if takers.is_empty() {
            Some(format!("{event} is not an event of this graph"))
        } else if said.patience.is_some() && said.is != "park" {
            Some(format!("only what is parked has a time, {event} is {}", said.is))
        } else {
            None
        };
        if let Some(detail) = misplaced {
            findings.add(path.clone(), DefectKind::MisplacedDisposition, detail);
            continue;
        }
        if said
            .patience
            .as_deref()
            .is_some_and(|text| duration::parse(text).is_none())
        {
            let detail = "expected an ISO 8601 duration such as PT1H";
            findings.add(path.at("for"), DefectKind::BadDuration, detail);
        }
        if said.is == "park" && !takers.iter().any(|taker| shape.leads_to(name, taker)) {
            let detail = format!("{event} is parked in {name}, but no way leads on to a state that takes it");
            findings.add_on(shape.way(name), path, DefectKind::ParkedForEver, detail);
        }
    }
}
