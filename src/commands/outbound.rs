//! How a command that is no process sends messages: over whatever transport is configured.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{PublishError, Routing, Transport as _};

use super::Failure;
use super::failure::chain;
use crate::app::{open_store, read_template};
use crate::config::{Broker, Settings};
use crate::engine::{Engine, Outside};

/// A broker that does not answer within that time is taken for away.
const PATIENCE: Duration = Duration::from_secs(6);

/// Sends messages.
pub(super) enum Outbound {
    /// Into the table behind the in-process transport.
    Local(Engine),
    /// To RabbitMQ.
    Amqp(Arc<AmqpTransport>),
}

impl Outbound {
    /// Over the in-process transport of that engine's database.
    pub(super) fn local(engine: Engine) -> Self {
        Self::Local(engine)
    }

    /// Over RabbitMQ, once a connection stands.
    pub(super) async fn amqp(settings: &Settings, url: &SecretString, command: &str) -> Result<Self, Failure> {
        Ok(Self::Amqp(connect(settings, url, command).await?))
    }

    /// Sends a message; `queue` is where the in-process transport puts it, which has no exchanges.
    pub(super) async fn send(&self, queue: &str, message: Message) -> Result<(), Failure> {
        match self {
            Self::Local(engine) => Ok(engine.send_locally(queue, &message).await?),
            Self::Amqp(transport) => Ok(transport.publish(message, Routing::Mandatory).await?),
        }
    }

    /// Ends it.
    pub(super) async fn close(self) {
        if let Self::Amqp(transport) = self {
            transport.close().await;
        }
    }
}

/// RabbitMQ, connected.
pub(super) async fn connect(
    settings: &Settings,
    url: &SecretString,
    command: &str,
) -> Result<Arc<AmqpTransport>, Failure> {
    let options = AmqpOptions::new(url.clone(), format!("waybill {command} {}", std::process::id()));
    let transport = AmqpTransport::connect(options)
        .map_err(|error| Failure::usage(format!("WAYBILL_BROKER_URL: {}", chain(&error))))?;
    if transport.ready(PATIENCE).await {
        return Ok(transport);
    }
    transport.close().await;
    Err(Failure::unreachable(format!(
        "no connection to RabbitMQ at {} within {} s: is it up, and are user, password and vhost right (WAYBILL_BROKER_URL)?",
        super::shown(settings, "WAYBILL_BROKER_URL"),
        PATIENCE.as_secs()
    )))
}

/// An engine that only keeps messages: what its commits demand is left to the processes that run.
pub(super) async fn engine(settings: &Settings) -> Result<Engine, Failure> {
    let store = open_store(settings, false).await?;
    let outside = Outside {
        queue: settings.queues.tasks.clone(),
        default_partner: String::new(),
        adapters: BTreeMap::new(),
        public_url: String::new(),
        handover_codes: settings.handover_codes,
        local: matches!(settings.broker, Broker::Local),
    };
    let (engine, _committer) = Engine::start(store, read_template(settings)?, outside, Arc::new(|_, _| {})).await?;
    Ok(engine)
}

impl From<PublishError> for Failure {
    fn from(error: PublishError) -> Self {
        match &error {
            PublishError::Unroutable { exchange, .. } if exchange.is_empty() => Self::unreachable(format!(
                "{error}: the queue is missing, whoever consumes it makes it (`waybill doctor`)"
            )),
            PublishError::Unroutable { .. } => {
                Self::unreachable(format!("{error}: `waybill work` makes the queue at its first start"))
            }
            PublishError::Refused { .. } => Self::unreachable(format!("{error}: send it again when there is room")),
            PublishError::Unconfirmed(_) => {
                Self::unreachable(format!("{error}: it may or may not be there, send it again"))
            }
            PublishError::Impossible(_) => Self::bad(error.to_string()),
        }
    }
}
