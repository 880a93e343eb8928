//! A graph that calls its states otherwise: what the engine does follows from what the graph says of them, not from their names.

use serde_json::json;
use waybill_tasks::orders::{Begin, Orders as _, Stage, Work};

use super::activations::{activate_as, publish_these, share, version_of, with_second};
use super::fixture::{Fixture, refunded};
use super::migrations::{migrate, the_move};
use super::on_both;
use crate::engine::payment::Followed;
use crate::graph_commands::Verdict;
use crate::store::effect_id;
use crate::template::Template;

/// Every state of version 1 (one has the name of an event too), and the event that follows a failure.
const NAMES: [(&str, &str); 9] = [
    ("CREATED", "ACCEPTED"),
    ("PICKED_UP", "ON_THE_ROAD"),
    ("DELIVERED", "AT_THE_DOOR"),
    ("DELIVERY_CONFIRMED", "HAPPY_END"),
    ("DELIVERY_FAILED", "GONE_WRONG"),
    ("PENDING_BY_OPERATOR", "ON_THE_DESK"),
    ("REPLACED", "TAKEN_OVER"),
    ("CANCELLED", "CALLED_OFF"),
    ("ESCALATED", "HANDED_ON"),
];

/// The text with whole words exchanged.
fn exchange(text: &str, names: &[(&str, &str)]) -> String {
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let pieces = text.split_inclusive(|letter| !is_of_word(letter));
    let exchanged = pieces.map(|piece| {
        let word = piece.trim_end_matches(|letter| !is_of_word(letter));
        let new = names.iter().find(|(old, _)| *old == word).map_or(word, |(_, new)| new);
        format!("{new}{}", &piece[word.len()..])
    });
    exchanged.collect()
}

fn with_names(names: &[(&str, &str)]) -> Template {
    with_second(|text| exchange(&text, names))
}

/// New orders are born with the version that has other names.
async fn rename(fixture: &Fixture) {
    publish_these(fixture, &with_names(&NAMES)).await;
    assert_eq!(activate_as(fixture, &[share(2, 100)]).await.0, Verdict::Good);
}

async fn begun(fixture: &Fixture, id: waybill_domain::OrderId, sequence: i64, name: &str) -> Work {
    match fixture.engine.begin(effect_id(id, sequence, name)).await.unwrap() {
        Begin::Run(work) => *work,
        other => panic!("{name} of {sequence}: {other:?}"),
    }
}

const PICKED_UP: &str = "PARTNER_PICKED_UP";

