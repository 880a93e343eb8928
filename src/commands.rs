//! The command line: what each command takes, and what it answers to the shell.

mod audit;
mod banner;
mod beat;
mod callbacks;
mod config;
mod confirm;
mod dead;
mod demo;
mod doctor;
mod failure;
mod graph;
mod logging;
mod migrate;
mod outbound;
mod process;
mod send;
mod simulator;
mod span;
mod status;
mod subscribers;
mod table;
mod token;
mod work;

use std::io::{self, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Parser, Subcommand};

use crate::app::{Does, Work};
use crate::config::{Role, Settings};
use crate::demo::DemoArgs;
use crate::partner_sim::SimulatorOptions;

pub use audit::AuditCommand;
pub use beat::BeatOptions;
pub use callbacks::CallbacksCommand;
pub use config::ConfigCommand;
use confirm::confirm;
pub use dead::{DeadCommand, ListOptions};
pub use doctor::DoctorOptions;
pub use failure::{BAD, DONE, FORCED, Failure, UNREACHABLE, USAGE};
pub use graph::{GraphCommand, Language, Which};
pub use send::SendOptions;
pub use status::StatusOptions;
pub use subscribers::{AddOptions, DeliveriesOptions, DeliveryState, SubscribersCommand};
pub use token::{TokenOptions, TokenRole};
pub use work::WorkOptions;

const AFTER: &str = "\
Without any settings `waybill all` runs on one machine: a SQLite file, an in-process transport, a simulated partner.
Real services are named by environment variables; `waybill config show` lists them all.

Exit codes: 0 done, or the verdict is good; 1 the verdict is bad; 2 usage or settings; 69 a service is not reachable;
70 the process was ended by force.";

/// Moves delivery orders from payment to confirmed delivery, and loses nothing on the way.
#[derive(Debug, Parser)]
#[command(name = "waybill", version, after_help = AFTER, max_term_width = 120)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `waybill` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The whole life of many orders, live on this terminal, with nothing installed; then a summary and a proof.
    Demo(DemoArgs),
    /// Serves HTTP: partner webhooks, customer confirmation, the API, metrics.
    ///
    /// Needs the database; a broker that is away is waited for, and what commits demand is published when it is back.
    #[command(
        after_help = "Example:\n  WAYBILL_DATABASE_URL=postgres://waybill@db/waybill WAYBILL_BROKER_URL=amqp://waybill@mq/%2f waybill serve"
    )]
    Serve,
    /// Consumes payment events and tasks, runs effects, and looks after what is due.
    ///
    /// As many processes as there is work. A signal stops it: what is in hand is finished, what is not goes back to the broker.
    #[command(
        after_help = "Examples:\n  WAYBILL_DATABASE_URL=postgres://waybill@db/waybill WAYBILL_BROKER_URL=amqp://waybill@mq/%2f waybill work\n  waybill work -Q waybill,reports -c 16 -n w1@%h -l info -E"
    )]
    Work(WorkOptions),
    /// Sends periodic tasks, as Celery's beat; safe to run twice.
    ///
    /// One beat of a schedule sends, the others wait for it. A tick is sent as one task, under an id that follows from it, and what
    /// was sent last is kept in RabbitMQ: a restart neither loses a tick nor repeats one.
    #[command(
        after_help = "Examples:\n  WAYBILL_BROKER_URL=amqp://waybill@mq/%2f waybill beat\n  waybill beat --schedule beat.yaml --check\n\nA schedule:\n  timezone: Europe/Berlin\n  entries:\n    reports:\n      task: tasks.report\n      queue: reports\n      crontab: \"30 6 * * mon-fri\"\n    look:\n      task: tasks.look\n      every: 15m\n      kwargs: {depth: 2}"
    )]
    Beat(BeatOptions),
    /// `serve` and `work` in one process; without settings on a SQLite file and an in-process transport.
    ///
    /// Keys that it needs are made beside the file at the first start, and named. With real services it takes the same settings as
    /// `serve` and `work`. Durable on one machine: what it has answered is on disk.
    #[command(
        after_help = "Examples:\n  waybill all\n  WAYBILL_HTTP_ADDR=127.0.0.1:9000 WAYBILL_DATABASE_URL=sqlite:///var/lib/waybill/waybill.db waybill all"
    )]
    All,
    /// Applies the migrations that the database lacks. Safe to run twice, and by several at once.
    #[command(
        after_help = "Example:\n  WAYBILL_DATABASE_URL=postgres://waybill@db/waybill waybill migrate\n\nForward only; the previous release works on while the next one's migrations are applied. A SQLite file migrates itself."
    )]
    Migrate,
    /// Checks, shows and draws the graphs that orders move through.
    #[command(subcommand)]
    Graph(GraphCommand),
    /// Shows the settings, without secrets.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Gives events to whatever transport is configured: payment events, CloudEvents, events about an order.
    ///
    /// Told apart by what they have: `specversion` is a CloudEvent, `delivery_order_id` and `event` an event about an order (with
    /// `fields` and `key`, in role service), anything else a payment event. Of a file with a defect nothing is sent.
    #[command(
        after_help = "Examples:\n  waybill send payment.json\n  waybill send monday.jsonl tuesday.jsonl\n  jq -c '.events[]' export.json | waybill send -\n  echo '{\"delivery_order_id\": \"…\", \"event\": \"CANCELLED\", \"fields\": {\"cancel_reason\": \"CUSTOMER_REQUEST\"}, \"key\": \"ticket-17\"}' | waybill send -\n\nExit code 0: all were sent; 1: a file has a defect; 69: the transport does not take them."
    )]
    Send(SendOptions),
    /// How everything is, on one screen: orders by state, cases, effects due, callbacks, messages set aside, processes.
    #[command(
        after_help = "Examples:\n  waybill status\n  watch waybill status\n  waybill status --json | jq .effects.lag_seconds"
    )]
    Status(StatusOptions),
    /// Reaches each service and looks at each thing that must be so, with the way out where it is not.
    ///
    /// Changes nothing. Settings, database, migrations, graph, data key, broker, queues, partners, public URL.
    #[command(
        after_help = "Examples:\n  waybill doctor\n  waybill doctor --json | jq '.checks[] | select(.verdict != \"ok\")'\n\nExit code 0: all good (a warning is no failure); 1: something is bad; 2: the settings are; 69: a service is not reachable."
    )]
    Doctor(DoctorOptions),
    /// Lists and shows what partners told, by what it was, and applies it again.
    #[command(subcommand)]
    Callbacks(CallbacksCommand),
    /// Lists, shows and sends again what was set aside because it was not understood.
    #[command(subcommand)]
    Dead(DeadCommand),
    /// Subscribers: who is told over HTTP, and how it goes.
    #[command(subcommand)]
    Subscribers(SubscribersCommand),
    /// Proves from the log that everything that must hold does.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Prints a token for the API, signed with the shared secret WAYBILL_JWT_KEY; for development and operators' scripts.
    #[command(
        after_help = "Example:\n  curl -H \"Authorization: Bearer $(waybill token --role operator --sub me)\" http://127.0.0.1:8080/v1/delivery-orders"
    )]
    Token(TokenOptions),
    /// A simulated delivery partner over HTTP: slow, failing, double answering, lying, by seed the same every time.
    #[command(
        after_help = "Example:\n  waybill partner-sim --fail 0.1 --duplicate 0.2 --outage 20+40 --callback-secret whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0\n\nIts ledger: GET /_ledger"
    )]
    PartnerSim(SimulatorOptions),
}

