//! `waybill graph`: checks, locks, shows, compares and draws the graphs of a template.

use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use tokio_util::sync::CancellationToken;
use waybill_domain::{GraphVersion, StateName};

use super::Failure;
use super::failure::{BAD, DONE};
use super::process::Signals;
use crate::app::{invoker, open_store, read_template};
use crate::config::{Role, Settings};
use crate::diagram::Format;
use crate::engine::MACHINE;
use crate::graph_commands::{self, GraphCommandError, Manner, Move, Painting, Selection, Style, Verdict};
use crate::store::Store;
use crate::template::{Lock, Share, Template};

/// `waybill graph …`.
#[derive(Debug, Subcommand)]
pub enum GraphCommand {
    /// Says that a template is good, or lists everything that is wrong with it, by line and column.
    #[command(
        after_help = "Examples:\n  waybill graph check\n  waybill graph check cloudformation/delivery-graph.yaml\n\nExit code 0: good; 1: faults were listed; 2: the file cannot be read."
    )]
    Check {
        /// The template; otherwise that of WAYBILL_GRAPH, otherwise the one that is compiled in.
        file: Option<PathBuf>,
    },
    /// Adds the hashes of newly published versions to the lock file beside a template; a published version is never edited.
    #[command(after_help = "Examples:\n  waybill graph lock cloudformation/delivery-graph.yaml")]
    Lock {
        /// The template.
        file: PathBuf,
    },
    /// Compares two versions: what changed, and in which states live orders may move over, and why not.
    #[command(
        after_help = "Examples:\n  waybill graph diff 1 2\n  waybill graph diff 1 2 --format svg > difference.svg\n\nExit code 0: all live orders may move; 1: some stay pinned."
    )]
    Diff {
        /// The older version.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        from: u32,
        /// The newer one.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        to: u32,
        /// Of this machine, such as delivery-order.
        #[arg(long, value_name = "M")]
        machine: Option<String>,
        /// The template; otherwise that of WAYBILL_GRAPH, otherwise those that are compiled in.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// How it is told.
        #[arg(long, value_enum, default_value_t = Telling::Text)]
        format: Telling,
    },
    /// Keeps every version of a template in the database; a version that was published before must be the same.
    #[command(
        after_help = "Examples:\n  waybill graph publish\n  waybill graph publish cloudformation/delivery-graph.yaml"
    )]
    Publish {
        /// The template; otherwise that of WAYBILL_GRAPH, otherwise the one that is compiled in.
        file: Option<PathBuf>,
    },
    /// Lets new orders be born with these versions: from the moment on that this answers, on every node.
    #[command(
        after_help = "Examples:\n  waybill graph activate 2\n  waybill graph activate 1=90 2=10\n\nExit code 0: done; 1: refused."
    )]
    Activate {
        /// One or two versions with their per cent of new orders.
        #[arg(required = true, num_args = 1..=2, value_name = "VERSION[=WEIGHT]", value_parser = share)]
        shares: Vec<Share>,
        /// Of this machine.
        #[arg(long, value_name = "M", default_value = MACHINE)]
        machine: String,
    },
    /// Retires a version for ever; refused while orders live on it.
    #[command(
        after_help = "Examples:\n  waybill graph retire 1\n\nExit code 0: done; 1: refused, with how many orders live on it."
    )]
    Retire {
        /// Which.
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        version: u32,
        /// Of this machine.
        #[arg(long, value_name = "M", default_value = MACHINE)]
        machine: String,
    },
    /// Moves live orders of one version to another, each whole or not at all, beside everything else that moves them.
    ///
    /// An order keeps its state, or takes the one that `--map` says, and its log keeps who moved it from where to where. Deadlines that
    /// both versions have stay; others are armed as the new version says, counted from when the order came to where it stands. No
    /// effects follow. What is on the new version already is done: stopped or killed, the same command goes on from there.
    #[command(
        after_help = "Examples:\n  waybill graph migrate-orders --from 1 --to 2 --dry-run\n  waybill graph migrate-orders --from 1 --to 2 --map PICKED_UP=COLLECTED --by ada\n\nExit code 0: none stays on the old version; 1: some do, and why was listed."
    )]
    MigrateOrders {
        /// The version that they leave.
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        from: u32,
        /// The version that they move to.
        #[arg(long, value_name = "VERSION", value_parser = clap::value_parser!(u32).range(1..))]
        to: u32,
        /// What a state is called in the new version; for a state of both (CREATED=CREATED), that its events may mean something else.
        #[arg(long, value_name = "OLD=NEW", value_parser = mapped)]
        map: Vec<(StateName, StateName)>,
        /// Says of every live order what would become of it, and changes nothing.
        #[arg(long)]
        dry_run: bool,
        /// At most so many orders a second; fewer, if the database is busy.
        #[arg(long, value_name = "ORDERS", default_value = "2500")]
        per_second: NonZeroU32,
        /// Who moves them: what the log keeps; otherwise whoever runs this, as user@host.
        #[arg(long, value_name = "NAME")]
        by: Option<String>,
        /// Of this machine.
        #[arg(long, value_name = "M", default_value = MACHINE)]
        machine: String,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Lists the versions in the database: published, active, draining or retired, and how many orders live on each.
    Versions {
        /// Of this machine.
        #[arg(long, value_name = "M", default_value = MACHINE)]
        machine: String,
    },
    /// Shows states with their requirements, effects and deadlines, and transitions with their roles.
    #[command(
        after_help = "Examples:\n  waybill graph show\n  waybill graph show --machine delivery-order --version 1 --json"
    )]
    Show {
        /// Which graphs.
        #[command(flatten)]
        which: Which,
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// Draws one graph, the happy path first.
    #[command(
        after_help = "Examples:\n  waybill graph diagram > delivery-order.svg\n  waybill graph diagram --format dot | dot -Tpng > delivery-order.png"
    )]
    Diagram {
        /// Which graphs.
        #[command(flatten)]
        which: Which,
        /// In which language.
        #[arg(long, value_enum, default_value_t = Language::Svg)]
        format: Language,
    },
    /// Judges what CloudFormation is about to do: a change set must not edit or remove a published version.
    #[command(
        after_help = "Example:\n  aws cloudformation describe-change-set --stack-name waybill-graph --change-set-name next | waybill graph gate\n\nExit code 0: may be executed; 1: must not, the reasons were listed; 2: this is no change set."
    )]
    Gate {
        /// What `aws cloudformation describe-change-set` printed; standard input if none is named.
        file: Option<PathBuf>,
        /// A version that may be removed, such as DeliveryGraphV1.
        #[arg(long, value_name = "LOGICAL_ID")]
        retire: Vec<String>,
    },
}

