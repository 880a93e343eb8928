//! `waybill dead`: messages and callbacks set aside, to list, look at, and send again.

pub(super) mod body;
mod list;
mod replay;
mod show;

use std::io::Write;

use chrono::{DateTime, Utc};
use clap::Subcommand;
use uuid::Uuid;

use super::{Failure, logging, span};
use crate::config::{Role, Settings};
use replay::ReplayOptions;

/// `waybill dead …`.
#[derive(Debug, Subcommand)]
pub enum DeadCommand {
    /// Lists what was set aside and not sent again, oldest first.
    #[command(
        after_help = "Examples:\n  waybill dead list\n  waybill dead list --reason unknown-task --since 2h --json"
    )]
    List(ListOptions),
    /// Shows one message. Of headers and body everything is hidden that is not known to be harmless.
    #[command(
        after_help = "Examples:\n  waybill dead show 0199a1b2-0000-7000-8000-000000000000\n  waybill dead show 0199a1b2-0000-7000-8000-000000000000 --whole"
    )]
    Show {
        /// Its id, as `waybill dead list` shows it.
        id: Uuid,
        /// Hides nothing: names, addresses and PINs too. Mind where the output goes.
        #[arg(long)]
        whole: bool,
        /// For programs; a whole body in base64 where it is no text.
        #[arg(long)]
        json: bool,
    },
    /// Sends messages again: to the queue that they came from, as they came.
    ///
    /// A partner's callback was set aside because its id had been used for another content: it is applied, as another attempt at the
    /// callback that has the id. Look at both first (`waybill callbacks list --event-id`): the graph decides what it still moves.
    ///
    /// Only the user id is left out, because the broker takes no other user's. A message that is still not understood is set
    /// aside again, as a new one.
    #[command(
        after_help = "Examples:\n  waybill dead replay 0199a1b2-0000-7000-8000-000000000000\n  waybill dead replay --filter reason=unknown-task --filter since=2h --yes\n\nExit code 0: all were sent again; 1: not all."
    )]
    Replay(ReplayOptions),
}

/// Which messages to list.
#[derive(Debug, clap::Args)]
pub struct ListOptions {
    /// For programs.
    #[arg(long)]
    json: bool,
    /// Only those that came this way: amqp, local or webhook.
    #[arg(long)]
    source: Option<String>,
    /// Only those of this queue.
    #[arg(long)]
    queue: Option<String>,
    /// Only those of this task.
    #[arg(long)]
    task: Option<String>,
    /// Only those set aside for this reason, such as unknown-task.
    #[arg(long)]
    reason: Option<String>,
    /// Only those received after: an instant, or a span before now, such as 2h.
    #[arg(long, value_name = "WHEN", value_parser = span::parse_since)]
    since: Option<DateTime<Utc>>,
    /// Those that were sent again, too.
    #[arg(long)]
    all: bool,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
}

pub(super) async fn run(command: &DeadCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let settings = Settings::from_environment(Role::Operator)?;
    logging::start_if_asked(&settings)?;
    match command {
        DeadCommand::List(options) => list::run(&settings, options, out).await,
        DeadCommand::Show { id, whole, json } => show::run(&settings, *id, *whole, *json, out).await,
        DeadCommand::Replay(options) => replay::run(&settings, options, out).await,
    }
}
