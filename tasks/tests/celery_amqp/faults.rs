//! Cut, silent and slow networks: nothing that was confirmed is lost, and everything comes back by itself.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lapin::types::{AMQPValue, FieldTable};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::transport::{PublishError, Routing, Transport as _};

use super::consume::{consume, publish_all};
use super::publish::{message, queue};
use crate::broker::{Queues, address, connect, consumed, options, transport, until, url_at};
use crate::handlers::Recorder;
use crate::proxy::{Faults, Proxy};

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_lose_nothing() {
    let proxy = Proxy::start(address().await).await;
    let transport = connect(options(url_at(proxy.address)));
    assert!(transport.ready(Duration::from_secs(10)).await);
    let mut queues = Queues::new().await;
    let name = queues.name();
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 10), recorder.clone(), &stop);
    consumed(&transport, &name).await;

    let publishing = async {
        let mut confirmed = HashSet::new();
        for round in 0..20_u32 {
            let numbers = round * 50..(round + 1) * 50;
            let publishes = numbers
                .clone()
                .map(|number| transport.publish(message(&name, &number.to_string()), Routing::Mandatory));
            for (number, answer) in numbers.clone().zip(join_all(publishes).await) {
                match answer {
                    Ok(()) => confirmed.insert(number.to_string()),
                    // The queue was there before the first publish, so this would be a wrong answer.
                    Err(never @ (PublishError::Unroutable { .. } | PublishError::Impossible(_))) => panic!("{never}"),
                    Err(PublishError::Unconfirmed(_) | PublishError::Refused { .. }) => false,
                };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        confirmed
    };
    let cutting = async {
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            proxy.cut();
        }
    };
    let (confirmed, ()) = tokio::join!(publishing, cutting);

    assert!(confirmed.len() >= 900, "{} confirmed", confirmed.len());
    until("every confirmed message", Duration::from_secs(15), async || {
        let taken: HashSet<_> = recorder.bodies().into_iter().collect();
        confirmed.is_subset(&taken)
    })
    .await;
    println!("{} confirmed, {} taken", confirmed.len(), recorder.count());
    assert!(recorder.most_in_hand.load(Ordering::SeqCst) <= 10);
    stop.cancel();
    consuming.await.unwrap();
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledgement_of_a_lost_session_takes_no_other_message() {
    let proxy = Proxy::start(address().await).await;
    let transport = connect(options(url_at(proxy.address)));
    let mut queues = Queues::new().await;
    let name = queues.classic().await;
    publish_all(&transport, &name, 0..20).await;
    let recorder = Arc::new(Recorder::with_permits(0));
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 4), recorder.clone(), &stop);
    until("a full hand", Duration::from_secs(10), async || {
        recorder.in_hand.load(Ordering::SeqCst) == 4
    })
    .await;

    proxy.cut();
    until("the loss", Duration::from_secs(5), async || {
        !transport.health().consuming
    })
    .await;
    until("a consumer again", Duration::from_secs(10), async || {
        transport.health().consuming
    })
    .await;
    recorder.permits.add_permits(4);
    until("the work of the lost session", Duration::from_secs(5), async || {
        recorder.count() == 4
    })
    .await;
    until("the next hand", Duration::from_secs(5), async || {
        recorder.in_hand.load(Ordering::SeqCst) == 4
    })
    .await;

    // Four were finished, but none was acknowledged in its own session: all twenty are still there.
    let plain = transport.queue_exists(&name).await.unwrap().unwrap();
    assert_eq!(plain.messages, 16);
    recorder.permits.add_permits(1000);
    until("all, four of them twice", Duration::from_secs(10), async || {
        recorder.count() == 24
    })
    .await;
    stop.cancel();
    consuming.await.unwrap();
    assert_eq!(recorder.bodies().into_iter().collect::<HashSet<_>>().len(), 20);
    assert_eq!(recorder.most_in_hand.load(Ordering::SeqCst), 4);
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_silent_while_connecting_is_given_up_and_tried_again() {
    let proxy = Proxy::start(address().await).await;
    proxy.fail(Faults {
        blackhole: true,
        ..Faults::default()
    });
    let mut options = options(url_at(proxy.address));
    options.connect_within = Duration::from_secs(1);
    options.publish_within = Duration::from_secs(6);
    let transport = connect(options);
    let started = Instant::now();

    let answer = transport.publish(message("nobody", "1"), Routing::Mandatory).await;

    assert!(
        matches!(&answer, Err(PublishError::Unconfirmed(why)) if why == "RabbitMQ is not reachable"),
        "{answer:?}"
    );
    assert!(started.elapsed() < Duration::from_secs(7));
    assert!(!transport.health().publishing);
    proxy.heal();
    assert!(transport.ready(Duration::from_secs(7)).await);
    until("only the connections in use", Duration::from_secs(5), async || {
        proxy.open() <= 1
    })
    .await;
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_falls_silent_is_noticed_by_its_heartbeats() {
    // At length as it is in service: heartbeats of ten seconds, and silence for a minute.
    let (heartbeat, noticed, silent) = match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => (10, 25, 60),
        None => (1, 5, 0),
    };
    let proxy = Proxy::start(address().await).await;
    let mut options = options(url_at(proxy.address));
    options.heartbeat = Duration::from_secs(heartbeat);
    options.connect_within = Duration::from_secs(heartbeat.min(5));
    options.publish_within = Duration::from_secs(2);
    let transport = connect(options);
    let mut queues = Queues::new().await;
    let name = queues.classic().await;
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 4), recorder.clone(), &stop);
    consumed(&transport, &name).await;

    proxy.fail(Faults {
        blackhole: true,
        ..Faults::default()
    });
    let since = Instant::now();
    let answer = transport.publish(message(&name, "1"), Routing::Mandatory).await;
    assert!(matches!(answer, Err(PublishError::Unconfirmed(_))), "{answer:?}");
    until("the loss", Duration::from_secs(noticed), async || {
        let health = transport.health();
        !health.publishing && !health.consuming
    })
    .await;
    println!("noticed after {:?}", since.elapsed());
    tokio::time::sleep(Duration::from_secs(silent).saturating_sub(since.elapsed())).await;

    proxy.heal();
    until("both connections", Duration::from_secs(10), async || {
        let health = transport.health();
        health.publishing && health.consuming
    })
    .await;
    transport
        .publish(message(&name, "2"), Routing::Mandatory)
        .await
        .unwrap();
    until("the message", Duration::from_secs(5), async || {
        recorder.bodies().contains(&"2".to_owned())
    })
    .await;
    stop.cancel();
    consuming.await.unwrap();
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_and_sliced_bytes_are_the_same_messages() {
    let proxy = Proxy::start(address().await).await;
    proxy.fail(Faults {
        latency: Duration::from_millis(2),
        slice: Some(7),
        ..Faults::default()
    });
    let transport = connect(options(url_at(proxy.address)));
    let mut queues = Queues::new().await;
    let name = queues.classic().await;
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 4), recorder.clone(), &stop);
    let bodies: HashSet<_> = (0..5).map(|number| format!("{number}").repeat(40_000)).collect();

    for body in &bodies {
        transport
            .publish(message(&name, body), Routing::Mandatory)
            .await
            .unwrap();
    }

    until("the messages", Duration::from_secs(20), async || recorder.count() == 5).await;
    assert_eq!(recorder.bodies().into_iter().collect::<HashSet<_>>(), bodies);
    stop.cancel();
    consuming.await.unwrap();
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_sixteen_mebibytes_passes() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 4), recorder.clone(), &stop);
    let body = "x".repeat(16 * 1024 * 1024);

    transport
        .publish(message(&name, &body), Routing::Mandatory)
        .await
        .unwrap();

    until("the message", Duration::from_secs(20), async || recorder.count() == 1).await;
    assert!(recorder.bodies() == [body]);
    stop.cancel();
    consuming.await.unwrap();
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_that_is_lost_ten_times_dead_letters_no_innocent() {
    let proxy = Proxy::start(address().await).await;
    let transport = connect(options(url_at(proxy.address)));
    let mut queues = Queues::new().await;
    let dead = queues.classic().await;
    let mut arguments = FieldTable::default();
    for (argument, value) in [
        ("x-queue-type", "quorum"),
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", dead.as_str()),
    ] {
        arguments.insert(argument.into(), AMQPValue::LongString(value.into()));
    }
    // What RabbitMQ 4 does by itself: at twenty it takes a message for poison.
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(20));
    let name = queues.make(arguments).await;
    publish_all(&transport, &name, 0..50).await;
    let recorder = Arc::new(Recorder::with_permits(0));
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 50), recorder.clone(), &stop);

    for _ in 0..10 {
        until("a consumer", Duration::from_secs(10), async || {
            transport.health().consuming
        })
        .await;
        proxy.cut();
        until("the loss", Duration::from_secs(5), async || {
            !transport.health().consuming
        })
        .await;
    }
    recorder.permits.add_permits(10_000);

    until("all messages", Duration::from_secs(20), async || {
        recorder.bodies().into_iter().collect::<HashSet<_>>().len() == 50
            && transport
                .queue_exists(&name)
                .await
                .is_ok_and(|it| it.is_some_and(|it| it.messages == 0))
    })
    .await;
    assert_eq!(transport.queue_exists(&dead).await.unwrap().unwrap().messages, 0);
    stop.cancel();
    consuming.await.unwrap();
    transport.close().await;
    queues.clean_up().await;
}
