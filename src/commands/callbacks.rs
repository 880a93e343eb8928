//! `waybill callbacks`: what partners told, to list by what it was, to look at, and to apply again.

mod list;
mod replay;
mod show;

use std::io::Write;

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::{Failure, logging, span};
use crate::config::{Role, Settings};
use crate::store::{CallbackFilter, Disposition};
use replay::ReplayOptions;

/// `waybill callbacks …`.
#[derive(Debug, Subcommand)]
pub enum CallbacksCommand {
    /// Lists callbacks, newest first; those that were not believed with `--disposition rejected`.
    #[command(
        after_help = "Examples:\n  waybill callbacks list --disposition unmapped --since 2h\n  waybill callbacks list --disposition rejected --partner swift --json"
    )]
    List(ListOptions),
    /// Shows one callback. Of what it said everything is hidden that is not known to be harmless.
    #[command(after_help = "Example:\n  waybill callbacks show 0199a1b2-0000-7000-8000-000000000000")]
    Show {
        /// Its id, as `waybill callbacks list` shows it.
        id: Uuid,
        /// Hides nothing: names, addresses and PINs too. Mind where the output goes.
        #[arg(long)]
        whole: bool,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Applies callbacks again, each as a new attempt that is linked to the original, which stays as it is.
    ///
    /// Nothing happens twice: what a callback told before is noted as a duplicate. One that waits for its turn is left alone.
    #[command(
        after_help = "Examples:\n  waybill callbacks replay 0199a1b2-0000-7000-8000-000000000000\n  waybill callbacks replay --disposition unmapped --partner swift --dry-run\n  waybill callbacks replay --disposition unmapped --partner swift --yes\n\nExit code 0: all are applied again; 1: not all."
    )]
    Replay(ReplayOptions),
}

/// Which callbacks. All that is given must fit.
#[derive(Debug, Args)]
pub(super) struct Choice {
    /// What it was: accepted, early, duplicate, stale, noted, unmapped, orphan, conflict, unresolved, rejected.
    #[arg(long, value_name = "WORD")]
    disposition: Option<Disposition>,
    /// Of this partner; `-` are rejected ones of nobody we know.
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// With this id of the partner's.
    #[arg(long, value_name = "ID")]
    event_id: Option<String>,
    /// About this delivery order.
    #[arg(long, value_name = "ID")]
    order: Option<Uuid>,
    /// Received after: an instant, or a span before now, such as 2h.
    #[arg(long, value_name = "WHEN", value_parser = span::parse_since)]
    since: Option<DateTime<Utc>>,
}

impl Choice {
    fn filter(&self, limit: i64) -> CallbackFilter {
        CallbackFilter {
            disposition: self.disposition,
            partner: self.partner.clone(),
            event_id: self.event_id.clone(),
            order_id: self.order.map(OrderId),
            received_after: self.since,
            limit,
            ..CallbackFilter::default()
        }
    }
}

/// Which callbacks to list.
#[derive(Debug, Args)]
pub struct ListOptions {
    #[command(flatten)]
    choice: Choice,
    /// For programs.
    #[arg(long)]
    json: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

pub(super) async fn run(command: &CallbacksCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = Settings::from_environment(Role::Operator)?;
    logging::start_if_asked(&settings)?;
    match command {
        CallbacksCommand::List(options) => list::run(&settings, options, out).await,
        CallbacksCommand::Show { id, whole, json } => show::run(&settings, *id, *whole, *json, out).await,
        CallbacksCommand::Replay(options) => replay::run(&settings, options, out).await,
    }
}

/// Nobody knows it.
fn unknown(id: Uuid) -> Failure {
    Failure::bad(format!(
        "there is no callback {id} (`waybill callbacks list` lists those there are)"
    ))
}
