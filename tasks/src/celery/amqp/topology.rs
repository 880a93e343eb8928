//! Exchanges and queues: looked at first, made if missing, and never changed.

use std::fmt;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{ErrorKind, ExchangeKind};
use tokio::time::timeout;
use tracing::{info, warn};

use super::link::{ANSWER, Session};
use super::values::short;
use crate::celery::transport::Queue;

/// What a queue is at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueStatus {
    /// Ready to be delivered.
    pub messages: u32,
    /// Who consumes it.
    pub consumers: u32,
    /// Of which type it is.
    pub kind: QueueKind,
}

/// The type of a queue, as far as AMQP lets one ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueKind {
    /// As we make them: quorum, without other arguments.
    Quorum,
    /// Classic: its messages do not survive the loss of a node.
    Classic,
    /// It was made with an argument that we do not use, which hides its type.
    Other {
        /// The first such argument.
        argument: String,
    },
}

impl fmt::Display for QueueKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Quorum => formatter.write_str("quorum"),
            Self::Classic => formatter.write_str("classic"),
            Self::Other { argument } => write!(formatter, "with another {argument}"),
        }
    }
}

/// Why the broker's topology is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// The broker does not let us.
    #[error("{what}: the broker refuses access: {text}")]
    Refused {
        /// The exchange or queue.
        what: String,
        /// The broker's words.
        text: String,
    },
    /// It is there, but is something else.
    #[error("{what} is there with another {argument}: {text}")]
    Mismatch {
        /// The exchange or queue.
        what: String,
        /// The argument or property that differs.
        argument: String,
        /// The broker's words.
        text: String,
    },
    /// It is missing.
    #[error("{what} is missing: {text}")]
    Missing {
        /// The exchange or queue.
        what: String,
        /// The broker's words.
        text: String,
    },
    /// The broker does not answer, or not in a way that we know.
    #[error("{what}: {text}")]
    Unavailable {
        /// The exchange or queue.
        what: String,
        /// What happened.
        text: String,
    },
}

/// Makes a queue consumable: passively first; if missing, as a quorum queue; bound to its topic exchanges.
pub(super) async fn ensure(session: &Session, queue: &Queue) -> Result<QueueKind, TopologyError> {
    if passive(session, &queue.name).await?.is_none() {
        declare_quorum(session, &queue.name).await?;
        info!(queue = %queue.name, "made the quorum queue {}", queue.name);
    }
    for (exchange, routing_key) in &queue.bindings {
        declare_exchange(session, exchange).await?;
        bind(session, &queue.name, exchange, routing_key).await?;
    }
    kind(session, &queue.name).await
}

