//! Random graphs: acyclic by construction, with as many joins, shared events and shortcuts as chance gives.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use waybill_domain::{
    DELIVERY, DeadlineDocument, FieldDocument, GraphDocument, Role, StateDocument, TransitionDocument,
};

/// Names whose alphabetical order has nothing to do with the arrows'.
const NAMES: [&str; 12] = ["MM", "CC", "XX", "AA", "TT", "GG", "ZZ", "EE", "KK", "BB", "RR", "II"];

/// The name of the event with that number; few, so that edges share them.
pub(crate) fn event_name(number: usize) -> String {
    format!("E{}", number % 8)
}

/// A good document: states in the order of `NAMES`, edges only forwards.
pub(crate) fn document() -> impl Strategy<Value = GraphDocument> {
    (2_usize..=NAMES.len())
        .prop_flat_map(|size| {
            let parents = (1..size).map(|state| 0..state).collect::<Vec<_>>();
            let shortcuts = prop::collection::vec((0..size, 0..size, 0..8_usize), 0..12);
            let roles = prop::collection::vec(1_u8..64, 64);
            let demands = prop::collection::vec(any::<(bool, bool)>(), size);
            (Just(size), parents, shortcuts, roles, demands)
        })
        .prop_map(|(size, parents, shortcuts, roles, demands)| build(size, &parents, &shortcuts, &roles, &demands))
}

fn build(
    size: usize,
    parents: &[usize],
    shortcuts: &[(usize, usize, usize)],
    roles: &[u8],
    demands: &[(bool, bool)],
) -> GraphDocument {
    // Every state has a way in; shortcuts come on top, forwards only.
    let tree = parents
        .iter()
        .enumerate()
        .map(|(place, parent)| (*parent, place + 1, place));
    let extra = shortcuts
        .iter()
        .map(|(a, b, event)| (*a.min(b), *a.max(b), *event))
        .filter(|(from, to, _)| from < to);
    let mut exits: BTreeMap<usize, BTreeMap<String, usize>> = BTreeMap::new();
    for (from, to, number) in tree {
        let taken = exits.entry(from).or_default();
        let free = (number..)
            .map(|number| format!("E{number}"))
            .find(|name| !taken.contains_key(name));
        taken.insert(free.expect("numbers do not end"), to);
    }
    for (from, to, number) in extra {
        exits.entry(from).or_default().entry(event_name(number)).or_insert(to);
    }
    let none = BTreeMap::new();
    let states = (0..size).map(|state| {
        let requires = |state: usize| state > 0 && demands[state].0;
        let ways = exits.get(&state).unwrap_or(&none);
        let transitions: BTreeMap<String, TransitionDocument> = ways
            .iter()
            .enumerate()
            .map(|(place, (event, to))| {
                // Somebody of ours can act wherever an order waits.
                let mut actors = some_roles(roles[(state * 7 + place) % roles.len()]);
                let operator = Role::Operator.as_str().to_owned();
                if place == 0 && !actors.contains(&operator) {
                    actors.push(operator);
                }
                (
                    event.clone(),
                    TransitionDocument {
                        to: NAMES[*to].to_owned(),
                        actors,
                        ..TransitionDocument::default()
                    },
                )
            })
            .collect();
        // A state that hands on at once, where some edge lets the system through with nothing asked.
        let immediate = ways.iter().find(|(event, to)| {
            state > 0
                && demands[state].1
                && !requires(**to)
                && transitions[*event].actors.contains(&Role::System.as_str().to_owned())
        });
        let document = StateDocument {
            kind: if ways.is_empty() { "terminal" } else { "active" }.to_owned(),
            outcome: ways.is_empty().then(|| "success".to_owned()),
            requires: if requires(state) {
                vec!["code".to_owned()]
            } else {
                Vec::new()
            },
            on_enter: vec!["notify_customer".to_owned()],
            deadline: immediate.map(|(event, _)| DeadlineDocument {
                after: "PT0S".to_owned(),
                from: None,
                event: event.clone(),
            }),
            transitions,
            ..StateDocument::default()
        };
        (NAMES[state].to_owned(), document)
    });
    let code = FieldDocument {
        kind: "string".to_owned(),
        max_length: Some(4),
        ..FieldDocument::default()
    };
    GraphDocument {
        schema: 1,
        machine: DELIVERY.to_owned(),
        version: 1,
        summary: String::new(),
        initial: NAMES[0].to_owned(),
        fields: BTreeMap::from([("code".to_owned(), code)]),
        effects: BTreeMap::new(),
        states: states.collect(),
    }
}

/// The roles whose bit is set.
fn some_roles(bits: u8) -> Vec<String> {
    let chosen: BTreeSet<&str> = Role::ALL
        .iter()
        .enumerate()
        .filter(|(place, _)| bits >> place & 1 == 1)
        .map(|(_, role)| role.as_str())
        .collect();
    chosen.into_iter().map(str::to_owned).collect()
}
