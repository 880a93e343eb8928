//! Versions in the database: published for ever, activated at one moment on every node, retired when nobody lives on them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use serde_json::json;
use waybill_domain::{GraphVersion, OrderId, known_words};

use super::fixture::{Fixture, paid};
use super::on_both;
use crate::engine::payment::Followed;
use crate::engine::{Answer, Engine, EngineError, MACHINE};
use crate::graph_commands::{Verdict, activate, publish, retire, versions};
use crate::store::Activated;
use crate::template::{SHIPPED, Share, Template, choose};

/// The shipped template with a second version, whose orders are collected within a day and know when that was promised.
pub(super) fn two_versions() -> Template {
    parse(&two_versions_text())
}

fn two_versions_text() -> String {
    text_with_second(|text| {
        text.replace("after: PT48H", "after: PT24H").replace(
            "          fields:\n",
            "          fields:\n            promised_at: {type: instant}\n",
        )
    })
}

/// The shipped template with a second version, which is the first after a change.
pub(super) fn with_second(change: impl FnOnce(String) -> String) -> Template {
    parse(&text_with_second(change))
}

fn parse(text: &str) -> Template {
    Template::parse(text, "two versions").unwrap_or_else(|error| panic!("{error}"))
}

fn text_with_second(change: impl FnOnce(String) -> String) -> String {
    let start = SHIPPED.find("  DeliveryGraphV1:\n").expect("version 1");
    let end = SHIPPED
        .find("  # Runs the JSON Schema validator")
        .expect("what follows it");
    let second = SHIPPED[start..end]
        .replace("DeliveryGraphV1", "DeliveryGraphV2")
        .replace("Version: 1}", "Version: 2}")
        .replace("graph-v1", "graph-v2")
        .replace("version: 1\n", "version: 2\n");
    format!("{}{}{}", &SHIPPED[..end], change(second), &SHIPPED[end..]).replace("live: [1]", "live: [1, 2]")
}

pub(super) fn share(version: u32, weight: u32) -> Share {
    Share {
        version: GraphVersion(version),
        weight,
    }
}

async fn publish_both(fixture: &Fixture) {
    publish_these(fixture, &two_versions()).await;
}

pub(super) async fn publish_these(fixture: &Fixture, template: &Template) {
    let mut told = Vec::new();
    let verdict = publish(fixture.engine.store(), template, None, &mut told)
        .await
        .unwrap();
    assert_eq!(verdict, Verdict::Good, "{}", String::from_utf8_lossy(&told));
}

/// Activates, and answers what was told.
pub(super) async fn activate_as(fixture: &Fixture, shares: &[Share]) -> (Verdict, String) {
    let mut told = Vec::new();
    let verdict = activate(fixture.engine.store(), MACHINE, shares, "ada", &mut told)
        .await
        .unwrap();
    (verdict, String::from_utf8(told).expect("text"))
}

pub(super) async fn born(engine: &Engine, ordering: &str) -> OrderId {
    match engine.paid(paid(ordering)).await.expect("the store answers") {
        Followed::Created(id) => id,
        other => panic!("expected a new order, found {other:?}"),
    }
}

pub(super) async fn version_of(fixture: &Fixture, id: OrderId) -> u32 {
    let order = fixture.engine.store().order(id).await.expect("the store answers");
    order.expect("it exists").loaded.order.graph_version.0
}

