//! A document as facts by place, so that two documents can be laid side by side.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::graph::{Condition, EffectDocument, FieldDocument, GraphDocument, StateDocument, TransitionDocument};

/// Everything that a document says but its version, by place.
pub(super) fn of(document: &GraphDocument) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::from([
        ("initial".to_owned(), document.initial.clone()),
        ("summary".to_owned(), document.summary.clone()),
    ]);
    for (name, field) in &document.fields {
        facts.insert(format!("fields.{name}"), of_field(field));
    }
    for (name, effect) in &document.effects {
        facts.insert(format!("effects.{name}"), of_effect(effect));
    }
    for (name, state) in &document.states {
        add_state(&mut facts, &format!("states.{name}"), state);
    }
    facts
}

fn add_state(facts: &mut BTreeMap<String, String>, place: &str, state: &StateDocument) {
    let kind = match &state.outcome {
        Some(outcome) => format!("{}: {outcome}", state.kind),
        None => state.kind.clone(),
    };
    facts.insert(place.to_owned(), kind);
    let deadline = state.deadline.as_ref().map(|deadline| {
        let from = deadline.from.as_ref().map(|from| format!(", from {from}"));
        format!(
            "{} after {}{}",
            deadline.event,
            deadline.after,
            from.unwrap_or_default()
        )
    });
    let said = [
        ("tags", state.tags.join(", ")),
        ("requires", state.requires.join(", ")),
        ("on_enter", state.on_enter.join(", ")),
        (
            "compensates",
            if state.compensates {
                "true".to_owned()
            } else {
                String::new()
            },
        ),
        ("automatic", state.automatic.join(", ")),
        ("deadline", deadline.unwrap_or_default()),
    ];
    for (key, value) in said.into_iter().filter(|(_, value)| !value.is_empty()) {
        facts.insert(format!("{place}.{key}"), value);
    }
    for (event, said) in &state.otherwise {
        let patience = said.patience.as_ref().map(|patience| format!(" for {patience}"));
        let value = format!("{}{}", said.is, patience.unwrap_or_default());
        facts.insert(format!("{place}.otherwise.{event}"), value);
    }
    for (event, transition) in &state.transitions {
        facts.insert(format!("{place}.transitions.{event}"), of_transition(transition));
    }
}

fn of_transition(transition: &TransitionDocument) -> String {
    let mut actors = transition.actors.clone();
    actors.sort_unstable();
    let mut text = format!("to {} by {}", transition.to, actors.join(", "));
    if !transition.requires.is_empty() {
        text += &format!(", requires {}", transition.requires.join(", "));
    }
    if let Some(optional) = &transition.optional {
        text += &format!(", takes {}", optional.join(", "));
    }
    for condition in transition.when.iter().filter_map(Condition::of) {
        text += &format!(", if {condition}");
    }
    for (field, value) in &transition.sets {
        text += &format!(", sets {field} {value}");
    }
    if let Some(field) = &transition.successor {
        text += &format!(", successor {field}");
    }
    text
}

fn of_field(field: &FieldDocument) -> String {
    let mut text = field.kind.clone();
    for (key, value) in [
        ("max_length", field.max_length),
        ("minimum", field.minimum),
        ("maximum", field.maximum),
    ] {
        text += &value.map(|value| format!(", {key} {value}")).unwrap_or_default();
    }
    if !field.values.is_empty() {
        text += &format!(": {}", field.values.join(", "));
    }
    if let Some(source) = &field.source {
        text += &format!(", by the {source}");
    }
    text
}

fn of_effect(effect: &EffectDocument) -> String {
    let mut parts = Vec::new();
    for (key, value) in [
        ("task", &effect.task),
        ("queue", &effect.queue),
        ("inverse", &effect.inverse),
        ("on failure", &effect.on_failure),
    ] {
        parts.extend(value.as_ref().map(|value| format!("{key} {value}")));
    }
    for (key, argument) in &effect.args {
        let value = argument.value.as_ref().map(ToString::to_string);
        let field = argument.field.as_ref().map(|field| format!("field {field}"));
        let of = argument.of.as_ref().map(|of| format!("its {of}"));
        parts.push(format!("{key} is {}", value.or(field).or(of).unwrap_or_default()));
    }
    if effect.critical {
        parts.push("critical".to_owned());
    }
    parts.join(", ")
}

/// A time in hours or, from a week on, in days.
pub(super) fn span(delta: TimeDelta) -> String {
    match delta.num_minutes() {
        minutes if minutes >= 7 * 24 * 60 && minutes % (24 * 60) == 0 => format!("{} days", minutes / (24 * 60)),
        minutes if minutes >= 60 && minutes % 60 == 0 => format!("{} hours", minutes / 60),
        minutes => format!("{minutes} minutes"),
    }
}