impl Cli {
    /// Whether the command reads messages that others wrote.
    pub fn meets_messages(&self) -> bool {
        matches!(
            self.command,
            Command::Serve | Command::Work(_) | Command::All | Command::Dead(_)
        )
    }
}

/// Carries a command out and answers the exit code.
pub async fn run(cli: Cli) -> u8 {
    match carry_out(cli.command).await {
        Ok(code) => code,
        Err(failure) => {
            if !failure.silent {
                eprintln!("waybill: {failure}");
            }
            failure.code
        }
    }
}

async fn carry_out(command: Command) -> Result<u8, Failure> {
    let mut out = io::stdout();
    let code = match command {
        Command::Demo(args) => demo::run(args).await?,
        Command::Serve => process::run(Role::Serve, Does::usual(true, Work::Nothing), None).await?,
        Command::Work(options) => process::run(Role::Work, options.does()?, Some(&options)).await?,
        Command::All => process::run(Role::All, Does::usual(true, Work::Everything), None).await?,
        Command::Beat(options) => beat::run(&options).await?,
        Command::Migrate => migrate::run(&mut out).await?,
        Command::Graph(command) => graph::run(&command, &mut out).await?,
        Command::Config(command) => config::run(&command, &mut out)?,
        Command::Send(options) => send::run(&options, &mut out).await?,
        Command::Status(options) => status::run(&options, &mut out).await?,
        Command::Doctor(options) => doctor::run(&options, &mut out).await?,
        Command::Callbacks(command) => callbacks::run(&command, &mut out).await?,
        Command::Dead(command) => dead::run(&command, &mut out).await?,
        Command::Subscribers(command) => subscribers::run(&command, &mut out).await?,
        Command::Audit(command) => audit::run(&command, &mut out).await?,
        Command::Token(options) => token::run(&options, &mut out)?,
        Command::PartnerSim(options) => simulator::run(options).await?,
    };
    out.flush()?;
    Ok(code)
}

/// A setting as `config show` shows it: without secrets.
fn shown(settings: &Settings, name: &str) -> String {
    let found = settings.describe().iter().find(|setting| setting.name == name);
    found.map_or_else(String::new, |setting| setting.value.clone())
}

/// An instant, to the second.
fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}
