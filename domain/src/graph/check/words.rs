//! Rules about single words: names, kinds, roles, fields, effects, and that lists name nothing twice.

use std::collections::BTreeSet;

use super::{
    DefectKind, FieldDocument, Findings, GraphDocument, Kind, Outcome, Path, SCHEMA, StateDocument, Tag,
    TransitionDocument,
};
use crate::Role;
use crate::graph::effect::needs_record;
use crate::graph::vocabulary::FIELD_TYPES;
use crate::graph::{DELIVERY, KNOWN_EFFECTS};

pub(super) fn check(document: &GraphDocument, findings: &mut Findings) {
    check_head(document, findings);
    for (name, field) in &document.fields {
        check_field(name, field, findings);
    }
    for (name, state) in &document.states {
        check_state(document, name, state, findings);
    }
}

fn check_head(document: &GraphDocument, findings: &mut Findings) {
    let root = Path::root();
    if document.schema != SCHEMA {
        let detail = format!("schema is {}, expected {SCHEMA}", document.schema);
        findings.add(root.at("schema"), DefectKind::SchemaOutOfRange, detail);
    }
    if !(1..=i64::from(i32::MAX)).contains(&document.version) {
        let detail = format!(
            "version is {}, expected a number from 1 to {}",
            document.version,
            i32::MAX
        );
        findings.add(root.at("version"), DefectKind::VersionOutOfRange, detail);
    }
    check_name(root.at("machine"), &document.machine, Pattern::Machine, findings);
}

fn check_field(name: &str, field: &FieldDocument, findings: &mut Findings) {
    let path = Path::field(name);
    check_name(path.clone(), name, Pattern::Lower, findings);
    check_word(path.at("type"), "type", &field.kind, &FIELD_TYPES, findings);
    if let Some(source) = &field.source {
        check_word(path.at("source"), "source", source, &["event", "engine"], findings);
    }
    if let Some(length) = field.max_length {
        if field.kind != "string" {
            let detail = format!("{name} is of type {}, only a string has max_length", field.kind);
            findings.add(path.at("max_length"), DefectKind::MisplacedAttribute, detail);
        } else if !(1..=10_000).contains(&length) {
            let detail = format!("max_length is {length}, expected a number from 1 to 10000");
            findings.add(path.at("max_length"), DefectKind::LengthOutOfRange, detail);
        }
    }
    check_bounds(&path, name, field, findings);
    if field.kind == "enum" && field.values.is_empty() {
        findings.add(
            path.clone(),
            DefectKind::EnumWithoutValues,
            format!("enum {name} has no values"),
        );
    }
    if field.kind != "enum" && !field.values.is_empty() {
        let detail = format!("{name} is of type {}, only an enum has values", field.kind);
        findings.add(path.at("values"), DefectKind::MisplacedAttribute, detail);
    }
    check_repetition(&path.at("values"), &field.values, findings);
    for (place, value) in field.values.iter().enumerate() {
        check_name(path.at("values").at(place), value, Pattern::Upper, findings);
    }
}

fn check_bounds(path: &Path, name: &str, field: &FieldDocument, findings: &mut Findings) {
    for (key, bound) in [("minimum", field.minimum), ("maximum", field.maximum)] {
        if bound.is_some() && field.kind != "integer" {
            let detail = format!("{name} is of type {}, only an integer has {key}", field.kind);
            findings.add(path.at(key), DefectKind::MisplacedAttribute, detail);
        }
    }
    if let (Some(minimum), Some(maximum)) = (field.minimum, field.maximum)
        && minimum > maximum
    {
        let detail = format!("minimum is {minimum}, expected {maximum} at most, the maximum");
        findings.add(path.at("minimum"), DefectKind::LengthOutOfRange, detail);
    }
}

fn check_state(document: &GraphDocument, name: &str, state: &StateDocument, findings: &mut Findings) {
    let path = Path::state(name);
    check_name(path.clone(), name, Pattern::Upper, findings);
    check_word(
        path.at("kind"),
        "kind",
        &state.kind,
        &Kind::ALL.map(Kind::as_str),
        findings,
    );
    if let Some(outcome) = &state.outcome {
        check_word(
            path.at("outcome"),
            "outcome",
            outcome,
            &Outcome::ALL.map(Outcome::as_str),
            findings,
        );
    }
    check_repetition(&path.at("tags"), &state.tags, findings);
    for (place, tag) in state.tags.iter().enumerate() {
        check_word(
            path.at("tags").at(place),
            "tag",
            tag,
            &Tag::ALL.map(Tag::as_str),
            findings,
        );
    }
    check_repetition(&path.at("automatic"), &state.automatic, findings);
    check_requires(document, &path.at("requires"), &state.requires, findings);
    check_effects(document, &path.at("on_enter"), &state.on_enter, findings);
    for (event, transition) in &state.transitions {
        check_transition(document, &Path::transition(name, event), event, transition, findings);
    }
}