/// How a difference is told.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Telling {
    /// In lines.
    Text,
    /// For programs.
    Json,
    /// As a picture for browsers.
    Svg,
    /// As a picture that Markdown viewers draw.
    Mermaid,
}

impl From<Telling> for Painting {
    fn from(telling: Telling) -> Self {
        match telling {
            Telling::Text => Self::Text,
            Telling::Json => Self::Json,
            Telling::Svg => Self::Drawn(Format::Svg),
            Telling::Mermaid => Self::Drawn(Format::Mermaid),
        }
    }
}

/// Which graphs of which template.
#[derive(Debug, Args)]
pub struct Which {
    /// Only this machine, such as delivery-order.
    #[arg(long, value_name = "M")]
    machine: Option<String>,
    /// Only this version.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// The template; otherwise that of WAYBILL_GRAPH, otherwise the one that is compiled in.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// How a diagram is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Language {
    /// A picture for browsers.
    Svg,
    /// Graphviz.
    Dot,
    /// Mermaid, which Markdown viewers draw.
    Mermaid,
    /// PlantUML.
    Plantuml,
}

impl From<Language> for Format {
    fn from(language: Language) -> Self {
        match language {
            Language::Svg => Self::Svg,
            Language::Dot => Self::Dot,
            Language::Mermaid => Self::Mermaid,
            Language::Plantuml => Self::Plantuml,
        }
    }
}

impl Which {
    fn selection(&self) -> Selection {
        Selection {
            machine: self.machine.clone(),
            version: self.version.map(GraphVersion),
        }
    }

    fn template(&self) -> Result<Arc<Template>, Failure> {
        template(self.file.as_deref(), self.machine.as_deref())
    }
}

/// A named file is read without a look at the settings. Where these name none either, delivery orders are meant, or the machine.
fn template(file: Option<&Path>, machine: Option<&str>) -> Result<Arc<Template>, Failure> {
    if let Some(file) = file {
        return Ok(Arc::new(Template::read(file)?));
    }
    let settings = Settings::from_environment(Role::Show)?;
    match (&settings.graph, machine) {
        (None, Some(_)) => Ok(Arc::new(Template::every_machine().clone())),
        _ => Ok(read_template(&settings)?),
    }
}

/// `2`, `1=90`: a version, with all new orders or so many per cent of them.
fn share(text: &str) -> Result<Share, String> {
    let (version, weight) = text.split_once('=').unwrap_or((text, "100"));
    let number = |text: &str| text.parse().map_err(|_| format!("found {text:?}, expected a number"));
    Ok(Share {
        version: GraphVersion(number(version)?),
        weight: number(weight)?,
    })
}

/// `PICKED_UP=COLLECTED`: a state, and what it is called in the new version.
fn mapped(text: &str) -> Result<(StateName, StateName), String> {
    let pair = text
        .split_once('=')
        .filter(|(old, new)| !old.is_empty() && !new.is_empty());
    let (old, new) = pair.ok_or_else(|| format!("found {text:?}, expected OLD=NEW"))?;
    Ok((old.into(), new.into()))
}