on_both! {
    async fn a_process_whose_template_lacks_the_active_version_learns_it(fixture: Fixture) {
        let before = fixture.order("before").await;
        publish_both(&fixture).await;

        let (verdict, told) = activate_as(&fixture, &[share(2, 100)]).await;

        assert_eq!((verdict, told.as_str()), (Verdict::Good, "delivery-order: new orders: 100 % on version 2; revision 2\n"));
        // Both were started before the second version was there.
        let after = fixture.order("after").await;
        assert_eq!((version_of(&fixture, before).await, version_of(&fixture, after).await), (1, 2));
        let failed = json!({ "failure_reason": "LOST" });
        assert!(matches!(fixture.report(after, "PARTNER_FAILED", failed).await, Answer::Applied { .. }));
        let arranged = fixture.report(after, "REDELIVERY_ARRANGED", json!({})).await;
        assert!(matches!(arranged, Answer::Applied { .. }), "{arranged:?}");
        let order = fixture.engine.store().order(after).await.unwrap().unwrap();
        let successor = order.record.successor_id.expect("a new order takes over");
        assert_eq!(version_of(&fixture, successor).await, 2, "a successor is an order like any other");
        fixture.assert_sound().await;
    }

    async fn whoever_is_born_after_an_activation_has_answered_is_born_on_it(fixture: Fixture) {
        publish_both(&fixture).await;
        let engines = [fixture.with_template(two_versions()).await, fixture.another().await];
        let version_in = |phase: u32| 1 + phase % 2;
        activate_as(&fixture, &[share(version_in(0), 100)]).await;
        let (begun, answered) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));

        let births = (0..4_usize).map(|writer| {
            let engine = engines[writer % 2].clone();
            let (begun, answered) = (begun.clone(), answered.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                for number in 0.. {
                    let first = answered.load(SeqCst);
                    if first >= 12 {
                        break;
                    }
                    let id = born(&engine, &format!("o-{writer}-{number}")).await;
                    seen.push((id, first, begun.load(SeqCst)));
                }
                seen
            })
        });
        let births: Vec<_> = births.collect();
        for phase in 1..=12 {
            begun.store(phase, SeqCst);
            let (verdict, told) = activate_as(&fixture, &[share(version_in(phase), 100)]).await;
            assert_eq!(verdict, Verdict::Good, "{told}");
            answered.store(phase, SeqCst);
            // On every node, from now on, while others are being born.
            for (node, engine) in engines.iter().enumerate() {
                let id = born(engine, &format!("after-{phase}-{node}")).await;
                assert_eq!(version_of(&fixture, id).await, version_in(phase), "after activation {phase} on node {node}");
            }
        }

        for task in births {
            for (id, first, last) in task.await.unwrap() {
                let version = version_of(&fixture, id).await;
                let allowed: Vec<u32> = (first..=last).map(version_in).collect();
                assert!(allowed.contains(&version), "{id} on {version}, activations {first} to {last}");
            }
        }
        fixture.assert_sound().await;
    }

    async fn orders_choose_by_their_id_among_the_active_versions(fixture: Fixture) {
        publish_both(&fixture).await;
        let shares = [share(1, 60), share(2, 40)];
        activate_as(&fixture, &shares).await;

        let mut seen = [0, 0];
        for number in 0..60 {
            let id = fixture.order(&format!("o{number}")).await;
            let version = version_of(&fixture, id).await;
            assert_eq!(choose(&shares, id), Some(GraphVersion(version)));
            seen[usize::from(version == 2)] += 1;
        }

        assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
    }

    async fn a_version_with_live_orders_is_not_retired_and_a_retired_one_never_comes_back(fixture: Fixture) {
        let id = fixture.order("o1").await;
        publish_both(&fixture).await;
        let store = fixture.engine.store().clone();
        let run = async |version: u32| {
            let mut told = Vec::new();
            let verdict = retire(&store, MACHINE, GraphVersion(version), "ada", &mut told).await.unwrap();
            (verdict, String::from_utf8(told).expect("text"))
        };
        let active = run(1).await;
        activate_as(&fixture, &[share(2, 100)]).await;
        let live = run(1).await;
        fixture.report(id, "CANCELLED", json!({ "cancel_reason": "OPERATOR_DECISION" })).await;
        let done = run(1).await;
        let unknown = run(9).await;

        assert_eq!(active, (Verdict::Bad, "delivery-order version 1 is not retired: new orders are born with it\n".to_owned()));
        assert_eq!(live, (Verdict::Bad, "delivery-order version 1 is not retired: 1 orders live on it\n".to_owned()));
        assert_eq!(done, (Verdict::Good, "delivery-order version 1 is retired\n".to_owned()));
        assert_eq!(unknown.0, Verdict::Bad);
        let back = activate_as(&fixture, &[share(1, 50), share(2, 50)]).await;
        assert_eq!(back, (Verdict::Bad, "delivery-order: version 1 is retired\n".to_owned()));
        let mut told = Vec::new();
        versions(&store, MACHINE, &mut told).await.unwrap();
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("version 1: retired, 0 orders live on it"), "{told}");
        assert!(told.contains("version 2: active for 100 % of new orders, 0 orders live on it"), "{told}");
        fixture.assert_sound().await;
    }

    async fn what_cannot_be_activated_is_refused_and_nothing_changes(fixture: Fixture) {
        for shares in [vec![share(1, 99)], vec![share(1, 50), share(1, 50)], vec![]] {
            let (verdict, told) = activate_as(&fixture, &shares).await;
            assert_eq!(verdict, Verdict::Bad, "{shares:?}");
            assert!(told.starts_with("expected one or two versions whose weights sum up to 100"), "{told}");
        }
        let (verdict, told) = activate_as(&fixture, &[share(7, 100)]).await;

        assert_eq!(verdict, Verdict::Bad);
        assert_eq!(told, "delivery-order: version 7 is not published: `waybill graph publish`\n");
        let id = fixture.order("o1").await;
        assert_eq!(version_of(&fixture, id).await, 1);
    }

    async fn a_version_that_this_program_cannot_read_is_refused_and_no_order_is_born_of_it(fixture: Fixture) {
        let template = two_versions();
        let mut document = serde_json::to_value(template.graph(MACHINE, GraphVersion(2)).unwrap().document()).unwrap();
        document["states"]["CREATED"]["on_enter"] = json!(["launch_rocket"]);
        let store = fixture.engine.store();
        store.keep_version(MACHINE, 2, "of a newer program", document).await.unwrap();

        let (verdict, told) = activate_as(&fixture, &[share(2, 100)]).await;
        assert_eq!(verdict, Verdict::Bad);
        assert!(told.starts_with("delivery-order: this program cannot read delivery-order version 2: states.CREATED.on_enter.0: effect launch_rocket"), "{told}");
        // A newer program has activated it while this one was away.
        let mut tx = fixture.db.tx().await.unwrap();
        let newer = "INSERT INTO graph_activations (machine, revision, shares, activated_by, activated_at)
                     SELECT machine, 2, $1, 'newer', activated_at FROM graph_activations WHERE revision = 1 AND machine = $2";
        tx.execute(newer, vec![json!([share(2, 100)]).into(), MACHINE.into()]).await.unwrap();
        tx.commit().await.unwrap();
        let refused = fixture.engine.paid(paid("o1")).await;
        assert!(matches!(refused, Err(EngineError::Unavailable(_))), "{refused:?}");

        activate_as(&fixture, &[share(1, 100)]).await;
        let id = fixture.order("o1").await;
        assert_eq!(version_of(&fixture, id).await, 1);
        fixture.assert_sound().await;
    }

    async fn a_version_is_not_activated_while_a_process_runs_that_cannot_run_it(fixture: Fixture) {
        publish_both(&fixture).await;
        let store = fixture.engine.store();
        let older: Vec<String> = known_words().into_iter().filter(|word| word != "type instant").collect();
        store.report_process("new-1", "serve", json!({ "knows": known_words() })).await.unwrap();
        store.report_process("old-1", "work", json!({ "knows": older })).await.unwrap();

        let (verdict, told) = activate_as(&fixture, &[share(1, 90), share(2, 10)]).await;

        assert_eq!(verdict, Verdict::Bad);
        assert_eq!(told, "delivery-order: old-1 (work) cannot run version 2: it does not know type instant\n");
        let id = fixture.order("o1").await;
        assert_eq!(version_of(&fixture, id).await, 1);
        // What it can run is not held up by it.
        assert_eq!(activate_as(&fixture, &[share(1, 100)]).await.0, Verdict::Good);
        // Nor is anything by one that has ended, or was not heard of for half a minute.
        store.forget_process("old-1").await.unwrap();
        assert_eq!(activate_as(&fixture, &[share(2, 100)]).await.0, Verdict::Good);
        store.report_process("silent-1", "work", json!({ "breakers": [] })).await.unwrap();
        let (verdict, told) = activate_as(&fixture, &[share(2, 100)]).await;
        assert_eq!(verdict, Verdict::Bad);
        assert!(told.starts_with("delivery-order: silent-1 (work) cannot run version 2: it does not know effect book"), "{told}");
        let later = fixture.later(chrono::TimeDelta::seconds(31)).await;
        let activated = later.store().activate(MACHINE, &[share(2, 100)], "ada").await.unwrap();
        assert!(matches!(activated, Activated::Revision(_)), "{activated:?}");
    }

    async fn a_routing_of_a_template_waits_for_a_process_that_cannot_follow_it(fixture: Fixture) {
        let text = two_versions_text().replace("revision: 1\n", "revision: 2\n").replace("{version: 1, weight: 100}", "{version: 2, weight: 100}");
        let store = fixture.engine.store();
        store.report_process("old-1", "work", json!({ "knows": ["schema 1"] })).await.unwrap();

        let newer = fixture.with_template(Template::parse(&text, "newer").unwrap()).await;
        let before = born(&newer, "o1").await;
        store.forget_process("old-1").await.unwrap();
        newer.follow_template().await.unwrap();
        let after = born(&fixture.engine, "o2").await;

        assert_eq!((version_of(&fixture, before).await, version_of(&fixture, after).await), (1, 2));
    }

    async fn a_newer_routing_of_a_template_is_followed_and_an_older_one_is_not(fixture: Fixture) {
        let text = SHIPPED.replace("revision: 1\n", "revision: 5\n");
        let newer = fixture.with_template(Template::parse(&text, "newer").unwrap()).await;
        let revision = async || fixture.engine.store().activation(MACHINE).await.unwrap().expect("an activation").revision;
        let followed = revision().await;

        fixture.another().await;

        assert_eq!((followed, revision().await), (5, 5));
        born(&newer, "o1").await;
    }

    async fn what_was_published_and_activated_is_never_changed(fixture: Fixture) {
        let statements = [
            "UPDATE graph_versions SET sha256 = 'another'",
            "DELETE FROM graph_versions",
            "UPDATE graph_activations SET shares = '[]'",
            "DELETE FROM graph_activations",
        ];
        for sql in statements {
            let mut tx = fixture.db.tx().await.unwrap();
            let refused = tx.execute(sql, vec![]).await;
            assert!(refused.is_err(), "{sql}");
            tx.rollback().await.unwrap();
        }

        let id = fixture.order("o1").await;
        assert_eq!(version_of(&fixture, id).await, 1);
    }
}
