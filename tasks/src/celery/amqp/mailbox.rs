//! What events, remote control and beat need of RabbitMQ beyond tasks: queues that end with their connection, and messages
//! whose arrival nobody waits for.

use futures_util::StreamExt as _;
use lapin::message::Delivery as Received;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::link::{ANSWER, Link, Session};
use super::topology;
use super::values::{from_wire, short, table_to_wire};
use crate::celery::message::{Headers, Message};
use crate::celery::transport::Queue;

/// A connection for mail, now and in the future.
#[derive(Debug, Clone)]
pub struct Mailbox {
    link: Link,
}

/// A channel of that connection, while it lasts.
#[derive(Debug)]
pub struct MailChannel {
    session: Session,
    channel: Channel,
}

/// JSON to be sent without waiting for it.
#[derive(Debug, Clone, Default)]
pub struct Mail {
    /// The exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The headers.
    pub headers: Headers,
    /// The JSON.
    pub body: Vec<u8>,
}

/// What comes into a queue, acknowledged by coming.
pub struct Incoming(lapin::Consumer);

/// A message that was fetched, and is not acknowledged yet.
#[derive(Debug)]
pub struct Fetched {
    /// The message.
    pub message: Message,
    acker: lapin::Acker,
}

/// Why mail cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    /// The queue belongs to another connection.
    #[error("queue {0} belongs to another connection")]
    InUse(String),
    /// The broker or the connection says no.
    #[error("{0}")]
    Failed(String),
}

/// How the broker treats a queue of ours that ends with its connection. Zero leaves a limit out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnQueue {
    /// It goes after so many milliseconds without a consumer.
    pub expires: i32,
    /// A message in it goes after so many milliseconds.
    pub message_ttl: i32,
}

impl Mailbox {
    pub(super) fn new(link: Link) -> Self {
        Self { link }
    }

    /// Waits for a connection and opens a channel; `None` when the transport is closed.
    pub async fn open(&mut self) -> Option<Result<MailChannel, MailError>> {
        let session = self.link.ready().await?;
        let opened = session.channel().await.map_err(MailError::Failed);
        Some(opened.map(|channel| MailChannel { session, channel }))
    }
}

impl MailChannel {
    /// Another channel of the same connection: an error on one leaves the other.
    pub async fn another(&self) -> Result<Self, MailError> {
        let channel = self.session.channel().await.map_err(MailError::Failed)?;
        let session = self.session.clone();
        Ok(Self { session, channel })
    }

    /// Returns when nothing can be done here any more.
    pub async fn ended(&self) {
        self.session.end_of(&self.channel).await;
    }

    /// Whether nothing can be done here any more.
    pub fn is_over(&self) -> bool {
        !(self.session.connected() && self.channel.status().connected())
    }

    /// The broker takes nothing at the moment: what is sent now would wait in our memory.
    pub fn blocked(&self) -> bool {
        self.session.blocked()
    }

    /// Makes an exchange, if there is none of that name.
    pub async fn declare_exchange(&self, name: &str, kind: &str, durable: bool) -> Result<(), MailError> {
        let kind = match kind {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            other => ExchangeKind::Custom(other.to_owned()),
        };
        let options = ExchangeDeclareOptions {
            durable,
            ..ExchangeDeclareOptions::default()
        };
        let declared = self
            .channel
            .exchange_declare(text(name)?, kind, options, FieldTable::default());
        answered(name, declared).await
    }

    /// Makes a queue that belongs to this connection and ends with it.
    pub async fn own_queue(&self, name: &str, options: OwnQueue) -> Result<(), MailError> {
        let declared = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        for (argument, milliseconds) in [("x-expires", options.expires), ("x-message-ttl", options.message_ttl)] {
            if milliseconds > 0 {
                arguments.insert(argument.into(), AMQPValue::LongInt(milliseconds));
            }
        }
        answered(name, self.channel.queue_declare(text(name)?, declared, arguments))
            .await
            .map(drop)
    }

