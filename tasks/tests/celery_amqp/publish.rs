//! Publishing: what is confirmed is there, and what no queue took is known.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::message::{HeaderValue, Headers, Message, Properties};
use waybill_tasks::celery::transport::{PublishError, Queue, Routing, Transport as _};

use crate::broker::{Queues, consumed, transport, until};
use crate::handlers::Recorder;

pub(crate) fn message(queue: &str, body: &str) -> Message {
    Message {
        routing_key: queue.to_owned(),
        properties: Properties {
            delivery_mode: Some(2),
            ..Properties::default()
        },
        body: body.as_bytes().to_vec(),
        ..Message::default()
    }
}

pub(crate) fn queue(name: &str, prefetch: u16) -> Queue {
    Queue {
        name: name.to_owned(),
        bindings: Vec::new(),
        prefetch,
    }
}

fn all_headers() -> Headers {
    let list = vec![
        HeaderValue::Null,
        HeaderValue::Int(30),
        HeaderValue::Float(20.5),
        HeaderValue::List(vec![]),
    ];
    let table = Headers::from([("inner".to_owned(), HeaderValue::List(list.clone()))]);
    Headers::from(
        [
            ("null", HeaderValue::Null),
            ("true", HeaderValue::Bool(true)),
            ("int", HeaderValue::Int(-7)),
            ("long", HeaderValue::Int(i64::MIN)),
            ("float", HeaderValue::Float(2.5)),
            ("text", "Straße".into()),
            ("bytes", HeaderValue::Bytes(vec![0xff, 0x00])),
            ("timestamp", HeaderValue::Timestamp(1_800_000_000)),
            ("decimal", HeaderValue::Decimal(2, 4599)),
            ("list", HeaderValue::List(list)),
            ("table", HeaderValue::Table(table)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_arrives_as_it_was_sent() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.name();
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = tokio::spawn({
        let (transport, recorder, name, stop) = (transport.clone(), recorder.clone(), name.clone(), stop.clone());
        async move { transport.consume(queue(&name, 4), recorder, stop.into()).await }
    });
    consumed(&transport, &name).await;
    let sent = Message {
        exchange: String::new(),
        routing_key: name.clone(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            delivery_mode: Some(2),
            priority: Some(5),
            correlation_id: Some("c".to_owned()),
            reply_to: Some("r".to_owned()),
            expiration: Some("600000".to_owned()),
            message_id: Some("m".to_owned()),
            timestamp: Some(1_800_000_000),
            kind: Some("k".to_owned()),
            user_id: None,
            app_id: Some("a".to_owned()),
        },
        headers: all_headers(),
        body: vec![0, 1, 2, 255],
    };

    transport.publish(sent.clone(), Routing::Mandatory).await.unwrap();

    until("the message", Duration::from_secs(5), async || recorder.count() == 1).await;
    stop.cancel();
    consuming.await.unwrap();
    let taken = recorder.taken.lock().unwrap().remove(0);
    assert_eq!(taken.message, sent);
    assert_eq!((taken.queue.as_str(), taken.redelivered), (name.as_str(), false));
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_publishes_exactly_the_unroutable_ones_are_reported() {
    let (transport, mut queues) = (transport().await, Queues::new().await);

    for seed in [1, 2, 3] {
        // A quorum queue confirms later than the broker returns: both orders get mixed.
        let name = queues.quorum().await;
        let missing = format!("{name}-missing");
        // Neither alternating nor in blocks, and other windows with each seed.
        let mut chance = StdRng::seed_from_u64(seed);
        let routable: Vec<bool> = (0..15_000).map(|_| chance.random()).collect();
        let publishes = routable.iter().enumerate().map(|(number, routable)| {
            let target = if *routable { &name } else { &missing };
            transport.publish(message(target, &number.to_string()), Routing::Mandatory)
        });

        let answers = join_all(publishes).await;

        for (number, (routable, answer)) in routable.iter().zip(&answers).enumerate() {
            match (routable, answer) {
                (true, Ok(())) => (),
                (false, Err(PublishError::Unroutable { exchange, routing_key })) => {
                    assert_eq!((exchange.as_str(), routing_key), ("", &missing));
                }
                other => panic!("message {number} of seed {seed}: {other:?}"),
            }
        }
        let sent = routable.iter().filter(|routable| **routable).count();
        assert!(sent > 7_000 && sent < 8_000, "{sent}");
        let status = transport.queue_exists(&name).await.unwrap().unwrap();
        assert_eq!(usize::try_from(status.messages).unwrap(), sent);
    }
    transport.close().await;
    queues.clean_up().await;
}

/// What is confirmed belongs to one task that publishes: who holds the transport holds a way to it, and not the channel.
#[tokio::test(flavor = "multi_thread")]
async fn eight_tasks_over_two_handles_each_get_their_own_answers() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    let handles = [transport.clone(), transport.clone()];

    let tasks = (0..8_usize).map(|task| {
        let (transport, name) = (handles[task % 2].clone(), name.clone());
        tokio::spawn(async move {
            let mut wrong = Vec::new();
            let mut chance = StdRng::seed_from_u64(task as u64);
            for number in 0..400 {
                let routable = chance.random::<bool>();
                let target = if routable {
                    name.clone()
                } else {
                    format!("{name}-missing-{task}")
                };
                let answer = transport
                    .publish(message(&target, &format!("{task}/{number}")), Routing::Mandatory)
                    .await;
                let right = match &answer {
                    Ok(()) => routable,
                    Err(PublishError::Unroutable { routing_key, .. }) => !routable && *routing_key == target,
                    Err(_) => false,
                };
                if !right {
                    wrong.push(format!("{number} to {target}: {answer:?}"));
                }
            }
            wrong
        })
    });
    let wrong: Vec<String> = join_all(tasks).await.into_iter().flat_map(Result::unwrap).collect();

    assert_eq!(wrong, Vec::<String>::new());
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_exchange_is_unroutable_and_harms_no_neighbour() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;

    let publishes = (0..100).map(|number| {
        let mut message = message(&name, &number.to_string());
        if number % 10 == 3 {
            message.exchange = "waybill-test-no-such-exchange".to_owned();
        }
        let transport = transport.clone();
        async move { transport.publish(message, Routing::Mandatory).await }
    });
    let answers = join_all(publishes).await;

    for (number, answer) in answers.iter().enumerate() {
        match answer {
            Ok(()) => assert_ne!(number % 10, 3),
            Err(PublishError::Unroutable { .. }) => assert_eq!(number % 10, 3),
            Err(other) => panic!("message {number}: {other}"),
        }
    }
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 90);
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = transport.consume(queue(&name, 20), recorder.clone(), stop.clone().into());
    let watching = async {
        until("90 messages", Duration::from_secs(10), async || recorder.count() == 90).await;
        stop.cancel();
    };
    tokio::join!(consuming, watching);
    let mut taken: Vec<u32> = recorder.bodies().iter().map(|body| body.parse().unwrap()).collect();
    taken.sort_unstable();
    assert_eq!(taken, (0..100).filter(|number| number % 10 != 3).collect::<Vec<_>>());
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_nobody_wants_is_published_all_the_same() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let nobody = queues.name();

    assert!(
        transport
            .publish(message(&nobody, "1"), Routing::Optional)
            .await
            .is_ok()
    );

    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_with_one_id_are_all_published_and_each_gets_its_own_answer() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;

    let publishes = (0..50).map(|number| {
        let target = if number % 2 == 0 {
            name.clone()
        } else {
            format!("{name}-missing")
        };
        let mut message = message(&target, &number.to_string());
        message.properties.message_id = Some("the same".to_owned());
        let transport = transport.clone();
        async move { transport.publish(message, Routing::Mandatory).await.is_ok() }
    });
    let answers = join_all(publishes).await;

    assert!(answers.iter().enumerate().all(|(number, ok)| *ok == (number % 2 == 0)));
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 25);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_be_published_is_told_so_and_the_next_message_passes() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    let mut bad = message(&name, "bad");
    bad.properties.expiration = Some("soon".to_owned());
    let long = message(&"q".repeat(300), "long");

    let (bad, long, good) = tokio::join!(
        transport.publish(bad, Routing::Mandatory),
        transport.publish(long, Routing::Mandatory),
        transport.publish(message(&name, "good"), Routing::Mandatory),
    );

    let impossible = |answer: Result<(), PublishError>| match answer {
        Err(PublishError::Impossible(why)) => why,
        other => panic!("{other:?}"),
    };
    let bad = impossible(bad);
    assert!(bad.contains("invalid expiration"), "{bad}");
    assert_eq!(impossible(long), "the routing key is longer than 255 bytes");
    assert!(good.is_ok());
    transport.close().await;
    queues.clean_up().await;
}
