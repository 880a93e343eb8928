//! RabbitMQ as a transport, on lapin, with a supervision of its own.
//!
//! What is published is confirmed and known to be routed; what is consumed is acknowledged only in the session that brought
//! it. A connection that is lost is made again for as long as it takes, so that nothing here ends by itself.

mod backoff;
mod consumer;
mod delayed;
mod latin;
mod link;
pub mod mailbox;
mod pace;
mod publisher;
mod server;
mod settler;
mod socket;
mod stream;
mod topology;
mod values;
mod window;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use lapin::uri::AMQPUri;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;
use uuid::Uuid;

use super::message::Message;
use super::tls::{Tls, TlsError};
use super::transport::{Handler, Health, PublishError, Queue, Routing, Stop, Transport};
use link::{Link, Session, Target};
use mailbox::Mailbox;
use window::{Job, WINDOW};

pub use topology::{QueueKind, QueueStatus, TopologyError};

/// Where RabbitMQ is, and how patient we are with it.
#[derive(Debug, Clone)]
pub struct AmqpOptions {
    /// `amqp://user:password@host:port/vhost`, or `amqps://`, with the parameters of [`tls`](super::tls).
    pub url: SecretString,
    /// What the connections are called in RabbitMQ's own lists.
    pub name: String,
    /// Between heartbeats; silence for twice as long ends a connection.
    pub heartbeat: Duration,
    /// For connecting and logging in.
    pub connect_within: Duration,
    /// For a message to be published and confirmed, waiting for a connection included.
    pub publish_within: Duration,
}

impl AmqpOptions {
    /// With the usual patience.
    pub fn new(url: SecretString, name: impl Into<String>) -> Self {
        Self {
            url,
            name: name.into(),
            heartbeat: Duration::from_secs(10),
            connect_within: Duration::from_secs(5),
            publish_within: Duration::from_secs(10),
        }
    }
}

/// The URL is none. It is not repeated, because it holds a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker URL is not of the form amqp://user:password@host:port/vhost or amqps://…")]
pub struct NotAnAmqpUrl;