/// The commands that need the database; whoever runs them is who the system says.
async fn run_stored(command: &GraphCommand, out: &mut (dyn Write + Send)) -> Result<Verdict, Failure> {
    let settings = Settings::from_environment(Role::Operator)?;
    let store = open_store(&settings, false).await?;
    let by = &invoker();
    Ok(match command {
        GraphCommand::Activate { shares, machine } => {
            graph_commands::activate(&store, machine, shares, by, out).await?
        }
        GraphCommand::Retire { version, machine } => {
            graph_commands::retire(&store, machine, GraphVersion(*version), by, out).await?
        }
        GraphCommand::Versions { machine } => graph_commands::versions(&store, machine, out).await?,
        GraphCommand::MigrateOrders { .. } => migrate_orders(command, &store, out).await?,
        GraphCommand::Publish { file } => {
            let path = file.as_deref().or(settings.graph.as_deref());
            let template = template(path, None)?;
            let lock = match path {
                Some(path) => Lock::beside(path).map_err(GraphCommandError::from)?,
                None => Some(Lock::shipped()),
            };
            graph_commands::publish(&store, &template, lock.as_ref(), out).await?
        }
        _ => Verdict::Good,
    })
}

/// Beside what is told in the end, a terminal sees how far it is; a signal ends it after what is in hand.
async fn migrate_orders(
    command: &GraphCommand,
    store: &Store,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, Failure> {
    let GraphCommand::MigrateOrders {
        from,
        to,
        map,
        dry_run,
        per_second,
        by,
        machine,
        json,
    } = command
    else {
        return Ok(Verdict::Good);
    };
    let asked = Move {
        machine: machine.clone(),
        from: GraphVersion(*from),
        to: GraphVersion(*to),
        mapping: map.iter().cloned().collect(),
    };
    let style = if *json { Style::Json } else { Style::Text };
    let watched = io::stderr().is_terminal();
    let total = store.count_pinned(&asked.machine, asked.from).await?;
    let progress = move |done: u64| {
        if watched {
            eprint!("\r{done} of {total} orders");
        }
    };
    let mut told = Vec::new();
    let verdict = if *dry_run {
        graph_commands::rehearse_migration(store, &asked, style, progress, &mut told).await
    } else {
        let stop = CancellationToken::new();
        let mut signals = Signals::listen()?;
        let manner = Manner {
            by: by.clone().unwrap_or_else(invoker),
            per_second: *per_second,
            stop: stop.clone(),
        };
        let mut moving = pin!(graph_commands::migrate_orders(
            store, &asked, manner, style, progress, &mut told
        ));
        loop {
            tokio::select! {
                verdict = &mut moving => break verdict,
                () = signals.next() => stop.cancel(),
            }
        }
    };
    if watched {
        // The line of the progress is not part of the answer.
        eprint!("\r\x1b[K");
    }
    out.write_all(&told)?;
    Ok(verdict?)
}

pub(super) async fn run(command: &GraphCommand, out: &mut (dyn Write + Send)) -> Result<u8, Failure> {
    let verdict = match command {
        GraphCommand::Publish { .. }
        | GraphCommand::Activate { .. }
        | GraphCommand::Retire { .. }
        | GraphCommand::MigrateOrders { .. }
        | GraphCommand::Versions { .. } => run_stored(command, out).await?,
        GraphCommand::Gate { file, retire } => {
            let text = match file {
                Some(file) => fs::read_to_string(file)
                    .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))?,
                None => io::read_to_string(io::stdin())?,
            };
            graph_commands::gate(&text, retire, out)?
        }
        GraphCommand::Check { file: Some(file) } => graph_commands::check(Some(file), out)?,
        GraphCommand::Check { file: None } => {
            let settings = Settings::from_environment(Role::Show)?;
            graph_commands::check(settings.graph.as_deref(), out)?
        }
        GraphCommand::Lock { file } => graph_commands::lock(file, out)?,
        GraphCommand::Diff {
            from,
            to,
            machine,
            file,
            format,
        } => {
            let versions = (GraphVersion(*from), GraphVersion(*to));
            let machine = machine.as_deref();
            graph_commands::diff(
                &*template(file.as_deref(), machine)?,
                machine,
                versions,
                (*format).into(),
                out,
            )?
        }
        GraphCommand::Show { which, json } => {
            let style = if *json { Style::Json } else { Style::Text };
            graph_commands::show(&*which.template()?, &which.selection(), style, out)?
        }
        GraphCommand::Diagram { which, format } => {
            graph_commands::diagram(&*which.template()?, &which.selection(), (*format).into(), out)?
        }
    };
    Ok(match verdict {
        Verdict::Good => DONE,
        Verdict::Bad => BAD,
    })
}
