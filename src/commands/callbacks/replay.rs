//! Applies again what partners told.

use std::io::Write;

use clap::Args;
use uuid::Uuid;

use super::{Choice, unknown};
use crate::commands::failure::{BAD, DONE};
use crate::commands::{Failure, confirm, outbound};
use crate::config::Settings;
use crate::engine::Engine;
use crate::engine::replay::{Replayed, tally};
use crate::store::{Disposition, Heard};

/// Who asks, where it is the command line.
const BY: &str = "waybill callbacks";

/// What to apply again.
#[derive(Debug, Args)]
pub struct ReplayOptions {
    /// Callbacks by id, as `waybill callbacks list` shows them.
    #[arg(value_name = "ID", conflicts_with_all = ["disposition", "partner", "event_id", "order", "since"])]
    ids: Vec<Uuid>,
    #[command(flatten)]
    choice: Choice,
    /// Says how many there are, and does nothing.
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Does not ask. Needed where nobody can answer.
    #[arg(long)]
    yes: bool,
    /// At most so many, newest first.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

pub(super) async fn run(settings: &Settings, options: &ReplayOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let filter = options.choice.filter(options.limit);
    if options.ids.is_empty() && !filter.is_narrowed() {
        return Err(Failure::usage(
            "say which: ids, or at least one of --disposition, --partner, --event-id, --order, --since",
        ));
    }
    if options.choice.disposition == Some(Disposition::Rejected) {
        return Err(Failure::usage(
            "what was rejected is not kept: mend the cause, and the partner sends it again",
        ));
    }
    let engine = outbound::engine(settings).await?;
    let chosen = find(&engine, options).await?;
    for ((partner, disposition), count) in tally(&chosen) {
        writeln!(out, "{count:>6}  of {partner}, {disposition}")?;
    }
    if chosen.is_empty() {
        writeln!(out, "no callback fits")?;
        return Ok(DONE);
    }
    if options.dry_run {
        return Ok(DONE);
    }
    if !options.yes && !confirm(chosen.len(), "callbacks", "applied")? {
        writeln!(out, "nothing was applied again")?;
        return Ok(DONE);
    }
    let mut again = 0_usize;
    for heard in &chosen {
        match engine.replay_callback(heard.callback_id, BY).await? {
            Replayed::As(attempt) => {
                again += 1;
                writeln!(out, "{} again as {attempt}", heard.callback_id)?;
            }
            Replayed::Waits(state) => eprintln!("waybill: {} stays: it is {}", heard.callback_id, state.as_str()),
            Replayed::Unknown => eprintln!("waybill: {} is gone", heard.callback_id),
        }
    }
    writeln!(out, "{again} of {} are applied again", chosen.len())?;
    Ok(if again == chosen.len() { DONE } else { BAD })
}

async fn find(engine: &Engine, options: &ReplayOptions) -> Result<Vec<Heard>, Failure> {
    let store = engine.store();
    if options.ids.is_empty() {
        return Ok(engine.replayable(options.choice.filter(options.limit)).await?);
    }
    let mut found: Vec<Heard> = Vec::new();
    for id in &options.ids {
        let callback = store.callback(*id).await?.ok_or_else(|| unknown(*id))?;
        if found.iter().all(|other| other.callback_id != *id) {
            found.push(callback.into());
        }
    }
    Ok(found)
}
