//! What holds for every graph and every history.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use waybill_domain::{
    Change, DefectKind, DeliveryOrder, Event, Graph, GraphDocument, Refusal, Role, Transition, TransitionDocument,
};

use crate::random::{document, event_name};
use crate::support::{With, an_id, event, noon};

/// An event: its number, the reporter's role, and the `code` it brings, if any.
type Report = (usize, usize, Option<String>);

fn reports() -> impl Strategy<Value = Vec<Report>> {
    // Mostly good codes; some too long, some empty.
    let code = prop_oneof![4 => Just(Some("good".to_owned())), 2 => Just(None), 1 => Just(Some("too long".to_owned())), 1 => Just(Some(String::new()))];
    prop::collection::vec((0..10_usize, 0..6_usize, code), 0..60)
}

fn report_of((number, role, code): &Report, place: usize) -> Event {
    let name = if *number == 9 {
        "NONSENSE".to_owned()
    } else {
        event_name(*number)
    };
    let mut report = event(&name, Role::ALL[*role]);
    report.key = format!("key-{place}");
    match code {
        Some(code) => report.with("code", code),
        None => report,
    }
}

/// Lives through the reports; what is refused is noted. Answers the order, its log and the refusals with the order then.
fn live(graph: &Graph, reports: &[Report]) -> (DeliveryOrder, Vec<Transition>, Vec<(DeliveryOrder, Refusal)>) {
    let birth = event("PAYMENT_SUCCEEDED", Role::PaymentService);
    let (mut order, first) = DeliveryOrder::born(an_id(), graph, birth, noon());
    let mut log = vec![first];
    let mut refusals = Vec::new();
    for (place, report) in reports.iter().enumerate() {
        let report = report_of(report, place);
        let rows = match order.decide(graph, report.clone(), noon()) {
            Ok(transitions) => transitions,
            Err(refusal) => {
                refusals.push((order.clone(), refusal));
                // What has a bad form is not recorded; all else is.
                if report.fields.values().any(|value| value.as_text() == Some("too long")) {
                    continue;
                }
                vec![order.note(report, noon())]
            }
        };
        for row in rows {
            order.apply(&row);
            log.push(row);
        }
    }
    (order, log, refusals)
}

/// Every state that a way of at least one edge leads to, by brute force.
fn ahead(document: &GraphDocument, from: &str) -> BTreeSet<String> {
    let next: BTreeSet<String> = document.states[from]
        .transitions
        .values()
        .map(|way| way.to.clone())
        .collect();
    next.iter()
        .flat_map(|to| ahead(document, to))
        .chain(next.iter().cloned())
        .collect()
}

