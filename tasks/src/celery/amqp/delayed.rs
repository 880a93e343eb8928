//! The exchanges and queues of Celery's native delayed delivery, made if they are missing.

use lapin::options::{ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};

use super::link::Session;
use super::topology::{TopologyError, answered, unavailable};
use super::values::short;
use crate::celery::protocol::delayed::{DELIVERY_EXCHANGE, LEVELS, level};

/// Where delayed messages arrive: a queue that is bound to an exchange.
pub(super) struct Target<'a> {
    pub(super) queue: &'a str,
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
}

/// Makes all levels, from the last to the first, and what is behind them. Doing it again changes nothing.
pub(super) async fn declare(session: &Session, target: &Target<'_>) -> Result<(), TopologyError> {
    let what = "the queues of delayed delivery";
    let channel = session.channel().await.map_err(|error| unavailable(what, error))?;
    let levels = Levels { channel, what };
    levels.exchange(DELIVERY_EXCHANGE).await?;
    for number in 0..LEVELS {
        let (name, next) = (level(number), number.checked_sub(1).map(level));
        let next = next.unwrap_or_else(|| DELIVERY_EXCHANGE.to_owned());
        let before = "*.".repeat(LEVELS - 1 - number);
        levels.exchange(&name).await?;
        levels.queue(&name, number, &next).await?;
        levels.bind_queue(&name, &name, &format!("{before}1.#")).await?;
        levels.bind_exchange(&next, &name, &format!("{before}0.#")).await?;
    }
    let key = format!("#.{}", target.routing_key);
    levels.bind_exchange(target.exchange, DELIVERY_EXCHANGE, &key).await?;
    levels.bind_queue(target.queue, target.exchange, &key).await
}

struct Levels {
    channel: Channel,
    what: &'static str,
}

impl Levels {
    async fn exchange(&self, name: &str) -> Result<(), TopologyError> {
        let options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let name = self.short(name)?;
        let declared = self
            .channel
            .exchange_declare(name, ExchangeKind::Topic, options, FieldTable::default());
        answered(self.what, declared).await
    }

    /// A message that has waited there goes on; none is lost on the way, and none is taken that would be.
    async fn queue(&self, name: &str, number: usize, next: &str) -> Result<(), TopologyError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let mut arguments = FieldTable::default();
        for (argument, value) in [
            ("x-queue-type", "quorum"),
            ("x-overflow", "reject-publish"),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-dead-letter-exchange", next),
        ] {
            arguments.insert(argument.into(), AMQPValue::LongString(value.into()));
        }
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(1000 << number));
        let declared = self.channel.queue_declare(self.short(name)?, options, arguments);
        answered(self.what, declared).await.map(drop)
    }

    async fn bind_queue(&self, queue: &str, exchange: &str, key: &str) -> Result<(), TopologyError> {
        let (queue, exchange, key) = (self.short(queue)?, self.short(exchange)?, self.short(key)?);
        let options = QueueBindOptions::default();
        let bound = self
            .channel
            .queue_bind(queue, exchange, key, options, FieldTable::default());
        answered(self.what, bound).await
    }

    async fn bind_exchange(&self, destination: &str, source: &str, key: &str) -> Result<(), TopologyError> {
        let (destination, source, key) = (self.short(destination)?, self.short(source)?, self.short(key)?);
        let options = ExchangeBindOptions::default();
        let bound = self
            .channel
            .exchange_bind(destination, source, key, options, FieldTable::default());
        answered(self.what, bound).await
    }

    fn short(&self, name: &str) -> Result<lapin::types::ShortString, TopologyError> {
        short("a name", name).map_err(|error| unavailable(self.what, error))
    }
}
