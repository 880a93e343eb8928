use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde_json::{Value as Json, json};

use super::fixture::Fixture;
use super::on_both;
use super::subscriber::{Answers, Heard, Subscriber, send_all, sender};
use crate::engine::outgoing::rotate;
use crate::outgoing::{Guard, Outgoing, Reaching};
use crate::store::outgoing::{Change, Delivery, DeliveryFilter, Endpoint, Filter, Recovered};

/// The deliveries to an endpoint, oldest first.
async fn deliveries(fixture: &Fixture, endpoint: &Endpoint) -> Vec<Delivery> {
    let filter = DeliveryFilter {
        endpoint_id: endpoint.endpoint_id,
        limit: 1000,
        ..DeliveryFilter::default()
    };
    let mut found = fixture
        .engine
        .store()
        .deliveries(&filter)
        .await
        .expect("the store answers");
    found.reverse();
    found
}

async fn is_active(fixture: &Fixture, endpoint: &Endpoint) -> bool {
    let found = fixture.engine.store().endpoint(endpoint.endpoint_id).await;
    found.expect("the store answers").expect("it is there").is_active()
}

async fn enable(fixture: &Fixture, endpoint: &Endpoint) {
    let change = Change {
        active: Some(true),
        ..Change::default()
    };
    let changed = fixture
        .engine
        .store()
        .change_endpoint(endpoint.endpoint_id, change)
        .await;
    assert!(
        changed
            .expect("the store answers")
            .is_some_and(|endpoint| endpoint.is_active())
    );
}

fn by_order(heard: &[Heard]) -> BTreeMap<String, Vec<i64>> {
    let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for body in heard.iter().map(Heard::json) {
        let order = body["subject"].as_str().expect("an order").to_owned();
        let sequence = body["data"]["sequence"].as_i64().expect("a sequence");
        all.entry(order).or_default().push(sequence);
    }
    all
}

