//! The loop that sends: one beat of a schedule at a time, and each thing confirmed before the next.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::agenda::{Agenda, Due};
use super::{Beat, Schedule};
use crate::celery::amqp::AmqpTransport;
use crate::celery::amqp::mailbox::{MailChannel, MailError, OwnQueue};
use crate::celery::message::{Message, Properties};
use crate::celery::transport::{PublishError, Routing, Transport as _};

/// How often another beat is looked for that is gone, and how soon a task is tried again that was not taken.
const AGAIN: Duration = Duration::from_secs(2);

/// The clock may be set: it is looked at this often at least.
const SLEEP_AT_MOST: Duration = Duration::from_secs(30);

pub(super) async fn run(beat: Beat, stop: CancellationToken) {
    let mut mailbox = beat.transport.mailbox();
    let mut said = String::new();
    loop {
        let opened = tokio::select! {
            opened = mailbox.open() => opened,
            () = stop.cancelled() => return,
        };
        let Some(opened) = opened else { return };
        let led = match opened {
            Ok(channel) => beat.lead(&channel, &stop).await,
            Err(error) => Err(error),
        };
        let Err(error) = led else { return };
        let text = error.to_string();
        if text != said {
            match error {
                MailError::InUse(_) => info!("another beat sends the schedule {}: this one waits", beat.schedule.name),
                MailError::Failed(_) => warn!("beat goes on as soon as it can: {text}"),
            }
            said = text;
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => (),
            () = stop.cancelled() => return,
        }
    }
}

impl Beat {
    /// Sends for as long as the queue is ours that one connection can have; `Ok` when stopped.
    async fn lead(&self, channel: &MailChannel, stop: &CancellationToken) -> Result<(), MailError> {
        let name = &self.schedule.name;
        channel.own_queue(&format!("beat.{name}"), OwnQueue::default()).await?;
        let shelf = format!("beat.{name}.sent");
        channel.shelf(&shelf).await?;
        let mut round = Round {
            schedule: &self.schedule,
            transport: &self.transport,
            agenda: self.remember(channel, &shelf).await?,
            shelf,
            changed: false,
            said: HashMap::new(),
        };
        info!(
            "beat sends the schedule {name} of {} entries",
            self.schedule.entries.len()
        );
        loop {
            let looked = Utc::now();
            let all_sent = round.send_due(looked).await;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = channel.ended() => return Err(MailError::Failed("the connection was lost".to_owned())),
                () = tokio::time::sleep(round.sleep(all_sent, looked)) => (),
            }
        }
    }

    /// Reads what was sent, and puts it back before it is taken: there is never none.
    async fn remember(&self, channel: &MailChannel, shelf: &str) -> Result<Agenda, MailError> {
        let kept = channel.fetch(shelf).await?;
        let body = kept.as_ref().map(|kept| kept.message.body.as_slice());
        let agenda = Agenda::new(&self.schedule, body, Utc::now());
        let put = self
            .transport
            .publish(to_shelf(shelf, &agenda), Routing::Mandatory)
            .await;
        put.map_err(|error| MailError::Failed(error.to_string()))?;
        if let Some(kept) = kept {
            kept.acknowledge().await;
        }
        Ok(agenda)
    }
}

fn to_shelf(shelf: &str, agenda: &Agenda) -> Message {
    Message {
        routing_key: shelf.to_owned(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            delivery_mode: Some(2),
            ..Properties::default()
        },
        body: agenda.write(),
        ..Message::default()
    }
}

/// The time for which this beat is the one that sends.
struct Round<'a> {
    schedule: &'a Schedule,
    transport: &'a AmqpTransport,
    agenda: Agenda,
    shelf: String,
    /// Something was sent that the shelf does not know.
    changed: bool,
    /// What was said of entries that cannot be sent, so that it is said once.
    said: HashMap<usize, String>,
}

impl Round<'_> {
    /// Sends what is due, then remembers it; false if some of that is still to be done.
    async fn send_due(&mut self, now: DateTime<Utc>) -> bool {
        let mut all = true;
        for due in self.agenda.due(self.schedule, now) {
            all &= self.send(due).await;
        }
        if self.changed {
            let put = self
                .transport
                .publish(to_shelf(&self.shelf, &self.agenda), Routing::Mandatory)
                .await;
            match put {
                Ok(()) => self.changed = false,
                Err(error) => warn!("what beat has sent is not kept yet: {error}"),
            }
        }
        all && !self.changed
    }

    async fn send(&mut self, due: Due) -> bool {
        let entry = &self.schedule.entries[due.entry];
        let name = &entry.name;
        if due.send {
            let id = self.schedule.task_id(entry, due.tick);
            let sent = self
                .transport
                .publish(entry.message(id, due.tick), Routing::Mandatory)
                .await;
            if let Err(error) = sent {
                self.complain(due.entry, &error);
                return false;
            }
            info!(task.id = %id, task.name = %entry.task, "beat sent {name} of {} as task {id}", due.tick);
            metrics::counter!("beat_sent_total", "entry" => name.clone()).increment(1);
        } else {
            info!("beat passes over {name} of {}: its time is over", due.tick);
        }
        self.said.remove(&due.entry);
        self.agenda.done(self.schedule, due);
        self.changed = true;
        true
    }

    fn complain(&mut self, entry: usize, error: &PublishError) {
        let text = error.to_string();
        if self.said.get(&entry) != Some(&text) {
            warn!("beat cannot send {} yet: {text}", self.schedule.entries[entry].name);
            self.said.insert(entry, text);
        }
    }

    /// Until the next tick since it was looked at, which may have passed meanwhile; what could not be sent keeps no other waiting.
    fn sleep(&self, all_sent: bool, looked: DateTime<Utc>) -> Duration {
        let next = Agenda::next(self.schedule, looked).unwrap_or(looked + TimeDelta::days(1));
        let wait = (next - Utc::now()).to_std().unwrap_or_default();
        wait.min(if all_sent { SLEEP_AT_MOST } else { AGAIN })
    }
}
