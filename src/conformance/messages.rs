use chrono::{TimeDelta, Utc};
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{Delivery, Keeper as _};

use super::fixture::Fixture;
use super::on_both;
use crate::engine::unpack;

on_both! {
    async fn a_parked_message_is_handed_back_whole_when_it_is_due_and_then_gone(fixture: Fixture) {
        let message = Message { routing_key: "waybill".to_owned(), body: b"[[], {}, {}]".to_vec(), ..Message::default() };
        let delivery = Delivery { queue: "waybill".to_owned(), message: message.clone(), redelivered: false };
        fixture.engine.park(&delivery, Utc::now() + TimeDelta::minutes(10)).await.unwrap();

        let early = fixture.engine.store().due_messages(10).await.unwrap();
        let later = fixture.later(TimeDelta::minutes(11)).await;
        let due = later.store().due_messages(10).await.unwrap();
        later.unpark(due.iter().map(|it| it.message_id).collect()).await.unwrap();

        assert_eq!(early.len(), 0);
        let [parked] = due.as_slice() else { panic!("one message is due: {}", due.len()) };
        assert_eq!(parked.queue, "waybill");
        let back = unpack(later.store(), "parked_messages", parked.message_id, &parked.message).unwrap().into_message();
        assert_eq!((back.body, back.routing_key), (message.body, message.routing_key));
        assert_eq!(fixture.count("SELECT COUNT(*) AS count FROM parked_messages").await, 0);
    }
}
