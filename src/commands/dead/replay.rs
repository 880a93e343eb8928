//! Sends again what was set aside.

use std::collections::BTreeMap;
use std::io::Write;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use clap::Args;
use uuid::Uuid;

use super::show::unknown;
use crate::commands::failure::{BAD, DONE, chain};
use crate::commands::outbound::{self, Outbound};
use crate::commands::{Failure, confirm, instant, span};
use crate::config::{Broker, Settings};
use crate::engine::replay::Replayed;
use crate::engine::{Engine, unpack};
use crate::store::DeadFilter;
use crate::store::record::Dead;

/// Where partners' callbacks come from, which no queue takes.
const CALLBACK: &str = "webhook";
/// Who asks, where it is the command line.
const BY: &str = "waybill dead";

/// What to send again.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Messages by id, as `waybill dead list` shows them.
    #[arg(value_name = "ID", required_unless_present = "filter", conflicts_with = "filter")]
    ids: Vec<Uuid>,
    /// All messages that fit: source, queue, task, reason or since (an instant, or a span such as 2h). All filters must fit.
    #[arg(long, value_name = "KEY=VALUE")]
    filter: Vec<Filter>,
    /// Does not ask. Needed where nobody can answer.
    #[arg(long)]
    yes: bool,
    /// Sends also what was sent again before.
    #[arg(long)]
    again: bool,
    /// With --filter: at most so many, oldest first.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Source(String),
    Queue(String),
    Task(String),
    Reason(String),
    Since(DateTime<Utc>),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text
            .split_once('=')
            .ok_or("expected KEY=VALUE, such as reason=unknown-task")?;
        let value = value.to_owned();
        match key {
            "source" => Ok(Self::Source(value)),
            "queue" => Ok(Self::Queue(value)),
            "task" => Ok(Self::Task(value)),
            "reason" => Ok(Self::Reason(value)),
            "since" => Ok(Self::Since(span::parse_since(&value)?)),
            _ => Err(format!("{key:?} is none of source, queue, task, reason and since")),
        }
    }
}

pub(super) async fn run(settings: &Settings, options: &ReplayOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let engine = outbound::engine(settings).await?;
    let mut refused = 0_usize;
    let mut chosen = Vec::new();
    for dead in find(&engine, options).await? {
        match refuse(&dead, settings, options.again) {
            None => chosen.push(dead),
            Some(why) => {
                refused += 1;
                eprintln!("waybill: {} stays: {why}", dead.id);
            }
        }
    }
    if chosen.is_empty() {
        writeln!(out, "nothing to send again")?;
        return Ok(if refused == 0 { DONE } else { BAD });
    }
    if !options.yes {
        announce(&chosen);
    }
    if !options.yes && !confirm(chosen.len(), "messages", "sent")? {
        writeln!(out, "nothing was sent")?;
        return Ok(DONE);
    }
    let (callbacks, messages): (Vec<_>, Vec<_>) = chosen.into_iter().partition(|dead| dead.source == CALLBACK);
    let total = callbacks.len() + messages.len();
    let mut sent = 0_usize;
    for dead in &callbacks {
        match engine.replay_conflict(dead, BY).await? {
            Replayed::As(attempt) => {
                sent += 1;
                writeln!(out, "{} is applied as {attempt}", dead.id)?;
            }
            Replayed::Waits(_) | Replayed::Unknown => {
                eprintln!("waybill: {} stays: the callback that has its id is gone", dead.id);
            }
        }
    }
    if !messages.is_empty() {
        sent += send(settings, &engine, messages).await?;
    }
    writeln!(out, "sent {sent} of {} again", total + refused)?;
    Ok(if sent == total && refused == 0 { DONE } else { BAD })
}

/// To the queues that they came from; answers how many were sent.
async fn send(settings: &Settings, engine: &Engine, messages: Vec<Dead>) -> Result<usize, Failure> {
    let outbound = match &settings.broker {
        Broker::Local => Outbound::local(engine.clone()),
        Broker::Amqp(url) => Outbound::amqp(settings, url, "dead replay").await?,
    };
    let mut sent = 0;
    for dead in messages {
        let id = dead.id;
        match replay(engine, &outbound, dead).await {
            Ok(()) => sent += 1,
            Err(failure) => eprintln!("waybill: {id} stays: {failure}"),
        }
    }
    outbound.close().await;
    Ok(sent)
}

async fn find(engine: &Engine, options: &ReplayOptions) -> Result<Vec<Dead>, Failure> {
    let store = engine.store();
    if !options.filter.is_empty() {
        let mut filter = DeadFilter {
            replayed: options.again,
            limit: options.limit,
            ..DeadFilter::default()
        };
        for condition in options.filter.iter().cloned() {
            match condition {
                Filter::Source(it) => filter.source = Some(it),
                Filter::Queue(it) => filter.queue = Some(it),
                Filter::Task(it) => filter.task = Some(it),
                Filter::Reason(it) => filter.reason = Some(it),
                Filter::Since(it) => filter.received_after = Some(it),
            }
        }
        return Ok(store.dead(&filter).await?);
    }
    let mut found = Vec::new();
    for id in &options.ids {
        let dead = store.dead_message(*id).await?.ok_or_else(|| unknown(*id))?;
        if found.iter().all(|other: &Dead| other.id != dead.id) {
            found.push(dead);
        }
    }
    Ok(found)
}

/// Why a message cannot be sent again this way.
fn refuse(dead: &Dead, settings: &Settings, again: bool) -> Option<String> {
    let local = matches!(settings.broker, Broker::Local);
    match (dead.source.as_str(), dead.replayed_at) {
        ("amqp", _) if local => Some("it came over RabbitMQ: set WAYBILL_BROKER_URL".to_owned()),
        ("local", _) if !local => {
            Some("it came over the in-process transport: set WAYBILL_BROKER_URL to local:".to_owned())
        }
        (_, Some(at)) if !again => Some(format!(
            "it was sent again at {} (--again sends it once more)",
            instant(at)
        )),
        _ => None,
    }
}

/// Tells what would be sent where.
fn announce(chosen: &[Dead]) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for dead in chosen {
        *counts.entry((&dead.queue, &dead.reason)).or_default() += 1;
    }
    for ((queue, reason), count) in counts {
        eprintln!("{count:>6}  to {queue}, set aside for {reason}");
    }
}

/// Sent first, marked then: a crash between the two sends twice, and what is told twice is told once.
async fn replay(engine: &Engine, outbound: &Outbound, dead: Dead) -> Result<(), Failure> {
    let opened = unpack(engine.store(), "quarantine", dead.id, &dead.message);
    let message = opened.map_err(|error| Failure::bad(chain(&error)))?.into_message();
    outbound.send(&dead.queue, message.into_queue(&dead.queue)).await?;
    Ok(engine.mark_replayed(dead.id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_and_others_are_refused() {
        assert_eq!(
            "reason=unknown-task".parse(),
            Ok(Filter::Reason("unknown-task".to_owned()))
        );
        assert_eq!("task=a=b".parse(), Ok(Filter::Task("a=b".to_owned())));
        assert!(matches!("since=2h".parse(), Ok(Filter::Since(_))));
        for text in ["reason", "id=1", "since=soon"] {
            assert!(text.parse::<Filter>().is_err(), "{text}");
        }
    }
}
