//! Versions side by side: what changed, and which live orders may move over.

use waybill_domain::{Comparison, DeadlineDocument, Graph, GraphDocument, StateDocument, TransitionDocument};

use crate::support::{shipped, shipped_document};

/// Version 1 against itself after a change.
fn compare(change: impl FnOnce(&mut GraphDocument)) -> Comparison {
    let mut document = shipped_document();
    document.version = 2;
    change(&mut document);
    let newer = Graph::check(document).unwrap_or_else(|defects| panic!("{defects:#?}"));
    shipped().compare(&newer)
}

fn told(comparison: &Comparison) -> Vec<String> {
    comparison.differences.iter().map(ToString::to_string).collect()
}

fn closed(comparison: &Comparison) -> Vec<(String, String)> {
    let closed = comparison.passages.iter().filter(|passage| !passage.is_open());
    closed
        .map(|passage| (passage.state.to_string(), passage.blockers.join("; ")))
        .collect()
}

fn state<'a>(document: &'a mut GraphDocument, name: &str) -> &'a mut StateDocument {
    document.states.get_mut(name).expect("a state")
}

fn way(to: &str, actors: &[&str]) -> TransitionDocument {
    TransitionDocument {
        to: to.to_owned(),
        actors: actors.iter().map(|actor| (*actor).to_owned()).collect(),
        ..TransitionDocument::default()
    }
}

#[test]
fn a_version_differs_from_itself_in_nothing() {
    let comparison = compare(|_| ());

    assert_eq!(told(&comparison), Vec::<String>::new());
    let states: Vec<&str> = comparison
        .passages
        .iter()
        .map(|passage| passage.state.as_str())
        .collect();
    // Nobody is ever in DELIVERY_FAILED, and who has arrived has nothing to move for.
    assert_eq!(states, ["CREATED", "PICKED_UP", "DELIVERED", "PENDING_BY_OPERATOR"]);
    assert!(
        comparison
            .passages
            .iter()
            .all(|passage| passage.is_open() && passage.changes.is_empty())
    );
}

#[test]
fn a_new_stop_on_the_way_keeps_those_pinned_whose_way_it_takes() {
    let comparison = compare(|document| {
        let mut out = StateDocument {
            kind: "active".to_owned(),
            deadline: Some(DeadlineDocument {
                after: "P1D".to_owned(),
                from: None,
                event: "DELIVERY_OVERDUE".to_owned(),
            }),
            ..StateDocument::default()
        };
        out.transitions.insert(
            "PARTNER_DELIVERED".to_owned(),
            way("DELIVERED", &["delivery_partner", "service"]),
        );
        out.transitions
            .insert("DELIVERY_OVERDUE".to_owned(), way("PENDING_BY_OPERATOR", &["system"]));
        document.states.insert("OUT_FOR_DELIVERY".to_owned(), out);
        let picked_up = state(document, "PICKED_UP");
        picked_up.transitions.remove("PARTNER_DELIVERED");
        picked_up.transitions.insert(
            "PARTNER_SET_OUT".to_owned(),
            way("OUT_FOR_DELIVERY", &["delivery_partner", "service"]),
        );
        state(document, "DELIVERED")
            .deadline
            .as_mut()
            .expect("a deadline")
            .after = "P7D".to_owned();
    });

    assert_eq!(
        told(&comparison),
        [
            "~ states.DELIVERED.deadline: CONFIRMATION_OVERDUE after P14D -> CONFIRMATION_OVERDUE after P7D",
            "+ states.OUT_FOR_DELIVERY: active",
            "- states.PICKED_UP.transitions.PARTNER_DELIVERED: to DELIVERED by delivery_partner, service",
            "+ states.PICKED_UP.transitions.PARTNER_SET_OUT: to OUT_FOR_DELIVERY by delivery_partner, service",
        ]
    );
    let expected = ("PICKED_UP".to_owned(), "PARTNER_DELIVERED was removed".to_owned());
    assert_eq!(closed(&comparison), [expected]);
    let delivered = comparison
        .passages
        .iter()
        .find(|passage| passage.state == "DELIVERED")
        .unwrap();
    assert_eq!(
        delivered.changes,
        ["the deadline was CONFIRMATION_OVERDUE after 14 days and is CONFIRMATION_OVERDUE after 7 days"]
    );
}

