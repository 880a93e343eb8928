//! The RabbitMQ that the tests run on, and a plain client to arrange it with.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::SecretString;
use uuid::Uuid;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::transport::Transport as _;

/// Where the tests' RabbitMQ is.
pub(crate) fn url() -> String {
    std::env::var("WAYBILL_TEST_AMQP_URL")
        .expect("WAYBILL_TEST_AMQP_URL is not set: run `make test`, which starts the services")
}

/// Its address, for a proxy.
pub(crate) async fn address() -> SocketAddr {
    let uri: AMQPUri = url().parse().expect("WAYBILL_TEST_AMQP_URL is an AMQP URL");
    let mut found = tokio::net::lookup_host((uri.authority.host, uri.authority.port))
        .await
        .expect("a host");
    found.next().expect("an address")
}

/// The same broker behind another address.
pub(crate) fn url_at(address: SocketAddr) -> String {
    let mut uri: AMQPUri = url().parse().expect("WAYBILL_TEST_AMQP_URL is an AMQP URL");
    uri.authority.host = address.ip().to_string();
    uri.authority.port = address.port();
    uri.to_string()
}

/// A transport that is connected.
pub(crate) async fn transport() -> Arc<AmqpTransport> {
    let transport = connect(options(url()));
    assert!(transport.ready(Duration::from_secs(10)).await, "RabbitMQ answers");
    transport
}

/// The usual options.
pub(crate) fn options(url: String) -> AmqpOptions {
    AmqpOptions::new(SecretString::from(url), "waybill-test")
}

/// A transport that is connecting.
pub(crate) fn connect(options: AmqpOptions) -> Arc<AmqpTransport> {
    AmqpTransport::connect(options).expect("an AMQP URL")
}

/// Queues of a test's own, deleted in the end.
pub(crate) struct Queues {
    connection: Connection,
    names: Vec<String>,
}

impl Queues {
    /// None yet.
    pub(crate) async fn new() -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default())
            .await
            .expect("RabbitMQ answers");
        Self {
            connection,
            names: Vec::new(),
        }
    }

    /// A name that nobody else uses. The queue is deleted in the end, whoever makes it.
    pub(crate) fn name(&mut self) -> String {
        let name = format!("waybill-test-{}", Uuid::new_v4());
        self.names.push(name.clone());
        name
    }

    /// A queue with arguments.
    pub(crate) async fn make(&mut self, arguments: FieldTable) -> String {
        let name = self.name();
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        self.channel()
            .await
            .queue_declare(name.as_str().into(), durable, arguments)
            .await
            .expect("declared");
        name
    }

    /// A classic queue.
    pub(crate) async fn classic(&mut self) -> String {
        self.make(FieldTable::default()).await
    }

    /// A quorum queue.
    pub(crate) async fn quorum(&mut self) -> String {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        self.make(arguments).await
    }

    /// A channel of the plain client.
    pub(crate) async fn channel(&self) -> Channel {
        self.connection.create_channel().await.expect("a channel")
    }

    /// Deletes a queue under whoever consumes it.
    pub(crate) async fn delete(&self, name: &str) {
        let deleted = self
            .channel()
            .await
            .queue_delete(name.into(), QueueDeleteOptions::default())
            .await;
        deleted.expect("deleted");
    }

    /// Deletes all of them.
    pub(crate) async fn clean_up(self) {
        for name in &self.names {
            // A queue that was never made is deleted too, says RabbitMQ.
            let _ = self
                .channel()
                .await
                .queue_delete(name.as_str().into(), QueueDeleteOptions::default())
                .await;
        }
    }
}

/// Waits until a queue has a consumer.
pub(crate) async fn consumed(transport: &AmqpTransport, name: &str) {
    until("a consumer", Duration::from_secs(10), async || {
        let status = transport.queue_exists(name).await.expect("an answer");
        transport.health().consuming && status.is_some_and(|status| status.consumers > 0)
    })
    .await;
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, within: Duration, holds: impl Fn() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(within, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what} within {within:?}"));
}
