//! One suite for both transports: what RabbitMQ promises, the table in the database promises too.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use chrono::TimeDelta;
use tempfile::TempDir;
use waybill_tasks::celery::message::{HeaderValue, Message, Properties};
use waybill_tasks::celery::transport::{PublishError, Routing};

use crate::carrier::{Carrier, Consumer, PANIC};
use crate::stage::eventually;
use crate::stage::services::VirtualHost;

const QUEUE: &str = "story";
const SOON: Duration = Duration::from_secs(20);

/// What carries the messages.
enum Ground {
    Local(TempDir),
    Amqp(VirtualHost),
}

impl Ground {
    fn local() -> Self {
        Self::Local(tempfile::tempdir().expect("a temporary folder"))
    }

    fn amqp() -> Self {
        Self::Amqp(VirtualHost::new())
    }

    fn carrier(&self) -> Carrier {
        self.later(TimeDelta::zero())
    }

    /// A process at a time when the lease of one that died has ended. RabbitMQ knows at once that a connection has.
    fn later(&self, ahead: TimeDelta) -> Carrier {
        match self {
            Self::Local(folder) => Carrier::local(folder.path(), ahead),
            Self::Amqp(host) => Carrier::amqp(&host.url()),
        }
    }

    /// A process, and a queue that is there: on RabbitMQ its consumer makes it.
    fn with_queue(&self) -> Carrier {
        let carrier = self.carrier();
        let first = carrier.consume(QUEUE, 1, usize::MAX >> 4, 0);
        eventually("the queue is there", SOON, || {
            carrier.publish(numbered(0), Routing::Mandatory).ok()
        });
        wait_for(&first, 1);
        carrier.end();
        self.carrier()
    }
}

macro_rules! on_both {
    ($(fn $name:ident($ground:ident: Ground) $body:block)+) => {
        $(
            mod $name {
                use super::*;

                fn story($ground: Ground) $body

                #[test]
                fn in_process() {
                    story(Ground::local());
                }

                #[test]
                fn on_rabbitmq() {
                    story(Ground::amqp());
                }
            }
        )+
    };
}

fn numbered(number: usize) -> Message {
    Message {
        exchange: String::new(),
        routing_key: QUEUE.to_owned(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            correlation_id: Some(format!("c-{number}")),
            delivery_mode: Some(2),
            ..Properties::default()
        },
        headers: [("number".to_owned(), HeaderValue::Text(number.to_string()))].into(),
        body: number.to_string().into_bytes(),
    }
}

fn wait_for(consumer: &Consumer, count: usize) {
    eventually(&format!("{count} messages are handed out"), SOON, || {
        (consumer.taken().len() >= count).then_some(())
    });
}

fn bodies(consumer: &Consumer) -> Vec<String> {
    consumer
        .taken()
        .into_iter()
        .map(|delivery| String::from_utf8(delivery.message.body).expect("a number"))
        .collect()
}

/// Nobody gets anything any more.
fn is_empty(ground: &Ground) -> bool {
    let late = ground.later(TimeDelta::hours(1));
    let consumer = late.consume(QUEUE, 8, usize::MAX >> 4, 0);
    thread::sleep(Duration::from_millis(1500));
    consumer.taken().is_empty()
}

