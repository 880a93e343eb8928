//! Cancelling: only what was booked, and never silently too late.

use std::time::Duration;

use axum::http::Method;
use serde_json::json;
use waybill_tasks::orders::Finish;
use waybill_tasks::partner::settings::Adapter;

use crate::scripted::{Reply, Scripted};
use crate::world::{ORDER, World};

async fn due(script: impl IntoIterator<Item = Reply>) -> World {
    let world = World::new(script).await;
    world.due("cancel_delivery_partner", "CANCELLED");
    world
}

async fn due_and_booked(script: impl IntoIterator<Item = Reply>) -> World {
    let world = due(script).await;
    world.partner_has("booked");
    world.change(|work| work.order.partner_booking_id = Some(format!("dlv-{ORDER}")));
    world
}

fn methods(world: &World) -> Vec<Method> {
    world.partner.asked().into_iter().map(|asked| asked.method).collect()
}

#[tokio::test]
async fn what_is_booked_is_cancelled() {
    let world = due_and_booked([]).await;

    world.run().await;

    assert_eq!((world.last(), world.booked()), (Finish::Done, 0));
    assert_eq!(methods(&world), [Method::DELETE]);
}

#[tokio::test]
async fn what_the_partner_does_not_have_needs_no_cancellation() {
    let world = due([]).await;

    world.run().await;

    assert_eq!((world.last(), methods(&world)), (Finish::Done, vec![Method::GET]));
}

#[tokio::test]
async fn a_booking_whose_answer_got_lost_is_found_and_cancelled() {
    let world = due([]).await;
    world.partner_has("booked");

    world.run().await;

    assert_eq!((world.last(), world.booked()), (Finish::Done, 0));
    assert_eq!(methods(&world), [Method::GET, Method::DELETE]);
}

#[tokio::test]
async fn a_booking_that_arrives_after_the_cancellation_looked_for_it_is_cancelled_too() {
    let world = due([]).await;
    world.change(|work| work.booking_unknown = true);

    world.run().await;
    let first = world.last();
    world.partner_has("booked");
    world.run().await;

    assert!(matches!(first, Finish::Retry { counts: true, .. }), "{first:?}");
    assert_eq!((world.last(), world.booked()), (Finish::Done, 0));
}

#[tokio::test]
async fn a_booking_that_is_not_found_for_half_an_hour_was_never_made() {
    let world = due([]).await;
    world.change(|work| (work.booking_unknown, work.attempts) = (true, 12));

    world.run().await;

    assert_eq!((world.last(), methods(&world)), (Finish::Done, vec![Method::GET]));
}

#[tokio::test]
async fn without_a_lookup_nothing_counts_as_cancelled() {
    let world = due([Reply::Say(500, json!({}))]).await;

    world.run().await;

    assert!(
        matches!(world.last(), Finish::Retry { counts: true, .. }),
        "{:?}",
        world.last()
    );
}

#[tokio::test]
async fn at_a_partner_that_cannot_be_asked_only_what_may_be_booked_needs_a_person() {
    for (unknown, reason, ended) in [
        (false, None, true),
        (true, Some("ADDRESS_INVALID"), true),
        (true, None, false),
    ] {
        let partner = Scripted::start([]).await;
        let mut settings = partner.settings();
        settings.adapter = Adapter::Onfleet;
        settings.credentials.key = Some("key-1".into());
        let world = World::with_settings(partner, settings);
        world.due("cancel_delivery_partner", "CANCELLED");
        world.change(|work| {
            work.booking_unknown = unknown;
            work.order.failure_reason = reason.map(str::to_owned);
        });

        world.run().await;

        assert_eq!(
            world.last() == Finish::Done,
            ended,
            "{unknown} {reason:?}: {:?}",
            world.last()
        );
        assert!(
            ended || matches!(world.last(), Finish::Failed { .. }),
            "{:?}",
            world.last()
        );
        assert_eq!(methods(&world), [Method::GET; 0]);
    }
}

#[tokio::test]
async fn picked_up_before_it_was_cancelled_means_goods_at_large() {
    let world = due_and_booked([]).await;
    world.partner_has("picked_up");

    world.run().await;

    let Finish::Failed { cause } = world.last() else {
        panic!("{:?}", world.last())
    };
    assert!(cause.starts_with("goods at large"), "{cause}");
}

#[tokio::test]
async fn a_delivery_that_had_failed_before_is_not_at_large() {
    let world = due_and_booked([]).await;
    world.partner_has("failed");
    world.change(|work| work.order.failure_reason = Some("RECIPIENT_REFUSED".to_owned()));

    world.run().await;

    assert_eq!(world.last(), Finish::Done);
}

#[tokio::test]
async fn an_answer_that_got_lost_is_asked_for_again() {
    let world = due_and_booked([Reply::DoneThen500]).await;

    world.run().await;
    let first = world.last();
    world.run().await;

    assert!(matches!(first, Finish::Retry { counts: true, .. }), "{first:?}");
    assert_eq!((world.last(), world.booked()), (Finish::Done, 0));
}

#[tokio::test]
async fn what_never_works_comes_to_an_operator() {
    let exhausted = due_and_booked([Reply::Say(500, json!({}))]).await;
    exhausted.change(|work| work.attempts = 12);
    let refused = due_and_booked([Reply::Say(400, json!({"code": "no", "message": "never"}))]).await;

    exhausted.run().await;
    refused.run().await;

    assert!(
        matches!(exhausted.last(), Finish::Failed { .. }),
        "{:?}",
        exhausted.last()
    );
    assert_eq!(
        refused.last(),
        Finish::Failed {
            cause: "the partner refuses: no".to_owned()
        }
    );
}

#[tokio::test]
async fn a_throttled_cancellation_waits_without_being_counted() {
    let world = due_and_booked([Reply::RetryAfter(429, "20")]).await;
    world.change(|work| work.attempts = 12);

    world.run().await;

    let Finish::Retry {
        after, counts: false, ..
    } = world.last()
    else {
        panic!("{:?}", world.last())
    };
    assert!(after >= Duration::from_secs(20));
}
