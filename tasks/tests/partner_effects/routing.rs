//! Who takes an order, and who takes it where another does not.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::http::Method;
use chrono::{TimeDelta, Utc};
use serde_json::json;
use waybill_tasks::orders::Finish;
use waybill_tasks::partner::settings::{Adapter, Price, PriceClass};
use waybill_tasks::partner::{PartnerSettings, Partners, PartnersSettings, Rule, StrategyName};

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
        ..Rule::default()
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

/// Nobody is left to be asked: each was, once.
fn assert_refused_by_both(last: &Finish, near: &Scripted, far: &Scripted) {
    let rejected = matches!(last, Finish::Event(reported) if reported.event == "PARTNER_REJECTED");
    assert!(rejected, "{last:?}");
    assert_eq!((near.count(Method::POST), far.count(Method::POST)), (1, 1));
}

#[tokio::test]
async fn when_the_first_refuses_the_next_is_asked_and_when_the_last_refuses_it_is_a_rejection() {
    let (world, near, far) = world(vec![refusal()], vec![refusal()]).await;

    for expected in ["near", "far"] {
        world.run().await;
        assert_eq!(handed_to(&world.last()), Some(expected));
    }
    world.run().await;

    assert_refused_by_both(&world.last(), &near, &far);
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
async fn a_partner_that_may_have_booked_before_it_stopped_serving_us_keeps_the_order() {
    for status in [401, 402, 403] {
        let (world, near, far) = world(vec![Reply::Say(502, json!({})), Reply::Say(status, json!({}))], vec![]).await;

        world.run().await;
        world.run().await;

        assert!(
            matches!(world.last(), Finish::Retry { counts: true, .. }),
            "{status}: {:?}",
            world.last()
        );
        assert_eq!((near.count(Method::POST), far.asked().len()), (2, 0), "{status}");
    }
}

#[tokio::test]
async fn a_partner_that_cannot_be_reached_is_left_when_its_breaker_is_open_longer_than_its_patience() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let (scripted, far) = (Scripted::start([]).await, Scripted::start([]).await);
    let partners = BTreeMap::from([
        ("scripted".to_owned(), PartnerSettings::standard(address)),
        ("far".to_owned(), far.settings()),
    ]);
    let rule = Rule {
        partners: vec!["scripted".to_owned(), "far".to_owned()],
        ..Rule::default()
    };
    let settings = PartnersSettings {
        partners,
        default: "scripted".to_owned(),
        routing: vec![rule],
    };
    let world = World::with_partners(scripted, &settings);
    world.due("book_delivery_partner", "CREATED");
    world.change(|work| (work.order.revision, work.occurred_at) = (1, Utc::now()));

    let mut causes = Vec::new();
    for _ in 0..6 {
        world.run().await;
        let Finish::Retry {
            cause, counts: false, ..
        } = world.last()
        else {
            panic!("{:?}", world.last());
        };
        causes.push(cause);
    }
    world.change(|work| work.occurred_at = Utc::now() - TimeDelta::minutes(11));
    world.run().await;
    assert_eq!(handed_to(&world.last()), Some("far"));
    world.run().await;

    assert!(causes[0].contains("cannot be reached"), "{causes:?}");
    assert!(causes[5].contains("the breaker is open"), "{causes:?}");
    assert_eq!(booked_by(&world.last()), Some("far"));
}

#[tokio::test]
async fn nobody_is_asked_twice_whoever_the_rules_name_first() {
    let (world, near, far) = world(vec![refusal()], vec![refusal()]).await;
    // An operator has chosen the second of the rule: the first is left.
    world.change(|work| {
        (work.order.partner, work.order.attempt) = (Some("far".to_owned()), 2);
    });

    world.run().await;
    assert_eq!(handed_to(&world.last()), Some("near"));
    world.run().await;

    assert_refused_by_both(&world.last(), &near, &far);
}

#[tokio::test]
async fn a_new_delivery_for_which_nobody_is_named_goes_where_the_rules_send_it() {
    let (world, near, _) = world(vec![], vec![]).await;
    world.change(|work| (work.order.partner, work.order.attempt) = (None, 2));

    world.run().await;
    assert_eq!(handed_to(&world.last()), Some("near"));
    world.run().await;

    assert_eq!((booked_by(&world.last()), near.count(Method::POST)), (Some("near"), 1));
}

#[tokio::test]
async fn an_order_is_routed_by_what_was_paid() {
    for (currency, at_least, below, fits) in [
        ("EUR", 0, None, true),
        ("EUR", 4599, Some(4600), true),
        ("EUR", 4600, None, false),
        ("EUR", 0, Some(4599), false),
        ("USD", 0, None, false),
    ] {
        let (scripted, near) = (Scripted::start([]).await, Scripted::start([]).await);
        let class = PriceClass {
            currency: currency.to_owned(),
            at_least,
            below,
        };
        let rule = Rule {
            price_class: Some(class),
            partners: vec!["near".to_owned()],
            ..Rule::default()
        };
        let settings = PartnersSettings {
            partners: [
                ("scripted".to_owned(), scripted.settings()),
                ("near".to_owned(), near.settings()),
            ]
            .into(),
            default: "scripted".to_owned(),
            routing: vec![rule],
        };
        let world = World::with_partners(scripted, &settings);
        world.due("book_delivery_partner", "CREATED");
        world.change(|work| work.order.revision = 1);

        world.run().await;

        assert_eq!(
            handed_to(&world.last()).is_some(),
            fits,
            "{currency} {at_least} {below:?}"
        );
    }
}

