//! The shipped graph: its shape, and what every event of every role means in every state.

use std::fmt::Write;

use waybill_domain::{
    DeliveryOrder, Event, FieldName, FieldType, Graph, GraphDocument, Kind, Refusal, Role, Transition,
};

use crate::support::{SHIPPED, With, an_id, event, noon, shipped};

#[test]
fn the_graph_is_what_was_reviewed() {
    let graph = shipped();
    let mut table = String::new();
    for state in graph.states() {
        let outcome = state.outcome.map(|outcome| format!(" {outcome}")).unwrap_or_default();
        writeln!(table, "{} rank {}, {}{outcome}", state.name, state.rank, state.kind).unwrap();
        writeln!(table, "  requires {:?}, on enter {:?}", state.requires, state.on_enter).unwrap();
        if let Some(deadline) = &state.deadline {
            writeln!(table, "  {} after {}", deadline.event, deadline.after).unwrap();
        }
        for edge in state.edges.values() {
            let roles: Vec<&str> = edge.actors.iter().map(|role| role.as_str()).collect();
            writeln!(table, "  {} -> {} by {}", edge.event, edge.to, roles.join(", ")).unwrap();
            if !edge.requires.is_empty() {
                writeln!(table, "    requires {:?}, asks {:?}", edge.requires, edge.asks()).unwrap();
            }
        }
    }

    insta::assert_snapshot!(table);
}

#[test]
fn every_event_of_every_role_in_every_state_means_what_was_reviewed() {
    let graph = shipped();
    let mut table = String::new();
    for state in graph.states() {
        let order = an_order_in(&graph, state.name.as_str());
        let visited: Vec<&str> = order.visited.iter().map(|state| state.as_str()).collect();
        writeln!(table, "\nin {} (has been in {})", state.name, visited.join(", ")).unwrap();
        write!(table, "{:22}", "").unwrap();
        Role::ALL
            .iter()
            .for_each(|role| write!(table, "{:24}", role.as_str()).unwrap());
        table = table.trim_end().to_owned() + "\n";
        for name in events(&graph) {
            let mut row = format!("{name:22}");
            for role in Role::ALL {
                let decision = order.decide(&graph, complete(&graph, event(&name, role)), noon());
                write!(row, "{:24}", meaning(decision)).unwrap();
            }
            writeln!(table, "{}", row.trim_end()).unwrap();
        }
    }

    insta::assert_snapshot!(table);
}

#[test]
fn lookups_know_what_is_there_and_what_is_not() {
    let graph = shipped();

    assert_eq!((graph.machine().as_str(), graph.version().0), ("delivery-order", 1));
    assert_eq!(graph.initial().name, "CREATED");
    assert!(graph.state("NOWHERE").is_none());
    assert!(graph.edge("NOWHERE", "CANCELLED").is_none());
    assert!(graph.edge("PICKED_UP", "CANCELLED").is_none());
    assert_eq!(graph.edge("CREATED", "CANCELLED").unwrap().to, "CANCELLED");
    assert_eq!(
        graph
            .edges("CANCELLED")
            .map(|(from, _)| from.name.as_str())
            .collect::<Vec<_>>(),
        ["CREATED", "PENDING_BY_OPERATOR"]
    );
    assert!(graph.leads_to("CREATED", "REPLACED"));
    assert!(!graph.leads_to("CREATED", "CREATED"));
    assert!(!graph.leads_to("REPLACED", "CREATED"));
    assert!(!graph.leads_to("NOWHERE", "CREATED"));
    assert!(graph.state("CANCELLED").unwrap().is_terminal());
    assert!(!graph.state("CREATED").unwrap().is_terminal());
}

#[test]
fn the_document_is_kept_as_it_was() {
    let graph = shipped();

    let written = serde_json::to_value(graph.document()).unwrap();

    assert_eq!(written, serde_json::from_str::<serde_json::Value>(SHIPPED).unwrap());
    assert_eq!(
        serde_json::from_value::<GraphDocument>(written).unwrap(),
        *graph.document()
    );
}

#[test]
fn every_order_can_come_to_an_end() {
    let graph = shipped();

    for state in graph.states().filter(|state| state.kind != Kind::Terminal) {
        let ends = graph
            .states()
            .filter(|end| end.is_terminal() && graph.leads_to(state.name.as_str(), end.name.as_str()));
        assert!(ends.count() > 0, "{}", state.name);
        // Nothing waits for ever without anyone who could act.
        let operator = state.edges.values().any(|edge| edge.actors.contains(&Role::Operator));
        assert!(state.deadline.is_some() || operator, "{}", state.name);
    }
}

fn events(graph: &Graph) -> Vec<String> {
    let mut names: Vec<String> = graph
        .states()
        .flat_map(|state| state.edges.keys())
        .map(ToString::to_string)
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Fills whatever the event could require, so that only state and role decide.
fn complete(graph: &Graph, event: Event) -> Event {
    let edges: Vec<Vec<FieldName>> = graph
        .edges(event.name.as_str())
        .map(|(_, edge)| edge.requires.clone())
        .collect();
    edges.into_iter().flatten().fold(event, |event, field| {
        let value = match &graph.fields()[&field].kind {
            FieldType::Words(words) => words[0].clone(),
            FieldType::Uuid | FieldType::Text { .. } => "0192f0a0-0000-7000-8000-000000000001".to_owned(),
            other => panic!("the shipped graph has no {other:?}"),
        };
        event.with(field.as_str(), &value)
    })
}

/// An order that came to that state on the shortest way, by edges alone: also where an order never stays.
fn an_order_in(graph: &Graph, target: &str) -> DeliveryOrder {
    let birth = event("PAYMENT_SUCCEEDED", Role::PaymentService);
    let mut open = vec![DeliveryOrder::born(an_id(), graph, birth, noon()).0];
    loop {
        if let Some(found) = open.iter().find(|order| order.state == target) {
            return found.clone();
        }
        open = open.iter().flat_map(|order| neighbours(graph, order)).collect();
        assert!(!open.is_empty(), "no way to {target}");
    }
}

fn neighbours(graph: &Graph, order: &DeliveryOrder) -> Vec<DeliveryOrder> {
    let edges = graph.state(order.state.as_str()).expect("a state").edges.values();
    let moved = edges.map(|edge| {
        let role = *edge.actors.iter().next().expect("a role");
        let report = complete(graph, event(edge.event.as_str(), role));
        let mut next = order.clone();
        next.apply(&order.decide(graph, report, noon()).expect("an edge of the graph")[0]);
        next
    });
    moved.collect()
}

fn meaning(decision: Result<Vec<Transition>, Refusal>) -> String {
    match decision {
        Ok(transitions) => {
            let states: Vec<String> = transitions
                .iter()
                .map(|transition| short(transition.to.as_str()))
                .collect();
            format!("> {}", states.join(" > "))
        }
        Err(refusal) => match refusal {
            Refusal::Duplicate { .. } => "duplicate".to_owned(),
            Refusal::Stale { .. } => "stale".to_owned(),
            Refusal::Early { .. } => "early".to_owned(),
            Refusal::Contradiction { .. } => "contradiction".to_owned(),
            Refusal::WrongActor { .. } => "-".to_owned(),
            other => panic!("{other}"),
        },
    }
}

/// Three letters of each word, so that the table stays narrow.
fn short(state: &str) -> String {
    state
        .split('_')
        .map(|word| &word[..word.len().min(3)])
        .collect::<Vec<_>>()
        .join("_")
}
