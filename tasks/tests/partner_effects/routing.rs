//! Who takes an order, and who takes it where another does not.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use waybill_tasks::orders::Finish;
use waybill_tasks::partner::{Partners, PartnersSettings, Rule};

use crate::scripted::{Reply, Scripted};
use crate::world::World;

/// Three partners; Berlin is taken by `near`, then `far`; everybody else by the default one.
async fn world(near: Vec<Reply>, far: Vec<Reply>) -> (World, Scripted, Scripted) {
    let (scripted, near, far) = (
        Scripted::start([]).await,
        Scripted::start(near).await,
        Scripted::start(far).await,
    );
    let settings = BTreeMap::from([
        ("scripted".to_owned(), scripted.settings()),
        ("near".to_owned(), near.settings()),
        ("far".to_owned(), far.settings()),
    ]);
    let berlin = Rule {
        countries: vec!["DE".to_owned()],
        postal_codes: vec!["10".to_owned(), "12".to_owned()],
        pieces_at_most: Some(3),
        partners: vec!["near".to_owned(), "far".to_owned()],
    };
    let partners = PartnersSettings {
        partners: settings,
        default: "scripted".to_owned(),
        routing: vec![berlin],
    };
    let world = World::with_partners(scripted, &partners);
    world.due("book_delivery_partner", "CREATED");
    world.change(|work| {
        work.order.revision = 1;
        work.order.partner = Some("scripted".to_owned());
        work.order.dropoff = json!({"name": "A. Reader", "postal_code": "10435", "country": "DE"});
    });
    (world, near, far)
}

fn handed_to(finish: &Finish) -> Option<&str> {
    match finish {
        Finish::Handed { to, .. } => Some(to),
        _ => None,
    }
}

fn booked_by(finish: &Finish) -> Option<&str> {
    match finish {
        Finish::Booked(booking) => Some(&booking.partner),
        _ => None,
    }
}

fn refusal() -> Reply {
    Reply::Say(422, json!({"code": "address_undeliverable", "message": "too far"}))
}

#[tokio::test]
async fn an_order_goes_where_the_first_rule_that_fits_sends_it() {
    let (world, near, _) = world(vec![], vec![]).await;

    world.run().await;
    assert_eq!(handed_to(&world.last()), Some("near"));
    world.run().await;

    assert_eq!(booked_by(&world.last()), Some("near"));
    assert_eq!((near.count(Method::POST), world.partner.asked().len()), (1, 0));
}

#[tokio::test]
async fn an_order_that_fits_no_rule_stays_with_the_default_partner() {
    for change in [
        json!({"postal_code": "80331", "country": "DE"}),
        json!({"postal_code": "1000", "country": "AT"}),
        json!({"country": "DE"}),
    ] {
        let (world, ..) = world(vec![], vec![]).await;
        world.change(|work| work.order.dropoff = change.clone());

        world.run().await;

        assert_eq!(booked_by(&world.last()), Some("scripted"), "{change}");
    }
    let (heavy, ..) = world(vec![], vec![]).await;
    heavy.change(|work| work.order.items = json!([{"title": "A printed book", "quantity": 4}]));
    heavy.run().await;
    assert_eq!(booked_by(&heavy.last()), Some("scripted"));
}

#[tokio::test]
async fn a_choice_that_an_operator_made_is_not_undone() {
    let (world, near, far) = world(vec![], vec![]).await;
    world.change(|work| (work.order.partner, work.order.attempt) = (Some("scripted".to_owned()), 2));

    world.run().await;

    assert_eq!(booked_by(&world.last()), Some("scripted"));
    assert_eq!(near.asked().len() + far.asked().len(), 0);
}

#[tokio::test]
async fn when_the_first_refuses_the_next_is_asked_and_when_the_last_refuses_it_is_a_rejection() {
    let (world, near, far) = world(vec![refusal()], vec![refusal()]).await;

    for expected in ["near", "far"] {
        world.run().await;
        assert_eq!(handed_to(&world.last()), Some(expected));
    }
    world.run().await;

    let last = world.last();
    assert!(
        matches!(&last, Finish::Event(reported) if reported.event == "PARTNER_REJECTED"),
        "{last:?}"
    );
    assert_eq!((near.count(Method::POST), far.count(Method::POST)), (1, 1));
}

#[tokio::test]
async fn a_partner_that_may_have_booked_keeps_the_order() {
    let (world, near, far) = world(vec![Reply::Say(500, json!({}))], vec![]).await;

    world.run().await;
    world.run().await;
    let first = world.last();
    world.run().await;

    assert!(matches!(first, Finish::Retry { counts: true, .. }), "{first:?}");
    assert_eq!(booked_by(&world.last()), Some("near"));
    assert_eq!((near.count(Method::POST), far.asked().len()), (2, 0));
}

#[tokio::test]
async fn a_partner_that_is_away_is_waited_for_as_long_as_its_patience_lasts() {
    let away = |waited: TimeDelta| async move {
        let (world, near, far) = world(vec![Reply::RetryAfter(429, "60")], vec![]).await;
        world.run().await;
        world.change(|work| work.occurred_at = Utc::now() - waited);
        world.run().await;
        (world.last(), near.count(Method::POST), far.asked().len())
    };

    let (soon, ..) = away(TimeDelta::minutes(1)).await;
    let (late, near, far) = away(TimeDelta::minutes(11)).await;

    assert!(matches!(soon, Finish::Retry { counts: false, .. }), "{soon:?}");
    assert_eq!((handed_to(&late), near, far), (Some("far"), 1, 0));
}

#[tokio::test]
async fn a_partner_that_does_not_serve_us_any_more_is_passed_at_once() {
    let (world, ..) = world(vec![Reply::Say(403, json!({}))], vec![]).await;

    world.run().await;
    world.run().await;

    assert_eq!(handed_to(&world.last()), Some("far"));
}

#[tokio::test]
async fn a_rule_names_partners_that_there_are() {
    let scripted = Scripted::start([]).await;
    let of = |names: &[&str]| {
        let settings = PartnersSettings {
            partners: [("scripted".to_owned(), scripted.settings())].into(),
            default: "scripted".to_owned(),
            routing: vec![Rule {
                partners: names.iter().map(|name| (*name).to_owned()).collect(),
                ..Rule::default()
            }],
        };
        Partners::new(&settings)
            .map(drop)
            .map_err(|invalid| invalid.to_string())
    };

    assert_eq!(of(&["scripted"]), Ok(()));
    for names in [&[][..], &["nobody"], &["scripted", "nobody"]] {
        let refused = "routing[0].partners must be names of partners, at least one";
        assert_eq!(of(names), Err(refused.to_owned()), "{names:?}");
    }
    assert!(scripted.settings().patience > Duration::from_secs(60));
}