/// Why nothing can be connected to.
#[derive(Debug, thiserror::Error)]
pub enum AmqpUrlError {
    /// It is no URL of a broker.
    #[error(transparent)]
    Url(#[from] NotAnAmqpUrl),
    /// What it says of TLS cannot be done.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// RabbitMQ as a transport.
///
/// One task publishes on one channel, because only then a confirm is known to belong to a message. So there is one of these for a
/// connection, shared by its `Arc`, and no second publisher on the same channel can be made of it:
///
/// ```compile_fail,E0277
/// fn cloned<T: Clone>() {}
/// cloned::<waybill_tasks::celery::amqp::AmqpTransport>();
/// ```
///
/// ```
/// fn cloned<T: Clone>() {}
/// cloned::<std::sync::Arc<waybill_tasks::celery::amqp::AmqpTransport>>();
/// ```
pub struct AmqpTransport {
    target: Target,
    publish_within: Duration,
    publishing: Link,
    consuming: OnceLock<Link>,
    controlling: OnceLock<Link>,
    jobs: mpsc::Sender<Job>,
    consumers: Mutex<Vec<Arc<AtomicBool>>>,
    server: Arc<OnceLock<String>>,
    /// Ends the publisher, when it has nothing in hand.
    last_message: CancellationToken,
    publisher: TaskTracker,
    /// Ends the connections.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl AmqpTransport {
    /// Starts connecting and returns at once: a broker that is away is waited for, not an error.
    ///
    /// Must be called on a tokio runtime. For `amqps://` the process must have installed a rustls provider.
    pub fn connect(options: AmqpOptions) -> Result<Arc<Self>, AmqpUrlError> {
        let url = options.url.expose_secret();
        let mut uri: AMQPUri = url.parse().map_err(|_| NotAnAmqpUrl)?;
        let tls = Tls::of(&Url::parse(url).map_err(|_| NotAnAmqpUrl)?)?;
        let seconds = u16::try_from(options.heartbeat.as_secs()).unwrap_or(u16::MAX);
        uri.query.heartbeat.get_or_insert(seconds.max(1));
        let target = Target {
            uri,
            tls,
            name: options.name,
            role: "publish",
            within: options.connect_within,
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let publishing = Link::start(target.clone(), &tasks, stop.clone());
        let (last_message, publisher) = (CancellationToken::new(), TaskTracker::new());
        let (jobs, queue) = mpsc::channel(4 * WINDOW);
        let within = options.publish_within;
        publisher.spawn(publisher::run(publishing.clone(), queue, within, last_message.clone()));
        let server = Arc::new(OnceLock::new());
        tasks.spawn(learn_name(
            publishing.clone(),
            target.clone(),
            Arc::clone(&server),
            stop.clone(),
        ));
        Ok(Arc::new(Self {
            target,
            publish_within: options.publish_within,
            publishing,
            consuming: OnceLock::new(),
            controlling: OnceLock::new(),
            jobs,
            consumers: Mutex::default(),
            server,
            last_message,
            publisher,
            stop,
            tasks,
        }))
    }

    /// Waits until a connection stands; false if none does within the time.
    pub async fn ready(&self, within: Duration) -> bool {
        matches!(timeout(within, self.publishing.clone().ready()).await, Ok(Some(_)))
    }

    /// Makes a durable topic exchange, if there is none of that name.
    pub async fn declare_exchange(&self, name: &str) -> Result<(), TopologyError> {
        topology::declare_exchange(&self.session(name).await?, name).await
    }

    /// Makes what Celery's native delayed delivery needs, so that messages for that routing key arrive at the exchange, and
    /// from there in the queue, when they are due: see [`delayed`](super::protocol::delayed). The exchange must be there, and not
    /// be a direct one.
    pub async fn declare_delayed(&self, queue: &str, exchange: &str, routing_key: &str) -> Result<(), TopologyError> {
        let target = delayed::Target {
            queue,
            exchange,
            routing_key,
        };
        delayed::declare(&self.session(queue).await?, &target).await
    }

    /// Messages, consumers and type of a queue; `None` if there is none of that name.
    pub async fn queue_exists(&self, name: &str) -> Result<Option<QueueStatus>, TopologyError> {
        topology::status(&self.session(name).await?, name).await
    }

    /// Publishes what is in hand, for five seconds at most, and closes the connections; what is not confirmed then is answered
    /// as unknown. Consumers should have been stopped before.
    pub async fn close(&self) {
        self.last_message.cancel();
        self.publisher.close();
        // Out of time is no error: whoever waits for an answer gets one.
        let _ = timeout(Duration::from_secs(5), self.publisher.wait()).await;
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn session(&self, what: &str) -> Result<Session, TopologyError> {
        let mut link = self.publishing.clone();
        match timeout(self.publish_within, link.ready()).await {
            Ok(Some(session)) => Ok(session),
            _ => Err(TopologyError::Unavailable {
                what: what.to_owned(),
                text: "RabbitMQ is not reachable".to_owned(),
            }),
        }
    }

    /// The connection to consume on is opened by the first consumer: who only publishes has one connection.
    fn consuming(&self) -> Link {
        let start = || {
            let target = Target {
                role: "consume",
                ..self.target.clone()
            };
            Link::start(target, &self.tasks, self.stop.clone())
        };
        self.consuming.get_or_init(start).clone()
    }

    /// The mailbox, on a connection of its own: what is busy elsewhere does not delay it.
    pub fn mailbox(&self) -> Mailbox {
        let start = || {
            let target = Target {
                role: "control",
                ..self.target.clone()
            };
            Link::start(target, &self.tasks, self.stop.clone())
        };
        Mailbox::new(self.controlling.get_or_init(start).clone())
    }

    async fn queue_and_wait(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        let (answer, answered) = oneshot::channel();
        let message_id = match &message.properties.message_id {
            Some(id) => id.clone(),
            None => Uuid::new_v4().to_string(),
        };
        let job = Job {
            message,
            routing,
            message_id,
            answer,
        };
        job.properties().map_err(PublishError::Impossible)?;
        let stopped = || PublishError::Unconfirmed("the transport is closed".to_owned());
        self.jobs.send(job).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }
}

#[async_trait]
impl Transport for AmqpTransport {
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        let published = timeout(self.publish_within, self.queue_and_wait(message, routing)).await;
        let published = published.unwrap_or_else(|_| {
            let reason = match self.publishing.now() {
                None => "RabbitMQ is not reachable".to_owned(),
                Some(session) if session.blocked() => "RabbitMQ blocks publishers".to_owned(),
                Some(_) => format!("no confirm within {:?}", self.publish_within),
            };
            Err(PublishError::Unconfirmed(reason))
        });
        if let Err(PublishError::Unconfirmed(_) | PublishError::Refused { .. }) = &published {
            metrics::counter!("publish_unconfirmed_total").increment(1);
        }
        published
    }

    async fn consume(&self, queue: Queue, handler: Arc<dyn Handler>, stop: Stop) {
        let alive = Arc::new(AtomicBool::new(false));
        self.registered().push(Arc::clone(&alive));
        let consumer = consumer::Consumer::new(queue, handler, stop, Arc::clone(&alive));
        consumer::run(self.consuming(), consumer).await;
        self.registered().retain(|other| !Arc::ptr_eq(other, &alive));
    }

    async fn ensure_exchange(&self, name: &str) {
        if let Err(error) = self.declare_exchange(name).await {
            tracing::warn!("exchange {name} cannot be made: {error}");
        }
    }

    async fn ensure_queue(&self, name: &str) {
        let made = match self.session(name).await {
            Ok(session) => topology::ensure_classic(&session, name).await,
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            tracing::warn!("queue {name} cannot be made: {error}");
        }
    }

    fn health(&self) -> Health {
        let publishing = self.publishing.now();
        Health {
            publishing: publishing.is_some_and(|session| session.connected() && !session.blocked()),
            consuming: self.registered().iter().all(|alive| alive.load(Ordering::Relaxed)),
            server: self
                .server
                .get()
                .cloned()
                .unwrap_or_else(|| "AMQP 0-9-1 broker".to_owned()),
        }
    }
}

impl AmqpTransport {
    fn registered(&self) -> std::sync::MutexGuard<'_, Vec<Arc<AtomicBool>>> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AmqpTransport {
    fn drop(&mut self) {
        self.last_message.cancel();
        self.stop.cancel();
    }
}

impl fmt::Debug for AmqpTransport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AmqpTransport")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Asks once, when there is somebody to ask.
async fn learn_name(mut link: Link, target: Target, server: Arc<OnceLock<String>>, stop: CancellationToken) {
    let learn = async {
        while link.ready().await.is_some() {
            if let Some(name) = socket::server_name(&target).await {
                tracing::info!("the broker is {name}");
                return server.set(name).unwrap_or_default();
            }
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
    };
    tokio::select! {
        () = learn => (),
        () = stop.cancelled() => (),
    }
}