proptest! {
    #[test]
    fn an_acyclic_graph_is_accepted_and_ranks_rise_on_every_edge(document in document()) {
        let graph = Graph::check(document).map_err(|defects| TestCaseError::fail(format!("{defects:#?}")))?;

        prop_assert_eq!(graph.initial().rank, 0);
        for state in graph.states() {
            let ways_in = graph.states().flat_map(|from| from.edges.values().map(move |edge| (from, edge)));
            let longest = ways_in.filter(|(_, edge)| edge.to == state.name).map(|(from, _)| from.rank + 1).max();
            prop_assert_eq!(state.rank, longest.unwrap_or(0), "{}", &state.name);
        }
        let ranks: Vec<u32> = graph.states().map(|state| state.rank).collect();
        prop_assert!(ranks.is_sorted());
    }

    #[test]
    fn reachability_is_what_following_the_arrows_finds(document in document()) {
        let graph = Graph::check(document.clone()).expect("a good graph");

        for from in document.states.keys() {
            let found: BTreeSet<String> =
                document.states.keys().filter(|to| graph.leads_to(from, to)).cloned().collect();
            prop_assert_eq!(found, ahead(&document, from));
        }
    }

    #[test]
    fn an_arrow_that_leads_back_is_found_as_a_cycle(mut document in document(), from: Index, to: Index) {
        let open: Vec<String> = document.states.iter().filter(|(_, state)| state.kind == "active").map(|(name, _)| name.clone()).collect();
        let from = from.get(&open).clone();
        let before: Vec<String> = document.states.keys().filter(|name| **name == from || ahead(&document, name).contains(&from)).cloned().collect();
        let to = to.get(&before).clone();
        let back = TransitionDocument { to: to.clone(), actors: vec!["operator".to_owned()], ..TransitionDocument::default() };
        document.states.get_mut(&from).expect("a state").transitions.insert("BACK".to_owned(), back);

        let defects = Graph::check(document).expect_err("a cycle");

        let cycle = defects.iter().find(|defect| defect.kind == DefectKind::Cycle).expect("a cycle among the defects");
        let way: Vec<&str> = cycle.detail.strip_prefix("the graph must be acyclic: ").expect("the words").split(" -> ").collect();
        prop_assert_eq!(way.first(), way.last());
        prop_assert!(way.contains(&from.as_str()) && way.contains(&to.as_str()), "{}", cycle);
    }

    #[test]
    fn replaying_any_log_rebuilds_the_order(document in document(), reports in reports()) {
        let graph = Graph::check(document).expect("a good graph");

        let (order, log, _) = live(&graph, &reports);

        prop_assert_eq!(DeliveryOrder::replay(&log, graph.version()), Some(order));
    }

    #[test]
    fn a_log_is_gapless_chained_and_never_returns(document in document(), reports in reports()) {
        let graph = Graph::check(document).expect("a good graph");

        let (order, log, _) = live(&graph, &reports);

        let mut entered = BTreeSet::new();
        let mut keys = BTreeSet::new();
        for (place, row) in log.iter().enumerate() {
            prop_assert_eq!(row.revision.0, i64::try_from(place).expect("a short log") + 1);
            prop_assert!(keys.insert(row.key.clone()), "key {} twice", row.key);
            let before = place.checked_sub(1).map(|place| &log[place]);
            prop_assert_eq!(row.from.as_ref(), before.map(|before| &before.to));
            match row.change {
                Change::Born | Change::Moved => {
                    prop_assert!(entered.insert(row.to.clone()), "{} entered twice", row.to);
                    prop_assert!(before.is_none_or(|before| row.rank > before.rank));
                    prop_assert!(!row.effects.is_empty());
                    if let Some(before) = before {
                        let edge = graph.edge(before.to.as_str(), row.event.as_str());
                        prop_assert_eq!(edge.map(|edge| &edge.to), Some(&row.to));
                    }
                }
                Change::Noted | Change::Migrated => {
                    prop_assert!(row.effects.is_empty() && row.deadline.is_none());
                    prop_assert_eq!(before.map(|before| (&before.to, before.rank)), Some((&row.to, row.rank)));
                }
            }
        }
        prop_assert_eq!(entered, order.visited);
    }

    #[test]
    fn nothing_rests_where_a_state_hands_on_at_once(document in document(), reports in reports()) {
        let graph = Graph::check(document).expect("a good graph");

        let (order, _, refusals) = live(&graph, &reports);

        for rest in refusals.iter().map(|(order, _)| order).chain([&order]) {
            let state = graph.state(rest.state.as_str()).expect("a state");
            prop_assert!(state.deadline.as_ref().is_none_or(|deadline| !deadline.is_immediate()));
            prop_assert!(state.requires.iter().all(|field| rest.fields.contains_key(field)));
        }
    }

    #[test]
    fn every_refusal_is_true(document in document(), reports in reports()) {
        let graph = Graph::check(document).expect("a good graph");

        let (_, _, refusals) = live(&graph, &reports);

        for (order, refusal) in refusals {
            let now = order.state.as_str();
            match refusal {
                Refusal::Duplicate { state, event } => {
                    prop_assert!(graph.edges(event.as_str()).any(|(_, edge)| edge.to == state) && state == order.state);
                }
                Refusal::Stale { event, target, .. } => {
                    prop_assert!(graph.edge(now, event.as_str()).is_none());
                    prop_assert!(order.visited.contains(&target) && target != order.state);
                }
                Refusal::Early { event, expected, target, .. } => {
                    prop_assert!(graph.leads_to(now, expected.as_str()));
                    prop_assert_eq!(graph.edge(expected.as_str(), event.as_str()).map(|edge| &edge.to), Some(&target));
                    prop_assert!(!order.visited.contains(&target));
                }
                Refusal::Contradiction { event, .. } => {
                    prop_assert!(graph.edge(now, event.as_str()).is_none());
                    prop_assert!(graph.edges(event.as_str()).all(|(_, edge)| !order.visited.contains(&edge.to)));
                }
                Refusal::UnknownEvent { event } => prop_assert_eq!(graph.edges(event.as_str()).count(), 0),
                Refusal::WrongActor { role, event } => {
                    let is_excluded = match graph.edge(now, event.as_str()) {
                        Some(edge) => !edge.actors.contains(&role),
                        None => graph.edges(event.as_str()).all(|(_, edge)| !edge.actors.contains(&role)),
                    };
                    prop_assert!(is_excluded, "{} may report {}", role, event);
                }
                Refusal::MissingField { field, event } => {
                    prop_assert!(graph.edge(now, event.as_str()).expect("an edge").requires.contains(&field));
                }
                Refusal::BadField { field, .. } => prop_assert_eq!(field, "code"),
                Refusal::UnknownField { field } => prop_assert!(!graph.fields().contains_key(&field)),
                unasked => prop_assert!(false, "no random graph says {}", unasked),
            }
        }
    }

    #[test]
    fn the_same_event_twice_never_moves_twice(document in document(), reports in reports()) {
        let graph = Graph::check(document).expect("a good graph");
        let (order, _, _) = live(&graph, &reports);

        for number in 0..8 {
            for role in 0..6 {
                let report = report_of(&(number, role, Some("good".to_owned())), 1_000);
                let Ok(transitions) = order.decide(&graph, report.clone(), noon()) else { continue };
                let mut after = order.clone();
                transitions.iter().for_each(|transition| after.apply(transition));
                if let Ok(again) = after.decide(&graph, report, noon()) {
                    // Another edge of the same event: it must lead on, never back.
                    prop_assert!(again.iter().all(|transition| transition.rank > after.rank));
                }
            }
        }
    }
}
