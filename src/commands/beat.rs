//! `waybill beat`: sends periodic tasks until it is told to stop.

use std::path::PathBuf;

use chrono::Utc;
use clap::Args;
use tokio_util::sync::CancellationToken;
use tracing::info;
use waybill_tasks::celery::beat::Schedule;

use super::failure::{DONE, FORCED};
use super::process::Signals;
use super::work::Level;
use super::{Failure, instant, shown};
use crate::app::{open_beat, read_schedule};
use crate::config::{Role, Settings};

/// `waybill beat`.
#[derive(Debug, Clone, Args)]
pub struct BeatOptions {
    /// The schedule, in YAML; what Waybill itself needs if left out.
    #[arg(short = 's', long, value_name = "FILE")]
    pub schedule: Option<PathBuf>,
    /// Read the schedule, print the next ticks, and send nothing.
    #[arg(long)]
    pub check: bool,
    /// What is logged; WAYBILL_LOG says more.
    #[arg(short = 'l', long, value_name = "LEVEL", ignore_case = true)]
    pub loglevel: Option<Level>,
}

pub(super) async fn run(options: &BeatOptions) -> Result<u8, Failure> {
    let role = if options.check { Role::Show } else { Role::Beat };
    let mut settings = Settings::from_environment(role)?;
    if let Some(level) = options.loglevel {
        level.filter().clone_into(&mut settings.log.filter);
    }
    let schedule = read_schedule(options.schedule.as_deref(), &settings)?;
    if options.check {
        print!("{}", next_ticks(&schedule));
        return Ok(DONE);
    }
    super::logging::start(&settings)?;
    let mut signals = Signals::listen()?;
    info!(
        "waybill beat {}; broker: {}; schedule: {}",
        env!("CARGO_PKG_VERSION"),
        shown(&settings, "WAYBILL_BROKER_URL"),
        schedule.name
    );
    for line in next_ticks(&schedule).lines() {
        info!("next: {line}");
    }
    let (beat, transport) = open_beat(schedule, &settings)?;
    let stop = CancellationToken::new();
    let sending = tokio::spawn(beat.run(stop.clone()));
    info!("waybill beat is ready");
    signals.next().await;
    stop.cancel();
    let stopped = async {
        // A panic has been logged; what was not sent is sent after the next start.
        let _ = sending.await;
        transport.close().await;
    };
    tokio::select! {
        () = stopped => Ok(DONE),
        () = signals.next() => Ok(FORCED),
    }
}

/// One line an entry.
fn next_ticks(schedule: &Schedule) -> String {
    let now = Utc::now();
    let lines = schedule.entries.iter().map(|entry| {
        let next = entry.when.next(now).map_or_else(|| "never".to_owned(), instant);
        format!("{next}  {}  {} to {}\n", entry.name, entry.task, entry.queue)
    });
    lines.collect()
}
