//! The loop that sends events: heartbeats on time, tasks' events in batches, both only while there is somebody to send to.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::batches::Batch;
use super::event::{Event, WorkerEvent};
use super::{EventLoop, dropped};
use crate::celery::amqp::mailbox::{Mail, MailChannel, MailError, Mailbox};
use crate::celery::host::load_average;
use crate::celery::message::{HeaderValue, Headers};

const EXCHANGE: &str = "celeryev";

/// How long the first event waits for more: a busy worker would send nearly one message for each.
const GATHERING: Duration = Duration::from_millis(10);

/// What a heartbeat that was asked for says of the interval, as Python's does.
const ASKED_FOR: f64 = 5.0;

/// What Python takes for the interval where there is none.
const USUAL: f64 = 2.0;

pub(super) async fn run(
    mut events: EventLoop,
    mut mailbox: Mailbox,
    heartbeat: Option<Duration>,
    stop: CancellationToken,
) {
    loop {
        let Some(opened) = events.open(&mut mailbox, &stop).await else {
            return;
        };
        let ended = match opened {
            Ok(channel) => events.use_channel(&channel, heartbeat, &stop).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        debug!("events wait for another channel: {error}");
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(500)) => (),
            () = stop.cancelled() => return,
        }
    }
}

impl EventLoop {
    /// Waits for a channel; what happens until then is told to nobody. `None` if there will be none.
    async fn open(
        &mut self,
        mailbox: &mut Mailbox,
        stop: &CancellationToken,
    ) -> Option<Result<MailChannel, MailError>> {
        let mut opening = pin!(mailbox.open());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                opened = &mut opening => return opened,
                () = self.discard() => (),
            }
        }
    }

    /// Takes events that nobody can be told of.
    async fn discard(&self) {
        self.waiting.arrived().await;
        dropped(self.waiting.take().iter().map(Batch::len).sum());
    }

    /// `Ok` when stopped.
    async fn use_channel(
        &mut self,
        channel: &MailChannel,
        heartbeat: Option<Duration>,
        stop: &CancellationToken,
    ) -> Result<(), MailError> {
        channel.declare_exchange(EXCHANGE, "topic", true).await?;
        let mut ticks = heartbeat.map(|every| {
            let mut ticks = interval(every);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        });
        let freq = heartbeat.map_or(USUAL, |every| every.as_secs_f64());
        if let Some(ticks) = &mut ticks {
            self.tell(channel, "worker-online", freq).await?;
            // The first tick is now.
            ticks.tick().await;
        }
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = tick(&mut ticks) => {
                    self.send_waiting(channel).await?;
                    self.tell(channel, "worker-heartbeat", freq).await?;
                }
                Some(()) = self.wanted.recv() => {
                    self.send_waiting(channel).await?;
                    self.tell(channel, "worker-heartbeat", ASKED_FOR).await?;
                }
                () = self.waiting.arrived() => {
                    tokio::time::sleep(GATHERING).await;
                    self.send_waiting(channel).await?;
                }
                () = channel.ended() => return Err(MailError::Failed("the connection was lost".to_owned())),
            }
        }
        self.waiting.close();
        self.send_waiting(channel).await?;
        if heartbeat.is_some() {
            self.tell(channel, "worker-offline", freq).await?;
        }
        channel.close().await;
        Ok(())
    }

    /// What has happened already is told first: the clock of what a worker tells only grows.
    async fn send_waiting(&self, channel: &MailChannel) -> Result<(), MailError> {
        let mut waiting = self.waiting.take();
        while let Some(batch) = waiting.pop_front() {
            if let Err(error) = self.send_batch(channel, batch).await {
                dropped(waiting.iter().map(Batch::len).sum());
                return Err(error);
            }
        }
        Ok(())
    }

    async fn tell(&self, channel: &MailChannel, kind: &'static str, freq: f64) -> Result<(), MailError> {
        if channel.blocked() {
            return Ok(());
        }
        let (active, _) = self.state.counts();
        let event = WorkerEvent {
            freq,
            active,
            processed: self.state.processed(),
            loadavg: load_average(),
            sw_ident: &self.software.ident,
            sw_ver: &self.software.version,
            sw_sys: "Linux",
        };
        let mut body = Vec::new();
        Event::of(&self.state, kind, &event).write(&mut body);
        channel.send(&self.mail(kind.replace('-', "."), body)).await
    }

    /// Sends a batch as a list; `task.multi` is what Python calls it.
    async fn send_batch(&self, channel: &MailChannel, batch: Batch) -> Result<(), MailError> {
        let count = batch.len();
        if channel.blocked() {
            dropped(count);
            return Ok(());
        }
        let sent = channel
            .send(&self.mail("task.multi".to_owned(), batch.into_json()))
            .await;
        if let Err(error) = &sent {
            dropped(count);
            warn!("{count} events were not sent: {error}");
        }
        sent
    }

    fn mail(&self, routing_key: String, body: Vec<u8>) -> Mail {
        let hostname = HeaderValue::from(self.state.nodename());
        Mail {
            exchange: EXCHANGE.to_owned(),
            routing_key,
            headers: Headers::from([("hostname".to_owned(), hostname)]),
            body,
        }
    }
}

async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => pending().await,
    }
}
