//! Live orders move to another version of their graph: each whole, beside live traffic, and again after whoever moved them was stopped.

use std::num::NonZeroU32;

use chrono::TimeDelta;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;
use waybill_domain::{Change, GraphVersion, OrderId, known_words};

use super::activations::{activate_as, publish_these, share, version_of, with_second};
use super::fixture::{Fixture, report};
use super::on_both;
use crate::engine::{Answer, Engine, MACHINE};
use crate::graph_commands::{Manner, Move, Style, Verdict, migrate_orders, rehearse_migration, retire};
use crate::store::Store;
use crate::template::Template;

/// Version 2 gives the partner a day to collect, where version 1 gives two.
fn sooner() -> Template {
    with_second(|text| text.replace("after: PT48H", "after: PT24H"))
}

/// Version 2 calls PICKED_UP otherwise.
fn renamed() -> Template {
    with_second(|text| text.replace(" PICKED_UP", " COLLECTED"))
}

pub(super) fn the_move(mapping: &[(&str, &str)]) -> Move {
    let pairs = mapping.iter().map(|(old, new)| ((*old).into(), (*new).into()));
    Move {
        machine: MACHINE.to_owned(),
        from: GraphVersion(1),
        to: GraphVersion(2),
        mapping: pairs.collect(),
    }
}

fn manner(stop: &CancellationToken) -> Manner {
    Manner {
        by: "ada".to_owned(),
        per_second: NonZeroU32::MAX,
        stop: stop.clone(),
    }
}

async fn rehearse(store: &Store, asked: &Move) -> (Verdict, Json) {
    let mut told = Vec::new();
    let verdict = rehearse_migration(store, asked, Style::Json, |_| (), &mut told).await;
    (
        verdict.expect("the store answers"),
        serde_json::from_slice(&told).expect("JSON"),
    )
}

pub(super) async fn migrate(store: &Store, asked: &Move) -> (Verdict, Json) {
    let mut told = Vec::new();
    let manner = manner(&CancellationToken::new());
    let verdict = migrate_orders(store, asked, manner, Style::Json, |_| (), &mut told).await;
    (
        verdict.expect("the store answers"),
        serde_json::from_slice(&told).expect("JSON"),
    )
}

/// What is told of one state.
fn of<'a>(told: &'a Json, state: &str) -> &'a Json {
    let mut states = told["states"].as_array().expect("states").iter();
    states.find(|it| it["state"] == state).unwrap_or(&Json::Null)
}

/// How many rows of its log moved an order to another version.
async fn migrations_of(fixture: &Fixture, id: OrderId) -> usize {
    let log = fixture.engine.store().log(id).await.expect("the store answers");
    log.iter()
        .filter(|row| row.transition.change == Change::Migrated)
        .count()
}

/// The deadline that is armed: by which row, and when it is due.
async fn deadline_of(fixture: &Fixture, id: OrderId) -> Option<(i64, TimeDelta)> {
    let order = fixture.engine.store().order(id).await.expect("the store answers");
    let loaded = order.expect("it exists").loaded;
    loaded
        .deadline
        .map(|armed| (armed.sequence, armed.due_at - loaded.created_at))
}

/// Reports what leads an order to its end, whatever was told before.
async fn lead_on(engine: &Engine, id: OrderId) {
    for (event, fields) in [
        (
            "PARTNER_PICKED_UP",
            json!({ "partner_order_number": format!("N-{id}") }),
        ),
        ("PARTNER_DELIVERED", json!({})),
        ("CUSTOMER_CONFIRMED", json!({})),
    ] {
        let key = format!("{id}-{event}");
        engine
            .report(report(id, event, fields, &key))
            .await
            .expect("the store answers");
    }
}