fn check_transition(
    document: &GraphDocument,
    path: &Path,
    event: &str,
    transition: &TransitionDocument,
    findings: &mut Findings,
) {
    check_name(path.clone(), event, Pattern::Upper, findings);
    check_actors(path, &transition.actors, findings);
    check_requires(document, &path.at("requires"), &transition.requires, findings);
    if let Some(optional) = &transition.optional {
        check_requires(document, &path.at("optional"), optional, findings);
    }
}

fn check_actors(transition: &Path, actors: &[String], findings: &mut Findings) {
    let path = transition.at("actors");
    if actors.is_empty() {
        findings.add(
            path.clone(),
            DefectKind::NoActors,
            "nobody may report this, expected at least one role",
        );
    }
    check_repetition(&path, actors, findings);
    for (place, role) in actors.iter().enumerate() {
        if Role::parse(role).is_none() {
            let detail = format!(
                "role {role} does not exist, expected one of {}",
                Role::ALL.map(Role::as_str).join(", ")
            );
            findings.add(path.at(place), DefectKind::UnknownRole, detail);
        }
    }
}

fn check_requires(document: &GraphDocument, path: &Path, requires: &[String], findings: &mut Findings) {
    check_repetition(path, requires, findings);
    for (place, field) in requires.iter().enumerate() {
        if !document.fields.contains_key(field) {
            findings.add(
                path.at(place),
                DefectKind::UnknownField,
                format!("field {field} is not defined"),
            );
        }
    }
}

fn check_effects(document: &GraphDocument, path: &Path, effects: &[String], findings: &mut Findings) {
    check_repetition(path, effects, findings);
    for (place, effect) in effects.iter().enumerate() {
        check_name(path.at(place), effect, Pattern::Lower, findings);
        let of_another = document.machine != DELIVERY && Pattern::Machine.fits(&document.machine);
        if needs_record(effect) && of_another {
            let detail = format!("{effect} is for delivery orders, expected another name with its task and queue");
            findings.add(path.at(place), DefectKind::EffectOfDeliveries, detail);
        }
        let is_known = KNOWN_EFFECTS.contains(&effect.as_str()) || document.effects.contains_key(effect);
        if Pattern::Lower.fits(effect) && !is_known {
            let detail = format!(
                "effect {effect} does not exist, expected one of {}",
                KNOWN_EFFECTS.join(", ")
            );
            findings.add(path.at(place), DefectKind::UnknownEffect, detail);
        }
    }
}

pub(super) fn check_effect_name(path: Path, name: &str, findings: &mut Findings) {
    check_name(path, name, Pattern::Lower, findings);
}

pub(super) fn check_word(path: Path, what: &str, word: &str, known: &[&str], findings: &mut Findings) {
    if !known.contains(&word) {
        let detail = format!("{what} {word} does not exist, expected one of {}", known.join(", "));
        findings.add(path, DefectKind::UnknownWord, detail);
    }
}

fn check_repetition(path: &Path, entries: &[String], findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    for (place, entry) in entries.iter().enumerate() {
        if !seen.insert(entry) {
            findings.add(
                path.at(place),
                DefectKind::DuplicateEntry,
                format!("{entry} is named twice"),
            );
        }
    }
}

fn check_name(path: Path, name: &str, pattern: Pattern, findings: &mut Findings) {
    if !pattern.fits(name) {
        findings.add(
            path,
            DefectKind::BadName,
            format!("{name:?} is not a good name, expected {}", pattern.expected()),
        );
    }
}

/// How names are spelled.
#[derive(Debug, Clone, Copy)]
enum Pattern {
    /// States, events, enum values.
    Upper,
    /// Fields, effects.
    Lower,
    /// Machines.
    Machine,
}

impl Pattern {
    fn fits(self, name: &str) -> bool {
        let is_letter = |byte: u8| match self {
            Self::Upper => byte.is_ascii_uppercase(),
            Self::Lower | Self::Machine => byte.is_ascii_lowercase(),
        };
        let joint = match self {
            Self::Upper | Self::Lower => b'_',
            Self::Machine => b'-',
        };
        (2..=64).contains(&name.len())
            && name.bytes().next().is_some_and(is_letter)
            && name
                .bytes()
                .all(|byte| is_letter(byte) || byte.is_ascii_digit() || byte == joint)
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Upper => "2 to 64 of A-Z, 0-9 and _, a letter first",
            Self::Lower => "2 to 64 of a-z, 0-9 and _, a letter first",
            Self::Machine => "2 to 64 of a-z, 0-9 and -, a letter first",
        }
    }
}
