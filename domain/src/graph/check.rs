//! Checks a document and makes the graph; all defects are found in one go.

mod actions;
mod duties;
mod guards;
mod knowledge;
mod shape;
mod size;
mod tags;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::defect::Findings;
use super::{
    Condition, Deadline, Defect, DefectKind, Disposition, Edge, Field, FieldDocument, FieldSource, FieldType, Graph,
    GraphDocument, Kind, Outcome, Path, State, StateDocument, Tag, TransitionDocument, duration, effect,
};
use crate::{EffectName, FieldName, GraphVersion, MachineName, Role, StateName};
use knowledge::Knowledge;
use shape::Shape;

/// The language version that this program reads.
pub const SCHEMA: i64 = 1;

/// Characters of a text field that does not say.
const DEFAULT_LENGTH: i64 = 2_000;

pub(super) fn check(document: GraphDocument) -> Result<Graph, Vec<Defect>> {
    let mut findings = Findings::default();
    size::check(&document, &mut findings);
    if !findings.is_empty() {
        return Err(findings.into_sorted());
    }
    let shape = Shape::of(&document);
    words::check(&document, &mut findings);
    shape.check(&document, &mut findings);
    let knowledge = Knowledge::of(&document, &shape);
    duties::check(&document, &shape, &knowledge, &mut findings);
    actions::check(&document, &shape, &knowledge, &mut findings);
    tags::check(&document, &shape, &mut findings);
    // What a guard can tell apart is only known where everything that it names is there.
    if findings.is_empty() {
        guards::check(&document, &shape, &knowledge, &mut findings);
    }
    if !findings.is_empty() {
        return Err(findings.into_sorted());
    }
    Ok(build(&document, &shape))
}

/// Makes the graph of a document without defects.
fn build(document: &GraphDocument, shape: &Shape<'_>) -> Graph {
    let fields: BTreeMap<FieldName, Field> = document
        .fields
        .iter()
        .map(|(name, field)| (name.as_str().into(), build_field(name, field)))
        .collect();
    let ranks = shape.ranks();
    let mut states: Vec<State> = document
        .states
        .iter()
        .map(|(name, state)| build_state(document, &fields, name, state, ranks[name.as_str()]))
        .collect();
    states.sort_by(|a, b| (a.rank, &a.name).cmp(&(b.rank, &b.name)));
    let places: BTreeMap<StateName, usize> = states
        .iter()
        .enumerate()
        .map(|(place, state)| (state.name.clone(), place))
        .collect();
    let effects = states
        .iter()
        .flat_map(|state| effect_names(document, state))
        .map(|name| (name.clone(), effect::define(&document.effects, name.as_str())))
        .collect();
    Graph {
        effects,
        machine: MachineName::from(document.machine.as_str()),
        version: GraphVersion(u32::try_from(document.version).expect("the version was checked")),
        initial: places[document.initial.as_str()],
        ahead: shape.ahead(),
        states,
        places,
        fields,
        document: document.clone(),
    }
}

/// What a state asks for, with what would take it back.
fn effect_names(document: &GraphDocument, state: &State) -> Vec<EffectName> {
    let inverses = state
        .on_enter
        .iter()
        .filter_map(|name| effect::inverse(&document.effects, name.as_str()));
    state
        .on_enter
        .iter()
        .cloned()
        .chain(inverses.map(EffectName::from))
        .collect()
}

fn build_field(name: &str, field: &FieldDocument) -> Field {
    let kind = match field.kind.as_str() {
        "uuid" => FieldType::Uuid,
        "flag" => FieldType::Flag,
        "instant" => FieldType::Instant,
        "duration" => FieldType::Duration,
        "enum" => FieldType::Words(field.values.clone()),
        "integer" => FieldType::Integer {
            minimum: field.minimum.unwrap_or(i64::MIN),
            maximum: field.maximum.unwrap_or(i64::MAX),
        },
        _ => {
            let max_length = field.max_length.unwrap_or(DEFAULT_LENGTH);
            FieldType::Text {
                max_length: usize::try_from(max_length).expect("the length was checked"),
            }
        }
    };
    let source = match field.source.as_deref() {
        Some("engine") => FieldSource::Engine,
        _ => FieldSource::Event,
    };
    Field {
        name: name.into(),
        kind,
        source,
    }
}