on_both! {
    async fn an_effect_knows_what_a_state_means_and_whether_its_order_is_still_there(fixture: Fixture) {
        rename(&fixture).await;
        let (waiting, gone) = (fixture.order("o1").await, fixture.order("o2").await);
        fixture.report(gone, PICKED_UP, json!({ "partner_order_number": "N-1" })).await;
        fixture.report(gone, "PARTNER_FAILED", json!({ "failure_reason": "LOST" })).await;

        let wanted = begun(&fixture, waiting, 1, "book_delivery_partner").await;
        let unwanted = begun(&fixture, gone, 1, "book_delivery_partner").await;
        let collected = begun(&fixture, gone, 2, "notify_customer").await;
        let failed = begun(&fixture, gone, 3, "notify_customer").await;

        let told = [&wanted, &unwanted, &collected, &failed].map(|work| (work.entered.as_str(), work.stage, work.has_left));
        let expected = [
            ("ACCEPTED", Stage::Other, false),
            ("ACCEPTED", Stage::Other, true),
            ("ON_THE_ROAD", Stage::Collected, true),
            ("GONE_WRONG", Stage::Attention, true),
        ];
        assert_eq!(told, expected);
    }

    async fn a_refund_calls_off_what_nobody_has_picked_up(fixture: Fixture) {
        rename(&fixture).await;
        let (created, picked_up) = (fixture.order("o1").await, fixture.order("o2").await);
        fixture.report(picked_up, PICKED_UP, json!({ "partner_order_number": "N-2" })).await;

        let first = fixture.engine.refunded(refunded("o1", 4599)).await.unwrap();
        let second = fixture.engine.refunded(refunded("o2", 4599)).await.unwrap();

        assert_eq!((first, second), (Followed::Cancelled(created), Followed::Recorded));
        let states = (fixture.state(created).await, fixture.state(picked_up).await);
        assert_eq!(states, ("CALLED_OFF".to_owned(), "ON_THE_ROAD".to_owned()));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'refund-after-pickup'").await, 1);
        fixture.assert_sound().await;
    }

    async fn a_good_end_says_who_confirmed(fixture: Fixture) {
        rename(&fixture).await;
        let id = fixture.order("o1").await;
        fixture.report(id, PICKED_UP, json!({ "partner_order_number": "N-1" })).await;
        fixture.report(id, "PARTNER_DELIVERED", json!({})).await;
        fixture.report(id, "CUSTOMER_CONFIRMED", json!({})).await;

        let record = fixture.engine.store().order(id).await.unwrap().unwrap().record;

        assert_eq!(fixture.state(id).await, "HAPPY_END");
        assert_eq!((record.confirmed_by.as_deref(), record.outcome.as_deref()), (Some("customer"), Some("success")));
        fixture.assert_sound().await;
    }

    async fn an_order_that_waits_for_an_operator_has_a_case_with_the_reason_of_its_failure(fixture: Fixture) {
        rename(&fixture).await;
        let id = fixture.order("o1").await;
        fixture.report(id, "PARTNER_FAILED", json!({ "failure_reason": "LOST" })).await;
        let effect = effect_id(id, 3, "open_operator_case");
        let open = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'pending' AND closed_at IS NULL AND reason = 'LOST'";

        fixture.engine.open_case(effect).await.unwrap();
        let waits = fixture.count(open).await;
        fixture.report(id, "REDELIVERY_ARRANGED", json!({})).await;
        fixture.engine.open_case(effect).await.unwrap();

        assert_eq!((fixture.state(id).await.as_str(), waits, fixture.count(open).await), ("TAKEN_OVER", 1, 0));
        fixture.assert_sound().await;
    }

    async fn an_effect_that_is_late_finds_its_order_under_another_name(fixture: Fixture) {
        let (created, pending) = (fixture.order("o1").await, fixture.order_in("o2", "PENDING_BY_OPERATOR").await);
        let names = [("CREATED", "ACCEPTED"), ("PENDING_BY_OPERATOR", "ON_THE_DESK")];
        publish_these(&fixture, &with_names(&names)).await;
        migrate(fixture.engine.store(), &the_move(&names)).await;
        assert_eq!((version_of(&fixture, created).await, version_of(&fixture, pending).await), (2, 2));

        fixture.engine.open_case(effect_id(pending, 3, "open_operator_case")).await.unwrap();
        let work = begun(&fixture, created, 1, "book_delivery_partner").await;

        assert_eq!((work.entered.as_str(), work.order.state.as_str(), work.has_left), ("CREATED", "ACCEPTED", false));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'pending'").await, 1);
        fixture.assert_sound().await;
    }

    async fn the_audit_tells_of_a_failure_whose_reason_was_taken_away(fixture: Fixture) {
        rename(&fixture).await;
        let id = fixture.order("o1").await;
        fixture.report(id, "PARTNER_FAILED", json!({ "failure_reason": "LOST" })).await;

        let mut tx = fixture.db.tx().await.unwrap();
        tx.execute("UPDATE delivery_orders SET failed = $1, failure_reason = NULL", vec![false.into()]).await.unwrap();
        tx.commit().await.unwrap();

        let found = fixture.audit().await.findings;
        assert_eq!(found.iter().map(|it| (it.invariant, it.subject.clone())).collect::<Vec<_>>(), [("I5", id.to_string())]);
    }
}