on_both! {
    fn what_is_published_is_handed_out_whole_and_once_acknowledged_never_again(ground: Ground) {
        let carrier = ground.with_queue();

        carrier.publish(numbered(1), Routing::Mandatory).expect("it is published");
        let consumer = carrier.consume(QUEUE, 8, usize::MAX >> 4, 0);
        wait_for(&consumer, 1);
        carrier.end();

        let taken = consumer.taken();
        let (delivery, sent) = (&taken[0], numbered(1));
        assert!(!delivery.redelivered);
        assert_eq!(delivery.queue, QUEUE);
        assert_eq!((&delivery.message.body, &delivery.message.headers), (&sent.body, &sent.headers));
        assert_eq!(delivery.message.properties.correlation_id, sent.properties.correlation_id);
        assert_eq!(delivery.message.properties.content_type, sent.properties.content_type);
        assert!(is_empty(&ground));
    }

    fn what_is_given_back_is_handed_out_again(ground: Ground) {
        let carrier = ground.with_queue();

        carrier.publish(numbered(1), Routing::Mandatory).expect("it is published");
        let consumer = carrier.consume(QUEUE, 8, usize::MAX >> 4, 2);
        wait_for(&consumer, 3);
        carrier.end();

        let redelivered: Vec<bool> = consumer.taken().iter().map(|delivery| delivery.redelivered).collect();
        assert_eq!(redelivered, [false, true, true]);
        assert!(is_empty(&ground));
    }

    fn a_handler_that_panics_gets_its_message_again_and_those_after_it(ground: Ground) {
        let carrier = ground.with_queue();
        for message in [Message { body: PANIC.to_vec(), ..numbered(0) }, numbered(1)] {
            carrier.publish(message, Routing::Mandatory).expect("it is published");
        }

        let consumer = carrier.consume(QUEUE, 8, usize::MAX >> 4, 0);
        wait_for(&consumer, 2);
        carrier.end();

        assert_eq!(bodies(&consumer).into_iter().collect::<BTreeSet<_>>(), ["1", "panic"].map(str::to_owned).into());
        assert!(is_empty(&ground));
    }

    fn what_a_process_that_died_had_in_hand_is_handed_to_another(ground: Ground) {
        let carrier = ground.with_queue();
        for number in 1..=3 {
            carrier.publish(numbered(number), Routing::Mandatory).expect("it is published");
        }
        let doomed = carrier.consume(QUEUE, 8, 0, 0);
        wait_for(&doomed, 3);

        drop(carrier);
        let heir = ground.later(TimeDelta::minutes(2));
        let consumer = heir.consume(QUEUE, 8, usize::MAX >> 4, 0);
        wait_for(&consumer, 3);

        assert_eq!(bodies(&consumer).into_iter().collect::<BTreeSet<_>>(), ["1", "2", "3"].map(str::to_owned).into());
        assert!(consumer.taken().iter().all(|delivery| delivery.redelivered));
    }

    fn messages_are_handed_out_in_the_order_in_which_they_came(ground: Ground) {
        let carrier = ground.with_queue();
        for number in 0..50 {
            carrier.publish(numbered(number), Routing::Mandatory).expect("it is published");
        }

        let consumer = carrier.consume(QUEUE, 16, usize::MAX >> 4, 0);
        wait_for(&consumer, 50);

        assert_eq!(bodies(&consumer), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    fn no_more_than_the_prefetch_is_in_hand(ground: Ground) {
        let carrier = ground.with_queue();
        for number in 0..12 {
            carrier.publish(numbered(number), Routing::Mandatory).expect("it is published");
        }

        let consumer = carrier.consume(QUEUE, 3, 0, 0);
        wait_for(&consumer, 3);
        thread::sleep(Duration::from_millis(800));
        let held = consumer.taken().len();
        consumer.permits.add_permits(12);
        wait_for(&consumer, 12);

        assert_eq!(held, 3);
        assert_eq!(consumer.most_in_hand.load(Ordering::SeqCst), 3);
    }

    fn a_task_for_an_exchange_that_is_not_there_is_not_published(ground: Ground) {
        let carrier = ground.with_queue();
        let lost = Message { exchange: "nowhere".to_owned(), ..numbered(1) };

        let error = carrier.publish(lost, Routing::Mandatory).expect_err("nobody takes it");

        let PublishError::Unroutable { exchange, routing_key } = &error else { panic!("{error}") };
        assert_eq!((exchange.as_str(), routing_key.as_str()), ("nowhere", QUEUE));
        carrier.publish(numbered(2), Routing::Mandatory).expect("it is published");
    }
}

#[test]
fn on_rabbitmq_a_task_for_a_queue_that_is_not_there_is_not_published() {
    let ground = Ground::amqp();
    let carrier = ground.carrier();

    let error = carrier
        .publish(numbered(1), Routing::Mandatory)
        .expect_err("nobody takes it");

    assert!(matches!(error, PublishError::Unroutable { .. }), "{error}");
    carrier
        .publish(numbered(1), Routing::Optional)
        .expect("an event may reach nobody");
}