/// Uber, with an answer to the question what it takes.
async fn uber(answer: Reply) -> (Scripted, PartnerSettings) {
    let token = Reply::Say(200, json!({"access_token": "tok-1", "expires_in": 3600}));
    let partner = Scripted::start([token, answer]).await;
    let mut settings = partner.settings();
    settings.adapter = Adapter::Uber;
    let credentials = &mut settings.credentials;
    credentials.key = Some("key-1".into());
    credentials.secret = Some("s".into());
    credentials.account = Some("acc-1".to_owned());
    credentials.token_url = Some(format!("{}/token", partner.base_url));
    (partner, settings)
}

fn quote(fee: i64, minutes: i64) -> Reply {
    Reply::Say(
        200,
        json!({"kind": "delivery_quote", "fee": fee, "currency_type": "EUR", "duration": minutes}),
    )
}

/// Whom a strategy chooses of `dear` and `slow`, who are asked, and `listed`, which has a price list; and what the first two
/// were asked.
async fn chosen_by(strategy: StrategyName, dear: Reply, slow: Reply) -> (String, Vec<String>) {
    let ((dear, dears), (slow, slows)) = (uber(dear).await, uber(slow).await);
    let (scripted, listed) = (Scripted::start([]).await, Scripted::start([]).await);
    let mut listeds = listed.settings();
    listeds.prices = vec![price_in("EUR", "FR", 1), price_in("EUR", "DE", 500)];
    let rule = Rule {
        partners: ["dear", "slow", "listed"].map(str::to_owned).to_vec(),
        strategy,
        ..Rule::default()
    };
    let settings = PartnersSettings {
        partners: [
            ("scripted".to_owned(), scripted.settings()),
            ("dear".to_owned(), dears),
            ("slow".to_owned(), slows),
            ("listed".to_owned(), listeds),
        ]
        .into(),
        default: "scripted".to_owned(),
        routing: vec![rule],
    };
    let world = World::with_partners(scripted, &settings);
    world.due("book_delivery_partner", "CREATED");
    world.change(|work| {
        work.order.revision = 1;
        work.order.dropoff = json!({"line1": "Kastanienallee 7", "postal_code": "10435", "country": "DE"});
    });

    world.run().await;

    let asked = [dear, slow].into_iter().flat_map(|partner| partner.asked());
    let asked = asked.map(|asked| asked.path).filter(|path| path != "/token").collect();
    (handed_to(&world.last()).expect("one is chosen").to_owned(), asked)
}

#[tokio::test]
async fn of_several_partners_the_strategy_of_the_rule_chooses_by_their_quotes() {
    let quotes = "/v1/customers/acc-1/delivery_quotes".to_owned();
    for (strategy, expected, asked) in [
        (StrategyName::FirstFit, "dear", vec![]),
        (
            StrategyName::CheapestQuote,
            "slow",
            vec![quotes.clone(), quotes.clone()],
        ),
        (
            StrategyName::FastestQuote,
            "listed",
            vec![quotes.clone(), quotes.clone()],
        ),
    ] {
        let chosen = chosen_by(strategy, quote(900, 30), quote(400, 90)).await;

        assert_eq!(chosen, (expected.to_owned(), asked), "{strategy:?}");
    }
}

#[tokio::test]
async fn a_currency_that_never_matches_is_refused() {
    let scripted = Scripted::start([]).await;
    let with = |class: Option<&str>, price: Option<&str>| {
        let mut partner = scripted.settings();
        partner.prices = price
            .into_iter()
            .map(|currency| price_in(currency, "DE", 500))
            .collect();
        let class = class.map(|currency| PriceClass {
            currency: currency.to_owned(),
            at_least: 0,
            below: None,
        });
        let settings = PartnersSettings {
            partners: [("scripted".to_owned(), partner)].into(),
            default: "scripted".to_owned(),
            routing: vec![Rule {
                price_class: class,
                partners: vec!["scripted".to_owned()],
                ..Rule::default()
            }],
        };
        Partners::new(&settings).map(drop).map_err(|invalid| invalid.field)
    };

    assert_eq!(with(Some("EUR"), Some("JPY")), Ok(()));
    assert_eq!(
        with(Some("eur"), None),
        Err("routing[0].price_class.currency".to_owned())
    );
    assert_eq!(
        with(None, Some("Euro")),
        Err("partners.scripted.prices[0].currency".to_owned())
    );
}

fn price_in(currency: &str, country: &str, minor_units: i64) -> Price {
    Price {
        countries: vec![country.to_owned()],
        pieces_at_most: None,
        minor_units,
        currency: currency.to_owned(),
        takes: Some(Duration::from_secs(20 * 60)),
    }
}

#[tokio::test]
async fn who_does_not_quote_is_chosen_by_price_list_or_not_at_all() {
    let refuses = Reply::Say(
        400,
        json!({"code": "address_undeliverable", "kind": "error", "message": "too far"}),
    );
    let broken = Reply::Say(500, json!({}));

    let (cheapest, _) = chosen_by(StrategyName::CheapestQuote, refuses, broken.clone()).await;
    let (odd, _) = chosen_by(
        StrategyName::CheapestQuote,
        Reply::Say(200, json!({"fee": "a lot"})),
        broken,
    )
    .await;

    assert_eq!((cheapest.as_str(), odd.as_str()), ("listed", "listed"));
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
