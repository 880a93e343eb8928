//! Booking: once, whatever is lost on the way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::http::Method;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::json;
use tokio::net::TcpListener;
use waybill_domain::{Actor, Role};
use waybill_tasks::celery::transport::Verdict;
use waybill_tasks::orders::{Finish, Reported};

use crate::scripted::{Reply, Scripted};
use crate::world::{ORDER, World};

async fn due(script: impl IntoIterator<Item = Reply>) -> World {
    let world = World::new(script).await;
    world.due("book_delivery_partner", "CREATED");
    world
}

/// A breaker that stays out of the way.
async fn due_without_breaker(script: impl IntoIterator<Item = Reply>) -> World {
    let partner = Scripted::start(script).await;
    let mut settings = partner.settings();
    settings.breaker.minimum_calls = 1_000;
    settings.timeouts.per_try = Duration::from_millis(150);
    let world = World::with_settings(partner, settings);
    world.due("book_delivery_partner", "CREATED");
    world
}

fn lost() -> Reply {
    Reply::Say(500, json!({}))
}

fn methods(world: &World) -> Vec<Method> {
    world.partner.asked().into_iter().map(|asked| asked.method).collect()
}

#[tokio::test]
async fn a_new_order_is_booked_and_the_booking_is_recorded() {
    let world = due([]).await;

    let verdict = world.run().await;

    assert_eq!(verdict, Verdict::Ack);
    let Finish::Booked(booking) = world.last() else {
        panic!("{:?}", world.last())
    };
    assert_eq!(
        (booking.partner.as_str(), booking.id),
        ("scripted", format!("dlv-{ORDER}"))
    );
    let asked = world.partner.asked().remove(0);
    assert_eq!(asked.key, Some(format!("{ORDER}:book")));
    assert_eq!(asked.body["callback_url"], "https://waybill.example/webhooks/scripted");
    assert_eq!(asked.body["dropoff"]["email"], "reader@example.org");
    assert_eq!(asked.body["parcels"][0]["items"][0]["sku"], "b-1");
}

#[tokio::test]
async fn an_order_that_moved_on_or_is_booked_is_left_alone() {
    let world = due([]).await;
    world.change(|work| work.has_left = true);
    world.run().await;
    assert_eq!((world.last(), world.partner.asked().len()), (Finish::Done, 0));
    let world = due([]).await;
    world.change(|work| work.order.partner_booking_id = Some("dlv-1".to_owned()));
    world.run().await;
    assert_eq!((world.last(), world.partner.asked().len()), (Finish::Done, 0));
}