#[test]
fn what_a_reporter_would_miss_keeps_orders_pinned() {
    let closed = |change: fn(&mut GraphDocument)| closed(&compare(change)).into_iter().map(|(_, why)| why).next();

    let lost = closed(|document| {
        let way = state(document, "CREATED")
            .transitions
            .get_mut("CANCELLED")
            .expect("a way");
        way.actors.retain(|actor| actor != "customer");
    });
    let asked = closed(|document| {
        let way = state(document, "CREATED")
            .transitions
            .get_mut("OPERATOR_ESCALATED")
            .expect("a way");
        way.requires.push("operator_note".to_owned());
    });
    let guarded = closed(|document| {
        let guard = serde_json::from_str(r#"{"field": "note", "known": true}"#).expect("a condition");
        state(document, "CREATED")
            .transitions
            .get_mut("CANCELLED")
            .expect("a way")
            .when
            .push(guard);
    });
    let narrowed = closed(|document| {
        document.fields.get_mut("note").expect("a field").max_length = Some(10);
    });
    let elsewhere = closed(|document| {
        state(document, "CREATED")
            .transitions
            .get_mut("PICKUP_OVERDUE")
            .expect("a way")
            .to = "CANCELLED".to_owned();
        state(document, "CREATED")
            .transitions
            .get_mut("PICKUP_OVERDUE")
            .expect("a way")
            .sets
            .insert("cancel_reason".to_owned(), "OPERATOR_DECISION".into());
    });

    assert_eq!(lost.as_deref(), Some("CANCELLED may no longer be reported by customer"));
    assert_eq!(asked.as_deref(), Some("OPERATOR_ESCALATED asks for operator_note now"));
    assert_eq!(guarded.as_deref(), Some("CANCELLED asks now that note is known"));
    assert_eq!(
        narrowed.as_deref(),
        Some("an order may know a value of note that is no longer good")
    );
    assert_eq!(
        elsewhere.as_deref(),
        Some("PICKUP_OVERDUE led to PENDING_BY_OPERATOR and leads to CANCELLED")
    );
}

#[test]
fn what_only_adds_lets_everybody_move() {
    let comparison = compare(|document| {
        state(document, "CREATED")
            .transitions
            .insert("LOST_INTEREST".to_owned(), way("CANCELLED", &["customer"]));
        state(document, "DELIVERED")
            .transitions
            .get_mut("CUSTOMER_CONFIRMED")
            .expect("a way")
            .actors
            .push("operator".to_owned());
    });

    assert_eq!(closed(&comparison), []);
    assert_eq!(
        comparison.passages[0].changes,
        ["LOST_INTEREST is new, and leads to CANCELLED"]
    );
    assert_eq!(
        comparison.passages[2].changes,
        ["CUSTOMER_CONFIRMED may be reported by operator too"]
    );
}

#[test]
fn an_order_is_nowhere_where_it_could_not_have_come() {
    let comparison = compare(|document| {
        // The newer version has no PICKED_UP: delivered is delivered.
        let mut created = state(document, "CREATED").clone();
        created.transitions.remove("PARTNER_PICKED_UP");
        created.transitions.insert(
            "PARTNER_DELIVERED".to_owned(),
            way("DELIVERED", &["delivery_partner", "service"]),
        );
        document.states.insert("CREATED".to_owned(), created);
        document.states.remove("PICKED_UP");
    });

    let closed = closed(&comparison);

    assert!(
        closed.contains(&("PICKED_UP".to_owned(), "PICKED_UP was removed".to_owned())),
        "{closed:?}"
    );
    let behind = "an order may have been in PICKED_UP, which was removed".to_owned();
    assert!(closed.contains(&("DELIVERED".to_owned(), behind)), "{closed:?}");
}
