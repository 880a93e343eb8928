use chrono::{TimeDelta, Utc};
use waybill_tasks::celery::message::{HeaderValue, Message};
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::transport::{Delivery, Keeper as _, Rejected, Scheduled};

use super::fixture::Fixture;
use super::on_both;
use crate::engine::unpack;
use crate::store::DeadFilter;

on_both! {
    async fn a_parked_message_is_handed_back_whole_when_it_is_due_and_then_gone(fixture: Fixture) {
        let message = Message { routing_key: "waybill".to_owned(), body: b"[[], {}, {}]".to_vec(), ..Message::default() };
        let delivery = Delivery { queue: "waybill".to_owned(), message: message.clone(), redelivered: false };
        fixture.engine.park(&delivery, Utc::now() + TimeDelta::minutes(10)).await.unwrap();

        let early = fixture.engine.store().due_messages(10, &[]).await.unwrap();
        let later = fixture.later(TimeDelta::minutes(11)).await;
        let due = later.store().due_messages(10, &[]).await.unwrap();
        later.unpark(due.iter().map(|it| it.message_id).collect()).await.unwrap();

        assert_eq!(early.len(), 0);
        let [parked] = due.as_slice() else { panic!("one message is due: {}", due.len()) };
        assert_eq!(parked.queue, "waybill");
        let back = unpack(later.store(), "parked_messages", parked.message_id, &parked.message).unwrap().into_message();
        assert_eq!((back.body, back.routing_key), (message.body, message.routing_key));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM parked_messages").await, 0);
    }

    async fn a_message_that_is_handed_out_again_is_set_aside_once_however_often_the_broker_counts(fixture: Fixture) {
        for count in [None, Some(1), Some(2)] {
            let mut message = Signature::new("nobody.knows").id("i").into_message();
            message.headers.extend(count.map(|count| ("x-delivery-count".to_owned(), HeaderValue::Int(count))));
            let rejected = Rejected {
                delivery: Delivery { queue: "waybill".to_owned(), message, redelivered: count.is_some() },
                reason: "unknown-task",
                place: "headers.task".to_owned(),
                detail: "expected a task of this worker".to_owned(),
                task: Some("nobody.knows".to_owned()),
                task_id: Some("i".to_owned()),
            };

            fixture.engine.quarantine(rejected).await.unwrap();
        }

        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM quarantine").await, 1);
    }

    async fn a_message_with_nul_in_its_names_is_kept_whole_and_told_of_without_it(fixture: Fixture) {
        let message = Signature::new("t\0").id("i\0").into_message();
        let delivery = Delivery { queue: "waybill".to_owned(), message: message.clone(), redelivered: false };
        let rejected = Rejected {
            delivery: delivery.clone(),
            reason: "body-not-json",
            place: "body[1].\0".to_owned(),
            detail: "expected a number, found \0".to_owned(),
            task: Some("t\0".to_owned()),
            task_id: Some("i\0".to_owned()),
        };

        fixture.engine.quarantine(rejected).await.unwrap();
        fixture.engine.park(&delivery, Utc::now() + TimeDelta::hours(1)).await.unwrap();
        fixture.engine.revoke(&["i\0".to_owned()], Utc::now() + TimeDelta::hours(1)).await.unwrap();

        let store = fixture.engine.store();
        let dead = store.dead(&DeadFilter { limit: 10, ..DeadFilter::default() }).await.unwrap().remove(0);
        assert_eq!((dead.task.as_deref(), dead.task_id.as_deref()), (Some("t\u{FFFD}"), Some("i\u{FFFD}")));
        assert_eq!((dead.place.as_str(), dead.detail.as_str()), ("body[1].\u{FFFD}", "expected a number, found \u{FFFD}"));
        assert_eq!(unpack(store, "quarantine", dead.id, &dead.message).unwrap().into_message(), message);
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM operator_cases").await, 1);
        assert_eq!(store.due_messages(10, &[]).await.unwrap().len(), 1);
    }

    async fn what_was_revoked_is_known_to_another_process_and_forgotten_in_time(fixture: Fixture) {
        let ids = ["a".to_owned(), "b".to_owned(), "a".to_owned()];
        fixture.engine.revoke(&ids, Utc::now() + TimeDelta::hours(1)).await.unwrap();
        fixture.engine.revoke(&["b".to_owned()], Utc::now() + TimeDelta::hours(9)).await.unwrap();

        assert_eq!(fixture.another().await.revoked().await.unwrap(), ["a", "b"]);

        let later = fixture.later(TimeDelta::hours(2)).await;
        assert_eq!(later.revoked().await.unwrap(), ["b"]);
        later.revoke(&[], Utc::now()).await.unwrap();
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM revoked_tasks").await, 1);
    }

    async fn messages_that_wait_are_told_in_their_order_and_a_revoked_one_is_due_at_once(fixture: Fixture) {
        for (id, minutes) in [("later", 20), ("sooner", 10)] {
            let message = Signature::new("t").id(id).into_message();
            let delivery = Delivery { queue: "waybill".to_owned(), message, redelivered: false };
            fixture.engine.park(&delivery, Utc::now() + TimeDelta::minutes(minutes)).await.unwrap();
        }
        let waiting = async || {
            let scheduled = fixture.engine.scheduled(10).await.unwrap();
            let id = |it: &Scheduled| it.delivery.message.headers["id"].as_text().unwrap().to_owned();
            scheduled.iter().map(id).collect::<Vec<_>>()
        };
        assert_eq!(waiting().await, ["sooner", "later"]);
        assert_eq!(fixture.engine.scheduled(1).await.unwrap().len(), 1);

        fixture.engine.revoke(&["later".to_owned()], Utc::now() + TimeDelta::hours(1)).await.unwrap();

        assert_eq!(waiting().await, ["later", "sooner"]);
        assert_eq!(fixture.engine.store().due_messages(10, &[]).await.unwrap().len(), 1);
    }
}
