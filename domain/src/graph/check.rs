//! Checks a document and makes the graph; all defects are found in one go.

mod duties;
mod shape;
mod size;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use super::defect::Findings;
use super::{
    Deadline, Defect, DefectKind, Edge, Field, FieldDocument, FieldSource, FieldType, Graph, GraphDocument, Kind,
    Outcome, Path, State, StateDocument, TransitionDocument, duration,
};
use crate::{FieldName, GraphVersion, MachineName, Role, StateName};
use shape::Shape;

/// The language version that this program reads.
pub const SCHEMA: i64 = 1;

/// Effects that exist; a graph that names another one is newer than this program.
pub const KNOWN_EFFECTS: [&str; 6] = [
    "book_delivery_partner",
    "cancel_delivery_partner",
    "notify_customer",
    "notify_order_management",
    "open_operator_case",
    "request_customer_confirmation",
];

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
    duties::check(&document, &shape, &mut findings);
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
    Graph {
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

fn build_field(name: &str, field: &FieldDocument) -> Field {
    let kind = match field.kind.as_str() {
        "uuid" => FieldType::Uuid,
        "enum" => FieldType::Words(field.values.clone()),
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
        event: deadline.event.as_str().into(),
    });
    let edges = state.transitions.iter().map(|(event, transition)| {
        let requires = required_fields(document, transition);
        let asks = requires
            .iter()
            .copied()
            .filter(|field| fields[*field].source == FieldSource::Event);
        let edge = Edge {
            event: event.as_str().into(),
            to: transition.to.as_str().into(),
            actors: transition.actors.iter().filter_map(|role| Role::parse(role)).collect(),
            asks: asks.map(FieldName::from).collect(),
            requires: requires.iter().copied().map(FieldName::from).collect(),
        };
        (edge.event.clone(), edge)
    });
    State {
        name: name.into(),
        kind: Kind::parse(&state.kind).expect("the kind was checked"),
        outcome: state.outcome.as_deref().and_then(Outcome::parse),
        rank,
        requires: state.requires.iter().map(|field| field.as_str().into()).collect(),
        on_enter: state.on_enter.iter().map(|effect| effect.as_str().into()).collect(),
        deadline,
        edges: edges.collect(),
    }
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
    let after = state
        .deadline
        .as_ref()
        .and_then(|deadline| duration::parse(&deadline.after));
    after.as_ref().is_some_and(TimeDelta::is_zero)
}
