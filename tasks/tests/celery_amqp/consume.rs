//! Consuming: at most a prefetch in hand, nothing lost when it stops or is interrupted.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::future::join_all;
use lapin::types::{AMQPValue, FieldTable};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::amqp::AmqpTransport;
use waybill_tasks::celery::transport::{Delivery, Handler, Queue, Receipt, Routing, Transport as _, Verdict};

use super::publish::{message, queue};
use crate::broker::{Queues, consumed, transport, until};
use crate::handlers::Recorder;

pub(crate) fn consume(
    transport: &Arc<AmqpTransport>,
    queue: Queue,
    handler: Arc<dyn Handler>,
    stop: &CancellationToken,
) -> JoinHandle<()> {
    let (transport, stop) = (transport.clone(), stop.clone());
    tokio::spawn(async move { transport.consume(queue, handler, stop.into()).await })
}

pub(crate) async fn publish_all(transport: &Arc<AmqpTransport>, name: &str, bodies: impl Iterator<Item = u32>) {
    let publishes = bodies.map(|body| transport.publish(message(name, &body.to_string()), Routing::Mandatory));
    for answer in join_all(publishes).await {
        answer.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_prefetch_is_ever_in_hand() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    publish_all(&transport, &name, 0..200).await;
    let recorder = Arc::new(Recorder::with_permits(0));
    let stop = CancellationToken::new();

    let consuming = consume(&transport, queue(&name, 7), recorder.clone(), &stop);
    until("a full hand", Duration::from_secs(5), async || {
        recorder.in_hand.load(Ordering::SeqCst) == 7
    })
    .await;
    let status = transport.queue_exists(&name).await.unwrap().unwrap();
    assert_eq!((status.messages, status.consumers), (193, 1));
    recorder.permits.add_permits(1000);
    until("all messages", Duration::from_secs(10), async || {
        recorder.count() == 200
    })
    .await;

    stop.cancel();
    consuming.await.unwrap();
    assert_eq!(recorder.most_in_hand.load(Ordering::SeqCst), 7);
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}

/// Takes each message out of its queue before it begins.
struct Early(Recorder);

#[async_trait]
impl Handler for Early {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        self.0.handle(delivery).await
    }

    async fn handle_with(&self, delivery: &Delivery, receipt: &Receipt) -> Verdict {
        receipt.acknowledge();
        self.handle(delivery).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_early_makes_room_for_the_next() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    publish_all(&transport, &name, 0..5).await;
    let early = Arc::new(Early(Recorder::with_permits(0)));
    let stop = CancellationToken::new();

    let consuming = consume(&transport, queue(&name, 2), early.clone(), &stop);

    until("all at work", Duration::from_secs(10), async || {
        early.0.in_hand.load(Ordering::SeqCst) == 5
    })
    .await;
    early.0.permits.add_permits(5);
    stop.cancel();
    consuming.await.unwrap();
    assert_eq!(early.0.count(), 5);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_is_in_hand_and_leaves_the_rest_in_the_queue() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    publish_all(&transport, &name, 0..30).await;
    let recorder = Arc::new(Recorder::with_permits(0));
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 5), recorder.clone(), &stop);
    until("a full hand", Duration::from_secs(5), async || {
        recorder.in_hand.load(Ordering::SeqCst) == 5
    })
    .await;

    stop.cancel();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!consuming.is_finished());
    recorder.permits.add_permits(1000);
    consuming.await.unwrap();

    assert_eq!(recorder.count(), 5);
    let left = transport.queue_exists(&name).await.unwrap().unwrap();
    assert_eq!((left.messages, left.consumers), (25, 0));
    transport.close().await;
    queues.clean_up().await;
}

/// Finishes messages in another order than they came: each is acknowledged for itself.
struct Shuffling(Recorder);

#[async_trait]
impl Handler for Shuffling {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..20))).await;
        self.0.handle(delivery).await
    }
}

/// A quorum queue takes only so many acknowledgements at once; RabbitMQ holds the rest back in the channel, and forgets them with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_finished_before_a_stop_does_not_come_again_from_a_quorum_queue() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    publish_all(&transport, &name, 0..6_000).await;

    let mut taken = 0;
    for _ in 0..8 {
        let handler = Arc::new(Shuffling(Recorder::new()));
        let stop = CancellationToken::new();
        let consuming = consume(&transport, queue(&name, 400), handler.clone(), &stop);
        until("a part of them", Duration::from_secs(20), async || {
            handler.0.count() >= 300
        })
        .await;
        stop.cancel();
        consuming.await.unwrap();
        taken += handler.0.count();

        until("what is left", Duration::from_secs(10), async || {
            let left = transport.queue_exists(&name).await.unwrap().unwrap();
            left.messages as usize + taken == 6_000
        })
        .await;
    }
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_given_back_comes_again_slower_each_time() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.classic().await;
    publish_all(&transport, &name, 0..1).await;
    let recorder = Arc::new(Recorder::new());
    *recorder.verdict.lock().unwrap() = Verdict::Requeue;
    let stop = CancellationToken::new();
    let started = Instant::now();

    let consuming = consume(&transport, queue(&name, 5), recorder.clone(), &stop);
    until("the fourth time", Duration::from_secs(10), async || {
        recorder.count() == 4
    })
    .await;
    assert!(
        started.elapsed() > Duration::from_millis(700),
        "{:?}",
        started.elapsed()
    );
    *recorder.verdict.lock().unwrap() = Verdict::Ack;
    until("the last time", Duration::from_secs(10), async || recorder.count() == 5).await;

    stop.cancel();
    consuming.await.unwrap();
    let redelivered: Vec<_> = recorder
        .taken
        .lock()
        .unwrap()
        .iter()
        .map(|taken| taken.redelivered)
        .collect();
    assert_eq!(redelivered, [false, true, true, true, true]);
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}

