//! What kombu does to ask a worker, and to watch one: written on the plain client, so that both sides are not ours.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::broker::url;

/// Somebody outside.
pub(crate) struct Client {
    _connection: Connection,
    channel: Channel,
    oid: String,
    replies: Consumer,
}

impl Client {
    pub(crate) async fn connect() -> Self {
        let connection = Connection::connect(&url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        for (name, kind) in [
            ("celery.pidbox", ExchangeKind::Fanout),
            ("reply.celery.pidbox", ExchangeKind::Direct),
        ] {
            let options = ExchangeDeclareOptions::default();
            channel
                .exchange_declare(name.into(), kind, options, FieldTable::default())
                .await
                .unwrap();
        }
        let oid = Uuid::new_v4().to_string();
        let queue = format!("{oid}.reply.celery.pidbox");
        let replies = listen(&channel, &queue, "reply.celery.pidbox", &oid).await;
        Self {
            _connection: connection,
            channel,
            oid,
            replies,
        }
    }

    /// Asks one node; the answer, or nothing within two seconds.
    pub(crate) async fn ask(&mut self, node: &str, method: &str, arguments: Value) -> Option<Value> {
        let ticket = self.broadcast(json!([node]), method, &arguments).await;
        self.answer(node, &ticket).await
    }

    /// Sends a command; answers its ticket.
    pub(crate) async fn broadcast(&self, destination: Value, method: &str, arguments: &Value) -> String {
        let reply_to = json!({"exchange": "reply.celery.pidbox", "routing_key": self.oid});
        self.send(destination, method, arguments, reply_to).await
    }

    /// Sends a command to one node, and wants no answer.
    pub(crate) async fn tell(&self, node: &str, method: &str, arguments: &Value) {
        self.send(json!([node]), method, arguments, Value::Null).await;
    }

    async fn send(&self, destination: Value, method: &str, arguments: &Value, reply_to: Value) -> String {
        let ticket = Uuid::new_v4().to_string();
        let body = json!({
            "method": method, "arguments": arguments, "destination": destination, "pattern": null, "matcher": null,
            "ticket": ticket, "reply_to": reply_to,
        });
        let mut headers = FieldTable::default();
        headers.insert("clock".into(), AMQPValue::LongInt(1000));
        headers.insert("expires".into(), AMQPValue::LongInt(0));
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_headers(headers);
        let options = BasicPublishOptions::default();
        let body = body.to_string();
        let sent = self
            .channel
            .basic_publish("celery.pidbox".into(), "".into(), options, body.as_bytes(), properties);
        sent.await.unwrap();
        ticket
    }

    /// The answer of a node to that ticket.
    pub(crate) async fn answer(&mut self, node: &str, ticket: &str) -> Option<Value> {
        let waiting = async {
            while let Some(Ok(reply)) = self.replies.next().await {
                let headers = reply.properties.headers().clone().unwrap_or_default();
                let given = headers
                    .inner()
                    .get("ticket")
                    .and_then(AMQPValue::as_long_string)
                    .map(ToString::to_string);
                let body: Map<String, Value> = serde_json::from_slice(&reply.data).unwrap();
                if given.as_deref() == Some(ticket) && body.contains_key(node) {
                    assert!(headers.inner().contains_key("clock"), "{headers:?}");
                    return body[node].clone();
                }
            }
            panic!("the broker cancelled the replies")
        };
        tokio::time::timeout(Duration::from_secs(2), waiting).await.ok()
    }

    /// Watches the events of a node.
    pub(crate) async fn watch(&self, node: &str) -> Watch {
        let durable = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared =
            self.channel
                .exchange_declare("celeryev".into(), ExchangeKind::Topic, durable, FieldTable::default());
        declared.await.unwrap();
        let queue = format!("celeryev.{}", Uuid::new_v4());
        Watch {
            node: node.to_owned(),
            consumer: listen(&self.channel, &queue, "celeryev", "#").await,
            seen: Vec::new(),
        }
    }
}

async fn listen(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Consumer {
    let own = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    channel
        .queue_declare(queue.into(), own, FieldTable::default())
        .await
        .unwrap();
    let bound = channel.queue_bind(
        queue.into(),
        exchange.into(),
        key.into(),
        QueueBindOptions::default(),
        FieldTable::default(),
    );
    bound.await.unwrap();
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    channel
        .basic_consume(queue.into(), "".into(), options, FieldTable::default())
        .await
        .unwrap()
}

/// The events of one node, in the order in which they came.
pub(crate) struct Watch {
    node: String,
    consumer: Consumer,
    pub(crate) seen: Vec<Value>,
}

impl Watch {
    /// Waits until what was seen is enough.
    pub(crate) async fn until(&mut self, what: &str, enough: impl Fn(&[Value]) -> bool) {
        let watching = async {
            while !enough(&self.seen) {
                let event = self.consumer.next().await.unwrap().unwrap();
                let (key, batch) = (
                    event.routing_key.to_string(),
                    serde_json::from_slice(&event.data).unwrap(),
                );
                let events = match batch {
                    Value::Array(events) => {
                        assert_eq!(key, "task.multi");
                        events
                    }
                    event => {
                        assert_eq!(key, event["type"].as_str().unwrap().replace('-', "."));
                        vec![event]
                    }
                };
                self.seen.extend(
                    events
                        .into_iter()
                        .filter(|event| event["hostname"] == self.node.as_str()),
                );
            }
        };
        let watched = tokio::time::timeout(Duration::from_secs(15), watching).await;
        assert!(watched.is_ok(), "{what}; seen: {:?}", self.types());
    }

    pub(crate) fn types(&self) -> Vec<&str> {
        self.seen.iter().map(|event| event["type"].as_str().unwrap()).collect()
    }
}
