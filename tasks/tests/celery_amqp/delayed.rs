//! Celery's native delayed delivery: what is sent by way of its levels arrives in its time, and not before.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::protocol::delayed::{delayed, stripped};
use waybill_tasks::celery::transport::{Routing, Transport as _};

use super::consume::consume;
use super::publish::{message, queue};
use crate::broker::{Queues, transport, until};
use crate::handlers::Recorder;

#[tokio::test(flavor = "multi_thread")]
async fn a_delayed_message_arrives_when_it_is_due() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let name = queues.quorum().await;
    let exchange = format!("{name}-exchange");
    transport.declare_exchange(&exchange).await.unwrap();
    transport.declare_delayed(&name, &exchange, &name).await.unwrap();
    transport.declare_delayed(&name, &exchange, &name).await.unwrap();
    let recorder = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let consuming = consume(&transport, queue(&name, 5), recorder.clone(), &stop);

    let (sent, now) = (Instant::now(), Utc::now());
    let mut late = message(&name, "late");
    late.exchange = exchange.clone();
    let late = delayed(late, now + TimeDelta::seconds(3), now);
    transport.publish(late, Routing::Mandatory).await.unwrap();

    until("the message", Duration::from_secs(30), async || recorder.count() == 1).await;
    assert!(sent.elapsed() >= Duration::from_secs(3), "{:?}", sent.elapsed());
    let arrived = recorder.taken.lock().unwrap()[0].message.clone();
    assert_eq!(stripped(&arrived.routing_key), Some(name.as_str()));
    stop.cancel();
    consuming.await.unwrap();
    let options = lapin::options::ExchangeDeleteOptions::default();
    let deleted = queues
        .channel()
        .await
        .exchange_delete(exchange.as_str().into(), options)
        .await;
    deleted.unwrap();
    transport.close().await;
    queues.clean_up().await;
}
