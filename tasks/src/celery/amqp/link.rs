//! One supervised connection: it is made again whenever it is lost, for as long as it takes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::backoff::Backoff;
use super::socket::{self, Socket};
use crate::celery::tls::Tls;

/// How long any single answer of a connected broker may take.
pub(super) const ANSWER: Duration = Duration::from_secs(5);

/// A role's connection, now and in the future.
#[derive(Debug, Clone)]
pub(super) struct Link {
    current: watch::Receiver<Option<Session>>,
}

/// One connection while it lasts.
#[derive(Debug, Clone)]
pub(super) struct Session {
    connection: Arc<Connection>,
    socket: Socket,
    failed: Arc<Notify>,
}

/// What a link connects to, and as what.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) uri: AMQPUri,
    pub(super) tls: Tls,
    pub(super) name: String,
    pub(super) role: &'static str,
    pub(super) within: Duration,
}

impl Link {
    /// Starts connecting; ends with the token.
    pub(super) fn start(target: Target, tasks: &TaskTracker, stop: CancellationToken) -> Self {
        let (sender, current) = watch::channel(None);
        tasks.spawn(supervise(target, sender, stop));
        Self { current }
    }

    /// The current session, if there is one.
    pub(super) fn now(&self) -> Option<Session> {
        self.current.borrow().clone()
    }

    /// Waits for a session; `None` when the link has ended.
    pub(super) async fn ready(&mut self) -> Option<Session> {
        self.current.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// Waits until a session is the current one no more.
    pub(super) async fn after(&mut self, session: &Session) {
        let is_another = |now: &Option<Session>| !now.as_ref().is_some_and(|now| now.is(session));
        // An error says that the link has ended, and the session with it.
        let _ = self.current.wait_for(is_another).await;
    }
}

impl Session {
    fn is(&self, other: &Session) -> bool {
        Arc::ptr_eq(&self.connection, &other.connection)
    }

    /// A new channel; if the broker does not give one in time, the session is over.
    pub(super) async fn channel(&self) -> Result<Channel, String> {
        match timeout(ANSWER, self.connection.create_channel()).await {
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) if self.blocked() => Err("the broker blocks publishers".to_owned()),
            Err(_) => {
                self.fail();
                Err(format!("no channel within {ANSWER:?}"))
            }
        }
    }

    /// The broker takes nothing: it is out of memory or disk.
    pub(super) fn blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    pub(super) fn connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Returns when nothing can be done on a channel any more.
    pub(super) async fn end_of(&self, channel: &Channel) {
        while self.connected() && channel.status().connected() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Gives the session up: the supervisor makes another.
    pub(super) fn fail(&self) {
        self.failed.notify_one();
    }

    /// Returns when the connection is lost or given up. Only the supervisor calls it: lapin gives each event to one listener.
    async fn lost(&self) -> String {
        let mut events = Box::pin(self.connection.events_listener());
        let mut reason = "the connection was lost".to_owned();
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tokio::select! {
                () = self.failed.notified() => return "given up".to_owned(),
                event = events.next() => match event {
                    Some(lapin::Event::Error(error)) => reason = error.to_string(),
                    Some(lapin::Event::ConnectionBlocked(why)) => warn!("the broker takes no messages: {why}"),
                    Some(lapin::Event::ConnectionUnblocked) => info!("the broker takes messages again"),
                    _ => (),
                },
                _ = tick.tick() => (),
            }
            if !self.connected() {
                return reason;
            }
        }
    }

    async fn close(&self) {
        // The socket goes in any case, so that a thread of lapin never waits for a broker that is gone.
        let _ = timeout(Duration::from_secs(2), self.connection.close(200, "bye".into())).await;
        self.socket.shut_down();
    }
}

async fn supervise(target: Target, sender: watch::Sender<Option<Session>>, stop: CancellationToken) {
    let mut backoff = Backoff::default();
    let mut said = String::new();
    loop {
        let properties = ConnectionProperties::default()
            .with_connection_name(format!("{} {}", target.name, target.role).into())
            .with_client_property("product".into(), "waybill".into())
            .with_client_property("version".into(), env!("CARGO_PKG_VERSION").into());
        let connected = tokio::select! {
            connected = socket::connect(&target, properties) => connected,
            () = stop.cancelled() => return,
        };
        match connected {
            Ok((connection, socket)) => {
                let session = Session {
                    connection: Arc::new(connection),
                    socket,
                    failed: Arc::default(),
                };
                info!(role = target.role, "connected to RabbitMQ to {}", target.role);
                metrics::counter!("amqp_sessions_total", "role" => target.role).increment(1);
                said.clear();
                let since = tokio::time::Instant::now();
                sender.send_replace(Some(session.clone()));
                let reason = tokio::select! {
                    reason = session.lost() => Some(reason),
                    () = stop.cancelled() => None,
                };
                sender.send_replace(None);
                session.close().await;
                let Some(reason) = reason else { return };
                warn!(role = target.role, "lost RabbitMQ to {}: {reason}", target.role);
                if since.elapsed() > Duration::from_secs(10) {
                    backoff.reset();
                }
            }
            // Once per reason, not once per try: an outage of a night is one line.
            Err(reason) if reason != said => {
                warn!(
                    role = target.role,
                    "RabbitMQ is not reachable to {}, trying on: {reason}", target.role
                );
                said = reason;
            }
            Err(_) => (),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => (),
            () = stop.cancelled() => return,
        }
    }
}
