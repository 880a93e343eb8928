//! What is there is used as it is, what is missing is made.

use std::time::Duration;

use lapin::types::{AMQPValue, FieldTable};
use waybill_tasks::celery::amqp::QueueKind;
use waybill_tasks::celery::transport::Transport as _;

use crate::broker::{Queues, transport, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_type_of_a_queue_is_told_and_an_absent_queue_stays_absent() {
    let (transport, mut queues) = (transport().await, Queues::new().await);
    let mut limited = FieldTable::default();
    limited.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    limited.insert("x-max-length".into(), AMQPValue::LongInt(1000));
    let (classic, quorum, limited) = (
        queues.classic().await,
        queues.quorum().await,
        queues.make(limited).await,
    );
    let absent = queues.name();

    let mut kinds = Vec::new();
    for name in [&classic, &quorum, &limited] {
        kinds.push(transport.queue_exists(name).await.unwrap().unwrap().kind);
    }

    let other = QueueKind::Other {
        argument: "x-max-length".to_owned(),
    };
    assert_eq!(kinds, [QueueKind::Classic, QueueKind::Quorum, other]);
    assert_eq!(transport.queue_exists(&absent).await.unwrap(), None);
    assert_eq!(transport.queue_exists(&absent).await.unwrap(), None);
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_of_another_type_is_used_as_it_is() {
    let (transport, queues) = (transport().await, Queues::new().await);

    transport.declare_exchange("amq.direct").await.unwrap();
    let refused = transport.declare_exchange("amq.waybill-test").await.unwrap_err();

    assert!(refused.to_string().contains("exchange amq.waybill-test"), "{refused}");
    transport.close().await;
    queues.clean_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_known_by_name_and_version() {
    let transport = transport().await;

    until("a name", Duration::from_secs(5), async || {
        transport.health().server.starts_with("RabbitMQ ")
    })
    .await;

    let health = transport.health();
    assert!(health.publishing && health.consuming, "{health:?}");
    transport.close().await;
}