on_both! {
    async fn live_orders_move_and_go_on_by_the_new_version(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        let node = fixture.another().await;
        let mut orders = Vec::new();
        for (number, state) in ["CREATED", "PICKED_UP", "DELIVERED", "PENDING_BY_OPERATOR"].into_iter().enumerate() {
            orders.push(fixture.order_in(&format!("o{number}"), state).await);
        }
        let ended = fixture.order("ended").await;
        fixture.report(ended, "CANCELLED", json!({ "cancel_reason": "OPERATOR_DECISION" })).await;
        publish_these(&fixture, &sooner()).await;
        let delivered_before = deadline_of(&fixture, orders[2]).await;

        let (rehearsed, rehearsal) = rehearse(&store, &the_move(&[])).await;
        let unmoved = version_of(&fixture, orders[0]).await;
        let (verdict, told) = migrate(&store, &the_move(&[])).await;
        let (again, nothing) = migrate(&store, &the_move(&[])).await;

        assert_eq!((rehearsed, verdict, again), (Verdict::Good, Verdict::Good, Verdict::Good));
        assert_eq!((&rehearsal["outcome"], &rehearsal["moved"], unmoved), (&json!("rehearsed"), &json!(4), 1));
        assert_eq!(rehearsal["states"], told["states"]);
        assert_eq!((&told["outcome"], &told["moved"], &told["stay"]), (&json!("done"), &json!(4), &json!(0)));
        assert_eq!(nothing["moved"], 0);
        assert_eq!(of(&told, "CREATED")["deadlines"], json!({ "kept": 0, "rearmed": 1, "overdue": 0, "dropped": 0 }));
        assert_eq!(of(&told, "DELIVERED")["deadlines"], json!({ "kept": 1, "rearmed": 0, "overdue": 0, "dropped": 0 }));
        assert_eq!(deadline_of(&fixture, orders[0]).await, Some((2, TimeDelta::hours(24))));
        assert_eq!(deadline_of(&fixture, orders[2]).await, delivered_before);
        let log = store.log(orders[1]).await.unwrap();
        let row = &log.last().unwrap().transition;
        assert_eq!((row.change, row.actor.id.as_str(), row.migrated()), (Change::Migrated, "ada", Some((GraphVersion(1), GraphVersion(2)))));
        for id in &orders {
            assert_eq!(version_of(&fixture, *id).await, 2);
        }
        assert_eq!((version_of(&fixture, ended).await, migrations_of(&fixture, ended).await), (1, 0));
        fixture.assert_sound().await;

        // A node that started before version 2 was published leads them on.
        for id in &orders[..3] {
            lead_on(&node, *id).await;
            assert_eq!(fixture.state(*id).await, "DELIVERY_CONFIRMED");
        }
        fixture.assert_sound().await;
    }

    async fn a_state_that_is_called_otherwise_needs_its_mapping(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        let created = fixture.order("o1").await;
        let picked_up = fixture.order_in("o2", "PICKED_UP").await;
        let delivered = fixture.order_in("o3", "DELIVERED").await;
        publish_these(&fixture, &renamed()).await;

        let (verdict, told) = migrate(&store, &the_move(&[])).await;
        let (mapped, moved) = migrate(&store, &the_move(&[("PICKED_UP", "COLLECTED")])).await;

        assert_eq!((verdict, &told["moved"]), (Verdict::Bad, &json!(0)));
        assert_eq!(of(&told, "PICKED_UP")["stay"], json!({ "PICKED_UP was removed": 1 }));
        assert_eq!(of(&told, "DELIVERED")["stay"], json!({ "it was in PICKED_UP, which was removed": 1 }));
        assert_eq!(of(&told, "CREATED")["stay"], json!({ "PARTNER_PICKED_UP led to PICKED_UP and leads to COLLECTED": 1 }));
        assert_eq!((mapped, &moved["moved"]), (Verdict::Good, &json!(3)));
        assert_eq!(fixture.state(picked_up).await, "COLLECTED");
        fixture.assert_sound().await;

        let repeated = fixture.report(delivered, "PARTNER_PICKED_UP", json!({ "partner_order_number": "N-9" })).await;
        assert!(matches!(repeated, Answer::Refused(_)), "it knows where it was, by the new name: {repeated:?}");
        lead_on(&fixture.engine, created).await;
        lead_on(&fixture.engine, picked_up).await;
        let states = [fixture.state(created).await, fixture.state(picked_up).await];
        assert_eq!(states, ["DELIVERY_CONFIRMED", "DELIVERY_CONFIRMED"]);
        fixture.assert_sound().await;
    }

    async fn orders_that_live_on_meanwhile_are_neither_lost_nor_moved_twice(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        let node = fixture.another().await;
        let mut orders = Vec::new();
        for number in 0..80 {
            orders.push(fixture.order(&format!("o{number}")).await);
        }
        publish_these(&fixture, &sooner()).await;

        // Two who move, and two nodes that lead every order to its end.
        let living = join_all(orders.iter().enumerate().map(|(number, id)| {
            lead_on(if number % 2 == 0 { &fixture.engine } else { &node }, *id)
        }));
        let asked = the_move(&[]);
        let (first, second, _) = tokio::join!(migrate(&store, &asked), migrate(node.store(), &asked), living);

        for id in &orders {
            assert_eq!(fixture.state(*id).await, "DELIVERY_CONFIRMED");
            let migrations = migrations_of(&fixture, *id).await;
            assert_eq!((version_of(&fixture, *id).await == 2, migrations), (migrations == 1, migrations.min(1)));
        }
        let moved = fixture.count("SELECT COUNT(*) AS count FROM instances WHERE graph_version = 2").await;
        let told = first.1["moved"].as_i64().unwrap() + second.1["moved"].as_i64().unwrap();
        assert_eq!(told, moved, "{first:?} {second:?}");
        fixture.assert_sound().await;
    }

    async fn who_was_stopped_goes_on_from_there(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        for number in 0..150 {
            fixture.order(&format!("o{number}")).await;
        }
        publish_these(&fixture, &sooner()).await;
        let stop = CancellationToken::new();
        let mut told = Vec::new();

        let stopped = migrate_orders(&store, &the_move(&[]), manner(&stop), Style::Text, |_| stop.cancel(), &mut told).await.unwrap();
        let moved = fixture.count("SELECT COUNT(*) AS count FROM instances WHERE graph_version = 2").await;
        let (verdict, rest) = migrate(&store, &the_move(&[])).await;

        let told = String::from_utf8(told).unwrap();
        assert!(told.contains(&format!("{moved} orders moved, 0 stay; stopped, the same command goes on from here")), "{told}");
        assert!((1..150).contains(&moved), "{moved}");
        assert_eq!((stopped, verdict, rest["moved"].as_i64()), (Verdict::Bad, Verdict::Good, Some(150 - moved)));
        fixture.assert_sound().await;
    }

    async fn a_deadline_that_is_over_by_the_new_version_happens_at_once(fixture: Fixture) {
        let id = fixture.order("o1").await;
        publish_these(&fixture, &sooner()).await;
        let later = fixture.later(TimeDelta::hours(30)).await;

        let (_, rehearsal) = rehearse(later.store(), &the_move(&[])).await;
        let before = later.store().due_deadlines(10).await.unwrap();
        migrate(later.store(), &the_move(&[])).await;
        let due = later.store().due_deadlines(10).await.unwrap();
        let fired = later.fire(due[0].clone()).await.unwrap();

        assert_eq!(of(&rehearsal, "CREATED")["deadlines"]["overdue"], 1);
        assert_eq!((before.len(), due.len(), fired), (0, 1, true));
        assert_eq!(fixture.state(id).await, "PENDING_BY_OPERATOR");
        fixture.assert_sound().await;
    }

    async fn a_version_is_retired_when_all_have_left_and_nobody_moves_to_a_retired_one(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        let id = fixture.order("o1").await;
        publish_these(&fixture, &sooner()).await;
        activate_as(&fixture, &[share(2, 100)]).await;
        let run = async |version: u32| {
            let mut told = Vec::new();
            let verdict = retire(&store, MACHINE, GraphVersion(version), "ada", &mut told).await.unwrap();
            (verdict, String::from_utf8(told).expect("text"))
        };

        let live = run(1).await;
        migrate(&store, &the_move(&[])).await;
        let left = run(1).await;
        let back = Move { from: GraphVersion(2), to: GraphVersion(1), ..the_move(&[]) };
        let mut told = Vec::new();
        let refused = migrate_orders(&store, &back, manner(&CancellationToken::new()), Style::Text, |_| (), &mut told).await.unwrap();

        assert_eq!(live, (Verdict::Bad, "delivery-order version 1 is not retired: 1 orders live on it\n".to_owned()));
        assert_eq!(left.0, Verdict::Good, "{}", left.1);
        assert_eq!((refused, String::from_utf8(told).unwrap()), (Verdict::Bad, "delivery-order version 2 -> version 1: version 1 is retired\n".to_owned()));
        assert_eq!(version_of(&fixture, id).await, 2);
        fixture.assert_sound().await;
    }

    async fn nobody_is_moved_while_a_process_runs_that_cannot_run_the_version(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        let id = fixture.order("o1").await;
        publish_these(&fixture, &sooner()).await;
        let older: Vec<String> = known_words().into_iter().filter(|word| word != "effect book_delivery_partner").collect();
        store.report_process("old-1", "work", json!({ "knows": older })).await.unwrap();
        let run = async || {
            let mut told = Vec::new();
            let verdict = migrate_orders(&store, &the_move(&[]), manner(&CancellationToken::new()), Style::Text, |_| (), &mut told).await.unwrap();
            (verdict, String::from_utf8(told).expect("text"))
        };

        let (refused, told) = run().await;
        let stayed = version_of(&fixture, id).await;
        store.forget_process("old-1").await.unwrap();
        let (moved, _) = run().await;

        assert_eq!((refused, stayed), (Verdict::Bad, 1));
        assert_eq!(told, "delivery-order version 1 -> version 2: old-1 (work) cannot run version 2: it does not know effect book_delivery_partner\n");
        assert_eq!((moved, version_of(&fixture, id).await), (Verdict::Good, 2));
        fixture.assert_sound().await;
    }

    async fn orders_may_move_back_and_forth_and_their_logs_say_so(fixture: Fixture) {
        let store = fixture.engine.store().clone();
        let id = fixture.order("o1").await;
        publish_these(&fixture, &renamed()).await;
        let there = the_move(&[("PICKED_UP", "COLLECTED")]);
        let back = Move { from: GraphVersion(2), to: GraphVersion(1), ..the_move(&[("COLLECTED", "PICKED_UP")]) };

        migrate(&store, &there).await;
        fixture.report(id, "PARTNER_PICKED_UP", json!({ "partner_order_number": "N-1" })).await;
        let collected = fixture.state(id).await;
        migrate(&store, &back).await;
        let picked_up = fixture.state(id).await;
        migrate(&store, &there).await;

        assert_eq!((collected.as_str(), picked_up.as_str(), fixture.state(id).await.as_str()), ("COLLECTED", "PICKED_UP", "COLLECTED"));
        assert_eq!(migrations_of(&fixture, id).await, 3);
        fixture.assert_sound().await;
    }

    async fn the_audit_tells_of_a_version_that_no_migration_led_to(fixture: Fixture) {
        let moved = fixture.order("o1").await;
        fixture.order("o2").await;
        publish_these(&fixture, &sooner()).await;
        migrate(fixture.engine.store(), &the_move(&[])).await;
        fixture.assert_sound().await;

        let mut tx = fixture.db.tx().await.unwrap();
        tx.execute("UPDATE instances SET graph_version = 1 WHERE id = $1", vec![moved.0.into()]).await.unwrap();
        tx.commit().await.unwrap();

        let found = fixture.audit().await.findings;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].invariant, found[0].subject.clone()), ("I2", moved.to_string()));
    }
}