on_both! {
    async fn every_move_is_told_in_order_as_it_is_published_and_signed_twice(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (_, keys) = subscriber.subscribe(&fixture, Filter::default()).await;
        let failed = fixture.order_in("o1", "PENDING_BY_OPERATOR").await;
        let delivered = fixture.order_in("o2", "DELIVERED").await;

        send_all(&sender(&fixture.engine)).await;

        let heard = subscriber.heard();
        assert_eq!(by_order(&heard), BTreeMap::from([(failed.to_string(), vec![1, 2, 3]), (delivered.to_string(), vec![1, 2, 3])]));
        let rows = fixture.db.rows("SELECT payload FROM effects WHERE name = 'publish_event'", vec![]).await.unwrap();
        let published: Vec<Json> = rows.iter().map(|row| row.json("payload").unwrap()).collect();
        assert_eq!(published.len(), 6);
        for heard in &heard {
            let body = heard.json();
            assert!(published.contains(&body["data"]), "{body} is what is published on waybill.events");
            assert_eq!(heard.id(), body["id"].as_str().unwrap());
            assert_eq!(heard.headers["content-type"], "application/cloudevents+json");
            assert!(heard.is_believed_with(keys.secret.expose_secret()), "v1");
            assert!(heard.is_believed_with(&keys.public_key), "v1a");
        }
        let kinds: Vec<_> = heard.iter().map(|heard| heard.json()["type"].as_str().unwrap().to_owned()).collect();
        for kind in ["delivery.created.v1", "delivery.delivered.v1", "delivery.pending_by_operator.v1"] {
            assert!(kinds.iter().any(|it| it == kind), "{kind} in {kinds:?}");
        }
        assert_eq!(send_all(&sender(&fixture.engine)).await, 0, "nothing is told twice");
    }

    async fn a_filter_lets_through_what_was_asked_for_and_nothing_else(fixture: Fixture) {
        let filters = [
            (Filter { event_types: Some(vec!["delivery.delivered.v1".into()]), ..Filter::default() }, vec!["DELIVERED"]),
            (Filter { customer_id: Some("cus-2".into()), ..Filter::default() }, vec![]),
            (Filter { machine: Some("food-order".into()), ..Filter::default() }, vec![]),
            (Filter { machine: Some("delivery-order".into()), customer_id: Some("cus-1".into()), event_types: None }, vec!["CREATED", "PICKED_UP", "DELIVERED"]),
        ];
        let mut subscribed = Vec::new();
        for (filter, expected) in filters {
            let subscriber = Subscriber::listening().await;
            let (endpoint, _) = subscriber.subscribe(&fixture, filter).await;
            subscribed.push((subscriber, endpoint, expected));
        }
        let began = fixture.engine.store().now().await.unwrap();
        fixture.order_in("o1", "DELIVERED").await;

        send_all(&sender(&fixture.engine)).await;

        for (subscriber, endpoint, expected) in subscribed {
            assert_eq!(subscriber.states(), expected);
            let again = fixture.engine.store().recover(endpoint.endpoint_id, began).await.unwrap();
            assert_eq!(again, Some(Recovered { events: 0, more: false }), "what was taken is not told again");
        }
    }

    async fn what_fails_holds_back_its_own_order_and_no_other(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        subscriber.subscribe(&fixture, Filter::default()).await;
        let one = fixture.order_in("o1", "PICKED_UP").await.to_string();
        subscriber.answers([Answers::Status(500)]);
        let now = sender(&fixture.engine);
        assert_eq!(now.look().await.unwrap(), 1);

        let two = fixture.order_in("o2", "PICKED_UP").await.to_string();
        send_all(&now).await;
        assert_eq!(by_order(&subscriber.heard()), BTreeMap::from([(one.clone(), vec![1]), (two.clone(), vec![1, 2])]));
        send_all(&sender(&fixture.later(TimeDelta::seconds(10)).await)).await;

        assert_eq!(by_order(&subscriber.heard()), BTreeMap::from([(one, vec![1, 1, 2]), (two, vec![1, 2])]));
        let heard = subscriber.heard();
        assert_eq!((heard[0].id(), &heard[0].body), (heard[3].id(), &heard[3].body), "the same id and body in every attempt");
    }

    async fn it_is_tried_for_a_day_and_can_be_told_again(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        let began = fixture.engine.store().now().await.unwrap();
        fixture.order("o1").await;
        subscriber.always(Some(Answers::Status(404)));
        let mut offset = TimeDelta::zero();
        for _ in 0..11 {
            assert_eq!(sender(&fixture.later(offset).await).look().await.unwrap(), 1, "after {offset}");
            assert_eq!(sender(&fixture.later(offset).await).look().await.unwrap(), 0, "not at once");
            offset += TimeDelta::hours(10);
        }

        let given_up = deliveries(&fixture, &endpoint).await.remove(0);
        assert_eq!((given_up.state.as_str(), given_up.attempts, given_up.cause.as_deref()), ("failed", 11, Some("answered 404")));
        assert!(is_active(&fixture, &endpoint).await, "one event that it does not take is no reason");
        let attempts = fixture.engine.store().attempts(given_up.delivery_id).await.unwrap();
        assert_eq!(attempts.iter().map(|it| (it.number, it.status)).collect::<Vec<_>>(), (1..=11).map(|number| (number, Some(404))).collect::<Vec<_>>());

        subscriber.always(None);
        let later = fixture.later(offset).await;
        let recovered = later.store().recover(endpoint.endpoint_id, began).await.unwrap();
        assert_eq!(recovered, Some(Recovered { events: 1, more: false }));
        send_all(&sender(&later)).await;

        assert_eq!(deliveries(&fixture, &endpoint).await[0].state, "delivered");
        assert_eq!(subscriber.heard().len(), 12);
    }

    async fn who_is_gone_is_told_no_more_until_somebody_says_so(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        let began = fixture.engine.store().now().await.unwrap();
        fixture.order("o1").await;
        fixture.order_in("o2", "PICKED_UP").await;
        subscriber.answers([Answers::Status(410), Answers::Status(410)]);

        let now = sender(&fixture.engine);
        send_all(&now).await;
        fixture.order("o3").await;
        assert_eq!((subscriber.heard().len(), send_all(&now).await), (2, 0));
        assert!(!is_active(&fixture, &endpoint).await);
        let all = deliveries(&fixture, &endpoint).await;
        assert!(all.len() == 3 && all.iter().all(|it| it.state == "failed"), "{all:?}");
        let cases = "SELECT COUNT(*) AS count FROM operator_cases WHERE kind = 'webhook-endpoint-disabled' AND reason = 'GONE'";
        assert_eq!(fixture.count(cases).await, 1);
        assert_eq!(fixture.engine.store().recover(endpoint.endpoint_id, began).await.unwrap(), None);

        enable(&fixture, &endpoint).await;
        let recovered = fixture.engine.store().recover(endpoint.endpoint_id, began).await.unwrap();
        send_all(&now).await;

        assert_eq!(recovered, Some(Recovered { events: 4, more: false }), "what failed, and what came meanwhile");
        assert!(deliveries(&fixture, &endpoint).await.iter().all(|it| it.state == "delivered"));
        fixture.assert_sound().await;
    }

    async fn who_asks_for_time_is_left_alone_so_long(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        subscriber.subscribe(&fixture, Filter::default()).await;
        fixture.order("o1").await;
        subscriber.answers([Answers::With(429, "retry-after", "600".to_owned())]);
        send_all(&sender(&fixture.engine)).await;
        fixture.order("o2").await;

        let early = send_all(&sender(&fixture.later(TimeDelta::seconds(590)).await)).await;
        let then = send_all(&sender(&fixture.later(TimeDelta::seconds(610)).await)).await;

        assert_eq!((early, then, subscriber.heard().len()), (0, 2, 3), "also what is for another order waits");
    }

    async fn one_in_trouble_is_asked_by_one_probe_and_then_told_everything(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        for number in 0..8 {
            fixture.order(&format!("o{number}")).await;
        }
        subscriber.always(Some(Answers::Status(500)));

        assert_eq!(send_all(&sender(&fixture.engine)).await, 8, "what is under way together");
        let paused = fixture.engine.store().endpoint(endpoint.endpoint_id).await.unwrap().unwrap();
        assert!(paused.failures == 5 && paused.paused_until.is_some(), "{paused:?}");
        let probe = send_all(&sender(&fixture.later(TimeDelta::seconds(40)).await)).await;
        assert_eq!(probe, 1);
        subscriber.always(None);
        let later = fixture.later(TimeDelta::minutes(5)).await;
        assert_eq!((sender(&later).look().await.unwrap(), sender(&later).look().await.unwrap()), (1, 7));

        let well = fixture.engine.store().endpoint(endpoint.endpoint_id).await.unwrap().unwrap();
        assert_eq!((well.failures, well.paused_until, well.failing_since), (0, None, None));
        assert!(deliveries(&fixture, &endpoint).await.iter().all(|it| it.state == "delivered"));
    }

    async fn one_that_fails_for_days_is_disabled_and_an_operator_hears_of_it(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        subscriber.always(Some(Answers::Status(500)));
        for day in 0..=5 {
            fixture.order(&format!("o{day}")).await;
            for hour in [0, 9, 18] {
                let later = fixture.later(TimeDelta::days(day) + TimeDelta::hours(hour)).await;
                sender(&later).look().await.unwrap();
            }
        }

        assert!(!is_active(&fixture, &endpoint).await);
        let open = fixture.engine.store().cases(crate::store::CaseFilter { open: Some(true), limit: 10 }).await.unwrap();
        let case = open.iter().find(|case| case.kind == "webhook-endpoint-disabled").expect("a case");
        assert_eq!((case.reason.as_str(), case.order_id), ("FAILING", None));
        assert_eq!(case.detail["endpoint_id"], json!(endpoint.endpoint_id));
        assert!(deliveries(&fixture, &endpoint).await.iter().all(|it| it.state == "failed"));
    }

    async fn a_redirect_is_a_failure_and_not_followed(fixture: Fixture) {
        let (subscriber, elsewhere) = (Subscriber::listening().await, Subscriber::listening().await);
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        fixture.order("o1").await;
        subscriber.answers([Answers::With(307, "location", elsewhere.url.clone())]);

        send_all(&sender(&fixture.engine)).await;

        assert_eq!((subscriber.heard().len(), elsewhere.heard().len()), (1, 0));
        let waits = deliveries(&fixture, &endpoint).await.remove(0);
        assert_eq!((waits.state.as_str(), waits.cause.as_deref()), ("pending", Some("answered 307: redirects are not followed")));
    }

    async fn an_answer_is_kept_as_a_kilobyte_and_one_that_never_comes_is_not_waited_for(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        fixture.order("o1").await;
        fixture.order("o2").await;
        subscriber.answers([Answers::Endlessly, Answers::Hangs]);
        let guard = Guard::new(vec![crate::outgoing::Network::parse("127.0.0.1").unwrap()]);
        let reaching = Reaching { guard, limit: Duration::from_millis(500) };
        let hasty = Outgoing::new(fixture.engine.clone(), reaching).unwrap();

        send_all(&hasty).await;

        let mut kept = Vec::new();
        for delivery in deliveries(&fixture, &endpoint).await {
            kept.extend(fixture.engine.store().attempts(delivery.delivery_id).await.unwrap());
        }
        let (answered, hung): (Vec<_>, Vec<_>) = kept.iter().partition(|attempt| attempt.status == Some(200));
        assert_eq!((answered.len(), hung.len()), (1, 1), "{kept:?}");
        assert_eq!(answered[0].response.as_deref(), Some("x".repeat(1024).as_str()));
        assert_eq!((hung[0].status, hung[0].cause.as_deref()), (None, Some("no answer within 0.5 s")));
        let stored = fixture.db.rows("SELECT response FROM webhook_attempts WHERE status = 200", vec![]).await.unwrap();
        let stored = stored[0].bytes("response").unwrap();
        assert!(!stored.windows(8).any(|part| part == b"xxxxxxxx"), "answers are kept encrypted");
    }

    async fn nothing_is_sent_into_a_private_network(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let port = subscriber.url.rsplit(':').next().unwrap().to_owned();
        let urls = [subscriber.url.clone(), format!("http://localhost:{port}"), format!("https://localhost:{port}"), "https://localhost/".to_owned()];
        let mut endpoints = Vec::new();
        for url in urls {
            endpoints.push(subscriber.at(url).subscribe(&fixture, Filter::default()).await.0);
        }
        fixture.order("o1").await;
        let reaching = Reaching { guard: Guard::default(), limit: Duration::from_secs(5) };
        let careful = Outgoing::new(fixture.engine.clone(), reaching).unwrap();

        assert_eq!(send_all(&careful).await, endpoints.len());

        for endpoint in &endpoints {
            let cause = deliveries(&fixture, endpoint).await.remove(0).cause.unwrap_or_default();
            assert!(cause.starts_with("not sent: expected"), "{}: {cause}", endpoint.url);
        }
        assert_eq!(subscriber.heard().len(), 0);
    }

    async fn two_processes_never_send_the_same_at_once_and_what_a_dead_one_had_is_sent(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        for number in 0..20 {
            fixture.order_in(&format!("o{number}"), "DELIVERED").await;
        }
        let (one, two) = (sender(&fixture.engine), sender(&fixture.another().await));

        tokio::join!(send_all(&one), send_all(&two));
        send_all(&one).await;
        send_all(&two).await;

        let heard = subscriber.heard();
        assert_eq!(heard.len(), 60);
        assert!(by_order(&heard).values().all(|sequences| *sequences == [1, 2, 3]), "in order, each once");

        fixture.order("late").await;
        let lost = fixture.engine.store().claim_deliveries(10, TimeDelta::seconds(20)).await.unwrap();
        assert_eq!(lost.len(), 1, "taken by a process that dies now");
        assert_eq!(send_all(&two).await, 0, "it may still be under way");
        assert_eq!(send_all(&sender(&fixture.later(TimeDelta::seconds(21)).await)).await, 1);
        assert!(deliveries(&fixture, &endpoint).await.iter().all(|it| it.state == "delivered"));
    }

    async fn after_a_rotation_both_keys_are_believed_until_the_old_one_ends(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, old) = subscriber.subscribe(&fixture, Filter::default()).await;
        let new = rotate(fixture.engine.store(), endpoint.endpoint_id, TimeDelta::hours(24)).await.unwrap().unwrap();
        fixture.order("o1").await;
        send_all(&sender(&fixture.engine)).await;
        fixture.order("o2").await;
        send_all(&sender(&fixture.later(TimeDelta::hours(25)).await)).await;

        let believed: Vec<_> = subscriber
            .heard()
            .iter()
            .map(|heard| [old.secret.expose_secret(), &old.public_key, new.secret.expose_secret(), &new.public_key].map(|key| heard.is_believed_with(key)))
            .collect();

        assert_eq!(believed, [[true; 4], [false, false, true, true]]);
        let hidden = fixture.db.rows("SELECT secret FROM webhook_secrets", vec![]).await.unwrap();
        assert!(hidden.iter().all(|row| !String::from_utf8_lossy(&row.bytes("secret").unwrap()).contains("whs")), "secrets are kept encrypted");
    }

    async fn a_delivery_is_written_with_its_log_row_or_not_at_all(fixture: Fixture) {
        let subscriber = Subscriber::listening().await;
        let (endpoint, _) = subscriber.subscribe(&fixture, Filter::default()).await;
        let mut orders = Vec::new();
        for number in 0..5 {
            orders.push(fixture.order_in(&format!("o{number}"), "DELIVERED").await);
        }
        let late = fixture.report(orders[0], "PARTNER_PICKED_UP", json!({ "partner_order_number": "N-o0" })).await;
        assert!(!matches!(late, crate::engine::Answer::Applied { .. }));

        let told: Vec<_> = deliveries(&fixture, &endpoint).await.iter().map(|it| (it.order_id, it.sequence)).collect();

        assert_eq!(told.len(), 15, "what moves is told, what is refused or noted is not");
        assert!(orders.iter().all(|id| (1..=3).all(|sequence| told.contains(&(Some(*id), sequence)))));
    }
}