    /// Makes a durable quorum queue that keeps the newest message and drops the one before.
    pub async fn shelf(&self, name: &str) -> Result<(), MailError> {
        let durable = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        arguments.insert("x-max-length".into(), AMQPValue::LongInt(1));
        answered(name, self.channel.queue_declare(text(name)?, durable, arguments))
            .await
            .map(drop)
    }

    /// Makes a task queue consumable that is bound to an exchange of any type.
    pub async fn task_queue(&self, name: &str, exchange: &str, kind: &str, key: &str) -> Result<(), MailError> {
        let queue = Queue {
            name: name.to_owned(),
            bindings: Vec::new(),
            prefetch: 1,
        };
        let ensured = topology::ensure(&self.session, &queue).await;
        ensured.map_err(|error| MailError::Failed(error.to_string()))?;
        self.declare_exchange(exchange, kind, true).await?;
        self.bind(name, exchange, key).await
    }

    /// Binds a queue.
    pub async fn bind(&self, queue: &str, exchange: &str, key: &str) -> Result<(), MailError> {
        let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let bound = self
            .channel
            .queue_bind(text(queue)?, text(exchange)?, text(key)?, options, arguments);
        answered(queue, bound).await
    }

    /// Takes what comes into a queue.
    pub async fn listen(&self, queue: &str) -> Result<Incoming, MailError> {
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let consumed = self
            .channel
            .basic_consume(text(queue)?, "".into(), options, FieldTable::default());
        answered(queue, consumed).await.map(Incoming)
    }

    /// Fetches one message of a queue, if there is one.
    pub async fn fetch(&self, queue: &str) -> Result<Option<Fetched>, MailError> {
        let got = self.channel.basic_get(text(queue)?, BasicGetOptions::default());
        let got = answered(queue, got).await?;
        Ok(got.map(|got| {
            let delivery: Received = got.delivery;
            let acker = delivery.acker.clone();
            let message = from_wire(delivery);
            Fetched { message, acker }
        }))
    }

    /// Sends, and waits for nothing.
    pub async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        let failed = |error: &dyn std::fmt::Display| MailError::Failed(error.to_string());
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(1)
            .with_priority(0)
            .with_headers(table_to_wire(&mail.headers).map_err(|error| failed(&error))?);
        let (exchange, key) = (text(&mail.exchange)?, text(&mail.routing_key)?);
        let options = BasicPublishOptions::default();
        let sent = self
            .channel
            .basic_publish(exchange, key, options, &mail.body, properties);
        match timeout(ANSWER, sent).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(failed(&error)),
            Err(_) => Err(MailError::Failed(format!("not sent within {ANSWER:?}"))),
        }
    }

    /// Closes the channel: what was sent on it has reached the broker then.
    pub async fn close(&self) {
        // Out of time or already closed: there is nothing left to close.
        let _ = timeout(ANSWER, self.channel.close(200, "done".into())).await;
    }
}

impl Incoming {
    /// The next message; `None` when there will be no more.
    pub async fn next(&mut self) -> Option<Message> {
        Some(from_wire(self.0.next().await?.ok()?))
    }
}

impl Fetched {
    /// It is not needed any more.
    pub async fn acknowledge(self) {
        // If the connection is lost, it comes again, which is what an unacknowledged message is for.
        let _ = self.acker.ack(BasicAckOptions::default()).await;
    }
}

fn text(name: &str) -> Result<lapin::types::ShortString, MailError> {
    short("a name", name).map_err(|error| MailError::Failed(error.to_string()))
}

async fn answered<T>(what: &str, asked: impl Future<Output = lapin::Result<T>>) -> Result<T, MailError> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) if is_locked(&error) => Err(MailError::InUse(what.to_owned())),
        Ok(Err(error)) => Err(MailError::Failed(format!("{what}: {error}"))),
        Err(_) => Err(MailError::Failed(format!("{what}: no answer within {ANSWER:?}"))),
    }
}

fn is_locked(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(refused)
        if refused.kind() == &AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED))
}