fn build_state(
    document: &GraphDocument,
    fields: &BTreeMap<FieldName, Field>,
    name: &str,
    state: &StateDocument,
    rank: u32,
) -> State {
    let deadline = state.deadline.as_ref().map(|deadline| Deadline {
        after: duration::parse(&deadline.after).expect("the duration was checked"),
        from: deadline.from.as_deref().map(FieldName::from),
        event: deadline.event.as_str().into(),
    });
    let edges = state.transitions.iter().map(|(event, transition)| {
        let edge = build_edge(document, fields, event, transition);
        (edge.event.clone(), edge)
    });
    State {
        name: name.into(),
        kind: Kind::parse(&state.kind).expect("the kind was checked"),
        outcome: state.outcome.as_deref().and_then(Outcome::parse),
        rank,
        tags: state.tags.iter().filter_map(|tag| Tag::parse(tag)).collect(),
        requires: state.requires.iter().map(|field| field.as_str().into()).collect(),
        on_enter: state.on_enter.iter().map(|effect| effect.as_str().into()).collect(),
        compensates: state.compensates,
        automatic: state.automatic.iter().map(|event| event.as_str().into()).collect(),
        deadline,
        edges: edges.collect(),
        otherwise: state
            .otherwise
            .iter()
            .filter_map(|(event, said)| Some((event.as_str().into(), Disposition::of(said)?)))
            .collect(),
    }
}

fn build_edge(
    document: &GraphDocument,
    fields: &BTreeMap<FieldName, Field>,
    event: &str,
    transition: &TransitionDocument,
) -> Edge {
    let requires = required_fields(document, transition);
    let asks = requires
        .iter()
        .copied()
        .filter(|field| fields[*field].source == FieldSource::Event && !transition.sets.contains_key(*field));
    Edge {
        event: event.into(),
        to: transition.to.as_str().into(),
        actors: transition.actors.iter().filter_map(|role| Role::parse(role)).collect(),
        asks: asks.map(FieldName::from).collect(),
        optional: transition
            .optional
            .as_ref()
            .map(|fields| fields.iter().map(|field| field.as_str().into()).collect()),
        when: transition.when.iter().filter_map(Condition::of).collect(),
        sets: transition
            .sets
            .iter()
            .map(|(field, value)| (field.as_str().into(), value.clone()))
            .collect(),
        successor: successor(document, transition, &requires).map(FieldName::from),
        requires: requires.iter().copied().map(FieldName::from).collect(),
    }
}

/// The field that names what takes over: the one that the graph says, else a UUID of the engine's that the end requires.
fn successor<'a>(
    document: &'a GraphDocument,
    transition: &'a TransitionDocument,
    requires: &[&'a str],
) -> Option<&'a str> {
    let names_an_order = |field: &&&str| {
        document
            .fields
            .get(**field)
            .is_some_and(|field| field.kind == "uuid" && field.source.as_deref() == Some("engine"))
    };
    let said = transition.successor.as_deref();
    said.or_else(|| requires.iter().find(names_an_order).copied())
}

/// What an order must know to take a transition: its own fields, then those of its target, each once.
fn required_fields<'a>(document: &'a GraphDocument, transition: &'a TransitionDocument) -> Vec<&'a str> {
    let target = document
        .states
        .get(&transition.to)
        .map(|state| state.requires.as_slice())
        .unwrap_or_default();
    let mut seen = BTreeSet::new();
    transition
        .requires
        .iter()
        .chain(target)
        .map(String::as_str)
        .filter(|field| seen.insert(*field))
        .collect()
}

/// Whether a state hands on in the moment it is entered.
fn is_immediate(state: &StateDocument) -> bool {
    let fixed = state.deadline.as_ref().filter(|deadline| deadline.from.is_none());
    let after = fixed.and_then(|deadline| duration::parse(&deadline.after));
    after.as_ref().is_some_and(TimeDelta::is_zero)
}

/// Whether no order ever waits in a state: it hands on at once, whatever the order knows.
fn is_passed(state: &StateDocument) -> bool {
    let always = |event: &String| state.transitions.get(event).is_some_and(|way| way.when.is_empty());
    is_immediate(state) || state.automatic.iter().any(always)
}
