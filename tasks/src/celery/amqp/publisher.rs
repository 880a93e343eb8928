//! The one task that publishes: a channel's confirms have meaning only if a single task sends on it.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, ErrorKind};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::link::{ANSWER, Link, Session};
use super::window::{self, Job, Published, WINDOW, WINDOW_BYTES};
use crate::celery::transport::PublishError;

/// Publishes what comes until the token is cancelled, then what is already there.
pub(super) async fn run(mut link: Link, jobs: mpsc::Receiver<Job>, within: Duration, stop: CancellationToken) {
    let mut publisher = Publisher {
        jobs,
        waiting: VecDeque::new(),
        suspects: VecDeque::new(),
        exchanges: HashSet::new(),
        within,
    };
    loop {
        let session = tokio::select! {
            session = link.ready() => session,
            // Nothing can be sent, and nobody should wait for it.
            () = stop.cancelled() => return,
        };
        let Some(session) = session else { return };
        if publisher.use_session(&session, &stop).await == End::Stopped {
            return;
        }
        link.after(&session).await;
    }
}

struct Publisher {
    jobs: mpsc::Receiver<Job>,
    /// Taken from the queue, not yet in a window.
    waiting: VecDeque<Job>,
    /// One of these broke a channel, nobody knows which: they are published one at a time.
    suspects: VecDeque<Job>,
    /// They have been there in this session. To publish to one that is not there closes the channel, so what is the first for its
    /// exchange is published alone.
    exchanges: HashSet<String>,
    within: Duration,
}

#[derive(PartialEq)]
enum End {
    Stopped,
    Lost,
}

impl Publisher {
    async fn use_session(&mut self, session: &Session, stop: &CancellationToken) -> End {
        self.exchanges.clear();
        while session.connected() {
            let channel = match confirming_channel(session).await {
                Ok(channel) => channel,
                Err(_) if session.blocked() => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
                Err(reason) => {
                    warn!("no channel to publish on: {reason}");
                    session.fail();
                    return End::Lost;
                }
            };
            if self.use_channel(session, &channel, stop).await == End::Stopped {
                return End::Stopped;
            }
        }
        End::Lost
    }

    /// Publishes until the channel is of no more use.
    async fn use_channel(&mut self, session: &Session, channel: &Channel, stop: &CancellationToken) -> End {
        loop {
            if self.waiting.is_empty() && self.suspects.is_empty() {
                tokio::select! {
                    biased;
                    job = self.jobs.recv() => match job {
                        Some(job) => self.waiting.push_back(job),
                        None => return End::Stopped,
                    },
                    () = stop.cancelled() => return End::Stopped,
                    () = session.end_of(channel) => return End::Lost,
                }
            }
            // In an alarm the broker reads nothing; what is written now would wait in our memory.
            while session.blocked() && session.connected() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let window = self.next_window();
            let Some(first) = window.first() else { continue };
            let asked = self.is_first(first).then(|| first.message.exchange.clone());
            match window::publish(channel, window, self.within).await {
                Published::All => self.exchanges.extend(asked),
                // RabbitMQ 3.10 lets the channel itself refuse what is for a full quorum queue, and does not tell it when a policy that
                // made the queue full is taken away. A new channel asks the queue.
                Published::Refused => {
                    self.exchanges.extend(asked);
                    let _ = timeout(ANSWER, channel.close(200, "refused".into())).await;
                    return End::Lost;
                }
                Published::Silent => return End::Lost,
                Published::Broken(jobs, error) => {
                    self.after_break(jobs, &error);
                    return End::Lost;
                }
            }
        }
    }

    /// Up to a window of messages with different ids, in the order they came; those that nobody waits for are left out.
    fn next_window(&mut self) -> Vec<Job> {
        while let Some(job) = self.suspects.pop_front() {
            if !job.answer.is_closed() {
                return vec![job];
            }
        }
        let mut ids = HashSet::new();
        let mut window = Vec::new();
        let mut bytes = 0;
        while window.len() < WINDOW {
            let Some(job) = self.waiting.pop_front().or_else(|| self.jobs.try_recv().ok()) else {
                break;
            };
            if job.answer.is_closed() {
                continue;
            }
            let alone = self.is_first(&job);
            let fits = window.is_empty() || (!alone && bytes + job.message.body.len() <= WINDOW_BYTES);
            if !fits || !ids.insert(job.message_id.clone()) {
                self.waiting.push_front(job);
                break;
            }
            bytes += job.message.body.len();
            window.push(job);
            if alone {
                break;
            }
        }
        window
    }

    /// Whether nothing is known of its exchange. The default one is always there.
    fn is_first(&self, job: &Job) -> bool {
        let exchange = &job.message.exchange;
        !exchange.is_empty() && !self.exchanges.contains(exchange)
    }

    /// Alone, a message is answered with what it did; among others, each of them is tried alone.
    fn after_break(&mut self, mut jobs: Vec<Job>, error: &lapin::Error) {
        let protocol_error = match error.kind() {
            ErrorKind::ProtocolError(error) if error.get_id() != CONNECTION_FORCED => Some(error.get_id()),
            _ => None,
        };
        match (protocol_error, jobs.len()) {
            (Some(NOT_FOUND), 1) => {
                let job = jobs.remove(0);
                self.exchanges.remove(&job.message.exchange);
                job.unroutable();
            }
            (Some(PRECONDITION_FAILED | FRAME_ERROR), 1) => {
                jobs.remove(0).answer(Err(PublishError::Impossible(error.to_string())))
            }
            (Some(_), 1) => jobs.remove(0).answer(Err(PublishError::Unconfirmed(error.to_string()))),
            (Some(_), _) => self.suspects.extend(jobs),
            // The connection went, which is no message's fault.
            (None, _) => jobs.into_iter().rev().for_each(|job| self.waiting.push_front(job)),
        }
    }
}

const NOT_FOUND: u16 = 404;

/// The broker takes no such message: its expiration, its user, whom it is to be copied to, its size.
const PRECONDITION_FAILED: u16 = 406;

/// Its headers are longer than a frame may be.
const FRAME_ERROR: u16 = 501;

/// The broker goes down, or an operator closed the connection.
const CONNECTION_FORCED: u16 = 320;

async fn confirming_channel(session: &Session) -> Result<Channel, String> {
    let channel = session.channel().await?;
    match timeout(ANSWER, channel.confirm_select(ConfirmSelectOptions::default())).await {
        Ok(Ok(())) => Ok(channel),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no confirm mode within {ANSWER:?}")),
    }
}