/// A durable topic exchange. One of another type stays as it is: what is bound to it still arrives.
pub(super) async fn declare_exchange(session: &Session, name: &str) -> Result<(), TopologyError> {
    let declare = |passive| async move {
        let options = ExchangeDeclareOptions {
            passive,
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let what = format!("exchange {name}");
        let exchange = short("an exchange's name", name).map_err(|error| unavailable(&what, error))?;
        let channel = session.channel().await.map_err(|error| unavailable(&what, error))?;
        let declared = channel.exchange_declare(exchange, ExchangeKind::Topic, options, FieldTable::default());
        answered(&what, declared).await
    };
    match declare(false).await {
        Err(error @ (TopologyError::Mismatch { .. } | TopologyError::Refused { .. })) => {
            declare(true).await?;
            warn!(exchange = %name, "exchange {name} is used as it is: {error}");
            Ok(())
        }
        other => other,
    }
}

/// Messages, consumers and type of a queue; `None` if there is none of that name.
pub(super) async fn status(session: &Session, name: &str) -> Result<Option<QueueStatus>, TopologyError> {
    let Some((messages, consumers)) = passive(session, name).await? else {
        return Ok(None);
    };
    let kind = kind(session, name).await?;
    Ok(Some(QueueStatus {
        messages,
        consumers,
        kind,
    }))
}

async fn passive(session: &Session, name: &str) -> Result<Option<(u32, u32)>, TopologyError> {
    match declare_queue(session, name, true).await {
        Ok(counts) => Ok(Some(counts)),
        Err(TopologyError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A queue as a Python producer makes it that is told to send to one that is missing: later declarations of Python's fit it.
pub(super) async fn ensure_classic(session: &Session, name: &str) -> Result<(), TopologyError> {
    if passive(session, name).await?.is_none() {
        declare_with(session, name, false, FieldTable::default()).await?;
        info!(queue = %name, "made the classic queue {name}, which a task was to be sent to");
    }
    Ok(())
}

async fn declare_quorum(session: &Session, name: &str) -> Result<(u32, u32), TopologyError> {
    declare_queue(session, name, false).await
}

/// AMQP has no question for a queue's type. Declaring the queue that is there as ours changes nothing, and the refusal tells.
async fn kind(session: &Session, name: &str) -> Result<QueueKind, TopologyError> {
    match declare_quorum(session, name).await {
        Ok(_) => Ok(QueueKind::Quorum),
        Err(TopologyError::Mismatch { argument, .. }) if argument == "x-queue-type" => Ok(QueueKind::Classic),
        Err(TopologyError::Mismatch { argument, .. }) => Ok(QueueKind::Other { argument }),
        Err(TopologyError::Refused { .. }) => Ok(QueueKind::Other {
            argument: "owner".to_owned(),
        }),
        Err(error) => Err(error),
    }
}

async fn declare_queue(session: &Session, name: &str, passive: bool) -> Result<(u32, u32), TopologyError> {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    declare_with(session, name, passive, arguments).await
}

async fn declare_with(
    session: &Session,
    name: &str,
    passive: bool,
    arguments: FieldTable,
) -> Result<(u32, u32), TopologyError> {
    let what = format!("queue {name}");
    let queue = short("a queue's name", name).map_err(|error| unavailable(&what, error))?;
    let channel = session.channel().await.map_err(|error| unavailable(&what, error))?;
    let options = QueueDeclareOptions {
        passive,
        durable: true,
        ..QueueDeclareOptions::default()
    };
    let declared = answered(&what, channel.queue_declare(queue, options, arguments)).await?;
    Ok((declared.message_count(), declared.consumer_count()))
}

async fn bind(session: &Session, queue: &str, exchange: &str, routing_key: &str) -> Result<(), TopologyError> {
    let what = format!("binding of queue {queue} to exchange {exchange}");
    let name = |text: &str| short("a name", text).map_err(|error| unavailable(&what, error));
    let channel = session.channel().await.map_err(|error| unavailable(&what, error))?;
    let options = QueueBindOptions::default();
    let bound = channel.queue_bind(
        name(queue)?,
        name(exchange)?,
        name(routing_key)?,
        options,
        FieldTable::default(),
    );
    answered(&what, bound).await
}

/// Waits for the broker's answer, and reads its refusals.
pub(super) async fn answered<T>(what: &str, asked: impl Future<Output = lapin::Result<T>>) -> Result<T, TopologyError> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(refusal(what, &error)),
        Err(_) => Err(unavailable(what, format!("no answer within {ANSWER:?}"))),
    }
}

fn refusal(what: &str, error: &lapin::Error) -> TopologyError {
    let ErrorKind::ProtocolError(refused) = error.kind() else {
        return unavailable(what, error);
    };
    let (what, text) = (what.to_owned(), refused.get_message().to_string());
    match refused.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => TopologyError::Missing { what, text },
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::RESOURCELOCKED) => {
            TopologyError::Refused { what, text }
        }
        AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => TopologyError::Mismatch {
            what,
            argument: argument(&text).to_owned(),
            text,
        },
        _ => TopologyError::Unavailable { what, text },
    }
}

/// `PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue …`
fn argument(text: &str) -> &str {
    text.split('\'')
        .nth(1)
        .filter(|_| text.contains(" arg '"))
        .unwrap_or("argument")
}

pub(super) fn unavailable(what: &str, text: impl fmt::Display) -> TopologyError {
    TopologyError::Unavailable {
        what: what.to_owned(),
        text: text.to_string(),
    }
}
