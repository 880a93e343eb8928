//! `waybill graph`: checks, shows and draws the graphs of a template.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand, ValueEnum};
use waybill_domain::GraphVersion;

use super::Failure;
use super::failure::{BAD, DONE};
use crate::app::read_template;
use crate::config::{Role, Settings};
use crate::diagram::Format;
use crate::graph_commands::{self, Selection, Style, Verdict};
use crate::template::Template;

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

    /// A named file is read without a look at the settings.
    fn template(&self) -> Result<Arc<Template>, Failure> {
        match &self.file {
            Some(file) => Ok(Arc::new(Template::read(file)?)),
            None => Ok(read_template(&Settings::from_environment(Role::Show)?)?),
        }
    }
}

pub(super) fn run(command: &GraphCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let verdict = match command {
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