/// RabbitMQ 4.0 to 4.2 delete from a quorum queue what came back twenty times, unless somebody says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_wait_does_not_use_up_how_often_its_queue_hands_it_out() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1));
    let name = queues.make(arguments).await;
    publish_all(&transport, &name, 0..1).await;
    let recorder = Arc::new(Recorder::new());
    *recorder.verdict.lock().unwrap() = Verdict::Wait;
    let stop = CancellationToken::new();

    let consuming = consume(&transport, queue(&name, 5), recorder.clone(), &stop);
    until("the sixth time", Duration::from_secs(20), async || {
        recorder.count() == 6
    })
    .await;
    *recorder.verdict.lock().unwrap() = Verdict::Ack;
    until("the last time", Duration::from_secs(20), async || recorder.count() == 7).await;

    stop.cancel();
    consuming.await.unwrap();
    assert!(recorder.taken.lock().unwrap()[6].redelivered);
    assert_eq!(transport.queue_exists(&name).await.unwrap().unwrap().messages, 0);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_to_wait_goes_back_when_its_consumer_leaves() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    publish_all(&transport, &name, 0..3).await;
    let recorder = Arc::new(Recorder::new());
    *recorder.verdict.lock().unwrap() = Verdict::Wait;
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 5), recorder.clone(), &stop);
    until("all three tried", Duration::from_secs(5), async || {
        recorder.count() >= 3
    })
    .await;

    stop.cancel();
    consuming.await.unwrap();

    until("all three back", Duration::from_secs(5), async || {
        transport.queue_exists(&name).await.unwrap().unwrap().messages == 3
    })
    .await;
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_deleted_is_made_again_with_its_bindings() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.name();
    let exchange = format!("{name}-exchange");
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let bound = Queue {
        bindings: vec![(exchange.clone(), "payment.*".to_owned())],
        ..queue(&name, 5)
    };
    let consuming = consume(&transport, bound, recorder.clone(), &stop);
    consumed(&transport, &name).await;

    queues.delete(&name).await;
    let deleted = Instant::now();
    until("the loss", Duration::from_secs(5), async || {
        !transport.health().consuming
    })
    .await;
    until("a consumer again", Duration::from_secs(5), async || {
        transport.health().consuming
    })
    .await;
    println!("consuming again after {:?}", deleted.elapsed());
    let mut event = message("payment.succeeded", "1");
    event.exchange = exchange.clone();
    transport.publish(event, Routing::Mandatory).await.unwrap();

    until("the message", Duration::from_secs(5), async || recorder.count() == 1).await;
    stop.cancel();
    consuming.await.unwrap();
    let channel = queues.channel().await;
    channel
        .exchange_delete(
            exchange.as_str().into(),
            lapin::options::ExchangeDeleteOptions::default(),
        )
        .await
        .unwrap();
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_consumers_share_a_queue_and_a_loss_of_one_queue_leaves_the_other_alone() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let (first, second) = (queues.classic().await, queues.classic().await);
    let (one, two) = (Arc::new(Recorder::new()), Arc::new(Recorder::new()));
    let stop = CancellationToken::new();
    let consuming = [
        consume(&transport, queue(&first, 5), one.clone(), &stop),
        consume(&transport, queue(&second, 5), two.clone(), &stop),
    ];
    consumed(&transport, &first).await;
    consumed(&transport, &second).await;

    queues.delete(&first).await;
    publish_all(&transport, &second, 0..100).await;

    until("the other's messages", Duration::from_secs(5), async || {
        two.count() == 100
    })
    .await;
    until("the first again", Duration::from_secs(5), async || {
        transport.health().consuming
    })
    .await;
    publish_all(&transport, &first, 0..100).await;
    until("its messages", Duration::from_secs(5), async || one.count() == 100).await;
    assert_eq!(one.bodies().into_iter().collect::<HashSet<_>>().len(), 100);
    stop.cancel();
    for consuming in consuming {
        consuming.await.unwrap();
    }
    transport.close().await;
    queues.clean_up().await;
}