#[tokio::test]
async fn a_booking_whose_answer_got_lost_is_looked_up_and_adopted() {
    for reply in [Reply::DoneThen500, Reply::DoneThenHang] {
        let world = due([reply.clone()]).await;

        world.run().await;

        assert!(
            matches!(world.last(), Finish::Booked(_)),
            "{reply:?}: {:?}",
            world.last()
        );
        assert_eq!(
            (methods(&world), world.booked()),
            (vec![Method::POST, Method::GET], 1),
            "{reply:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_found_at_once_is_looked_up_again_before_it_is_sent_again() {
    let world = due([lost()]).await;

    world.run().await;
    let first = world.last();
    world.run().await;

    assert!(
        matches!(first, Finish::Retry { counts: true, after, .. } if after <= Duration::from_secs(2)),
        "{first:?}"
    );
    assert!(matches!(world.last(), Finish::Booked(_)));
    assert_eq!(methods(&world), [Method::POST, Method::GET, Method::GET, Method::POST]);
    let keys: Vec<_> = world
        .partner
        .asked()
        .into_iter()
        .filter_map(|asked| asked.key)
        .collect();
    assert_eq!(keys, vec![format!("{ORDER}:book"); 2]);
}

#[tokio::test]
async fn a_booking_that_arrived_late_is_adopted_without_sending_another() {
    let world = due([]).await;
    world.partner_has("booked");
    world.change(|work| work.attempts = 1);

    world.run().await;

    assert!(matches!(world.last(), Finish::Booked(_)));
    assert_eq!(methods(&world), [Method::GET]);
}

#[tokio::test]
async fn as_long_as_the_lookup_fails_nothing_is_sent() {
    let world = due([lost()]).await;
    world.change(|work| work.attempts = 1);

    world.run().await;

    assert!(
        matches!(world.last(), Finish::Retry { counts: true, .. }),
        "{:?}",
        world.last()
    );
    assert_eq!(methods(&world), [Method::GET]);
}

#[tokio::test]
async fn a_refusal_becomes_an_event_with_its_reason() {
    let no = json!({"code": "address_undeliverable", "message": "no courier goes there"});
    let world = due([Reply::Say(422, no)]).await;

    world.run().await;

    let fields = BTreeMap::from([
        ("failure_reason".into(), "ADDRESS_INVALID".into()),
        (
            "failure_raw".into(),
            "address_undeliverable no courier goes there".into(),
        ),
    ]);
    let actor = Actor {
        role: Role::DeliveryPartner,
        id: "scripted".to_owned(),
    };
    let expected = Reported {
        event: "PARTNER_REJECTED".into(),
        actor,
        fields,
    };
    assert_eq!(world.last(), Finish::Event(Box::new(expected)));
}

#[tokio::test]
async fn a_long_refusal_is_cut_to_what_the_field_takes() {
    let world = due([Reply::Say(400, json!({"code": "x", "message": "ß".repeat(2_000)}))]).await;

    world.run().await;

    let Finish::Event(reported) = world.last() else {
        panic!("{:?}", world.last())
    };
    let raw = reported.fields["failure_raw"].as_text().unwrap();
    assert_eq!(
        (raw.chars().count(), reported.fields["failure_reason"].as_text()),
        (500, Some("PARTNER_REJECTED"))
    );
}

#[tokio::test]
async fn what_was_not_tried_is_not_counted() {
    let throttled = due([Reply::RetryAfter(429, "30")]).await;
    let open = due([Reply::Say(403, json!({}))]).await;
    open.run().await;
    open.orders.finished.lock().unwrap().clear();

    for (world, least) in [(throttled, 30), (open, 55)] {
        world.run().await;

        let Finish::Retry {
            after, counts: false, ..
        } = world.last()
        else {
            panic!("{:?}", world.last())
        };
        assert!(
            after >= Duration::from_secs(least) && after < Duration::from_secs(2 * least),
            "{after:?}"
        );
        assert_eq!(world.booked(), 0);
    }
}

#[tokio::test]
async fn a_partner_that_cannot_be_reached_is_tried_again_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let partner = Scripted::start([]).await;
    let mut settings = partner.settings();
    settings.base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = World::with_settings(partner, settings);
    world.due("book_delivery_partner", "CREATED");

    world.run().await;

    assert!(
        matches!(world.last(), Finish::Retry { counts: true, .. }),
        "{:?}",
        world.last()
    );
}

#[tokio::test]
async fn after_twelve_attempts_the_lookup_decides() {
    let after_twelve = |script: Vec<Reply>| async move {
        let world = due(script).await;
        world.change(|work| work.attempts = 12);
        world
    };
    let not_there = after_twelve(vec![]).await;
    let there = after_twelve(vec![]).await;
    there.partner_has("booked");
    let no_answer = after_twelve(vec![lost()]).await;
    let throttled = after_twelve(vec![Reply::RetryAfter(429, "30")]).await;

    for world in [&not_there, &there, &no_answer, &throttled] {
        world.run().await;
        assert_eq!(methods(world), [Method::GET], "nothing is sent any more");
    }

    let actor = Actor {
        role: Role::Service,
        id: "waybill".to_owned(),
    };
    let fields = BTreeMap::from([("failure_reason".into(), "PARTNER_UNAVAILABLE".into())]);
    let failed = Reported {
        event: "BOOKING_FAILED".into(),
        actor,
        fields,
    };
    assert_eq!(not_there.last(), Finish::Event(Box::new(failed)));
    assert!(matches!(there.last(), Finish::Booked(_)));
    assert!(
        matches!(no_answer.last(), Finish::Failed { .. }),
        "{:?}",
        no_answer.last()
    );
    assert!(
        matches!(throttled.last(), Finish::Retry { counts: false, .. }),
        "{:?}",
        throttled.last()
    );
}

#[tokio::test]
async fn a_partner_that_does_not_serve_us_and_one_that_we_do_not_know_need_an_operator() {
    let suspended = due([Reply::Say(402, json!({"message": "pay first"}))]).await;
    let unknown = due([]).await;
    unknown.change(|work| work.order.partner = Some("doves".to_owned()));

    suspended.run().await;
    unknown.run().await;

    assert_eq!(
        suspended.last(),
        Finish::Failed {
            cause: "the partner does not serve us: 402".to_owned()
        }
    );
    assert_eq!(
        unknown.last(),
        Finish::Failed {
            cause: "partner doves is not in the partners file".to_owned()
        }
    );
}

#[tokio::test]
async fn however_answers_get_lost_one_delivery_is_booked() {
    use Reply::{BreakOff, DoneThen500, DoneThenHang, Honest};
    let scripts = [
        vec![DoneThen500, lost(), lost(), lost()],
        vec![DoneThenHang, Reply::Text(200, "?".to_owned()), BreakOff(200)],
        vec![lost(), lost(), DoneThen500, lost(), Honest],
        vec![lost(), lost(), lost(), lost(), DoneThenHang, lost(), lost()],
        vec![
            BreakOff(201),
            Honest,
            Honest,
            DoneThen500,
            lost(),
            Reply::Say(503, json!({})),
        ],
        vec![
            lost(),
            Honest,
            Reply::Say(404, json!({})),
            DoneThen500,
            Reply::Redirect("/".to_owned()),
        ],
    ];

    for script in scripts {
        let world = due_without_breaker(script.clone()).await;
        for _ in 0..12 {
            if matches!(
                world.orders.finished.lock().unwrap().last(),
                None | Some(Finish::Retry { .. })
            ) {
                world.run().await;
            }
        }

        assert!(
            matches!(world.last(), Finish::Booked(_)),
            "{script:?}: {:?}",
            world.last()
        );
        let keys: Vec<_> = world
            .partner
            .asked()
            .into_iter()
            .filter_map(|asked| asked.key)
            .collect();
        assert_eq!(world.booked(), 1, "{script:?}");
        assert!(keys.iter().all(|key| *key == format!("{ORDER}:book")), "{script:?}");
    }
}

fn trouble() -> impl Strategy<Value = Reply> {
    prop_oneof![
        3 => Just(Reply::Honest),
        3 => Just(Reply::DoneThen500),
        2 => Just(Reply::DoneThenHang),
        3 => Just(lost()),
        1 => Just(Reply::Say(408, json!({}))),
        1 => Just(Reply::Say(503, json!({}))),
        1 => Just(Reply::RetryAfter(429, "1")),
        1 => Just(Reply::RetryAfter(503, "60")),
        1 => Just(Reply::BreakOff(201)),
        1 => Just(Reply::Text(200, "<html>".to_owned())),
    ]
}

/// Runs an effect until it has ended, whatever its pauses.
async fn run_to_the_end(script: Vec<Reply>) {
    let world = due_without_breaker(script.clone()).await;
    for _ in 0..40 {
        world.run().await;
        if !matches!(world.last(), Finish::Retry { .. }) {
            break;
        }
    }

    let keys: BTreeSet<_> = world
        .partner
        .asked()
        .into_iter()
        .filter_map(|asked| asked.key)
        .collect();
    assert!(keys.len() <= 1, "{script:?}: {keys:?}");
    match world.last() {
        Finish::Booked(_) => assert_eq!(world.booked(), 1, "{script:?}"),
        Finish::Event(_) => assert_eq!(world.booked(), 0, "{script:?}"),
        Finish::Failed { cause } => assert!(cause.starts_with("given up after 12 attempts"), "{script:?}: {cause}"),
        other => panic!("{script:?}: {other:?}"),
    }
}

#[tokio::test]
async fn in_any_trouble_the_partner_has_what_is_recorded_and_nothing_else() {
    let mut runner = TestRunner::deterministic();
    let scripts = proptest::collection::vec(trouble(), 0..20);
    let mut draw = || scripts.new_tree(&mut runner).unwrap().current();
    let scripts: Vec<_> = (0..100).map(|_| draw()).collect();

    for some in scripts.chunks(50) {
        join_all(some.iter().cloned().map(run_to_the_end)).await;
    }
}
