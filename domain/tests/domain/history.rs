//! Notes, applying, replaying: the log is the order.

use waybill_domain::{Change, DeliveryOrder, GraphVersion, Revision, Role};

use crate::support::{With, a_new_order, an_id, delivered, event, failed, noon, picked_up, shipped, take};

#[test]
fn a_note_moves_nothing() {
    let graph = shipped();
    let mut order = a_new_order(&graph);
    take(&mut order, &graph, picked_up());
    let before = order.clone();

    let note = order.note(
        event("PARTNER_PICKED_UP", Role::DeliveryPartner).with("note", "again"),
        noon(),
    );
    order.apply(&note);

    assert_eq!((note.change, note.revision), (Change::Noted, Revision(3)));
    assert_eq!(
        (note.from.as_ref(), &note.to, note.rank),
        (Some(&before.state), &before.state, before.rank)
    );
    assert_eq!((note.effects.len(), &note.deadline), (0, &None));
    assert_eq!(order.revision, Revision(3));
    assert_eq!((&order.state, &order.visited), (&before.state, &before.visited));
}

#[test]
fn a_field_keeps_its_first_value() {
    let graph = shipped();
    let mut order = a_new_order(&graph);
    take(&mut order, &graph, picked_up());

    let other = order.note(
        picked_up().with("partner_order_number", "P-99").with("note", "late"),
        noon(),
    );
    order.apply(&other);

    assert_eq!(order.fields["partner_order_number"], "P-17".into());
    assert_eq!(order.fields["note"], "late".into());
}

#[test]
fn replaying_the_log_rebuilds_the_order() {
    let graph = shipped();
    let birth = event("PAYMENT_SUCCEEDED", Role::PaymentService);
    let (mut order, first) = DeliveryOrder::born(an_id(), &graph, birth, noon());
    let mut log = vec![first];
    log.extend(take(&mut order, &graph, picked_up()));
    log.push(order.note(delivered(), noon()));
    order.apply(&log[2]);
    log.extend(take(&mut order, &graph, failed()));

    let replayed = DeliveryOrder::replay(&log, graph.version()).unwrap();

    assert_eq!(replayed, order);
    assert_eq!(replayed.revision, Revision(5));
    let visited: Vec<&str> = replayed.visited.iter().map(|state| state.as_str()).collect();
    assert_eq!(
        visited,
        ["CREATED", "DELIVERY_FAILED", "PENDING_BY_OPERATOR", "PICKED_UP"]
    );
}

#[test]
fn a_log_that_begins_otherwise_than_with_a_birth_is_no_log() {
    let graph = shipped();
    let order = a_new_order(&graph);
    let note = order.note(delivered(), noon());

    assert_eq!(DeliveryOrder::replay([], GraphVersion(1)), None);
    assert_eq!(DeliveryOrder::replay([&note], GraphVersion(1)), None);
}

#[test]
fn changes_are_named_as_the_log_writes_them() {
    for change in [Change::Born, Change::Moved, Change::Noted, Change::Migrated] {
        assert_eq!(Change::parse(change.as_str()), Some(change));
    }
    assert_eq!(Change::parse("lost"), None);
}
