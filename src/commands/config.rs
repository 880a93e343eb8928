//! `waybill config show`: what the settings come to, secrets hidden.

use std::io::Write;

use clap::Subcommand;

use super::failure::DONE;
use super::{Failure, table};
use crate::config::{Described, Role, Settings, Source};

/// `waybill config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting with its value and where it comes from. Secrets are hidden.
    #[command(
        after_help = "Examples:\n  waybill config show\n  waybill config show --json | jq '.[] | select(.source != \"default\")'"
    )]
    Show {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &ConfigCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let ConfigCommand::Show { json } = command;
    let settings = Settings::from_environment(Role::Show)?;
    if *json {
        serde_json::to_writer_pretty(&mut *out, settings.describe())?;
        writeln!(out)?;
        return Ok(DONE);
    }
    let mut rows = vec![["NAME", "VALUE", "FROM"].map(str::to_owned).to_vec()];
    rows.extend(settings.describe().iter().map(row));
    write!(out, "{}", table::write(&rows))?;
    Ok(DONE)
}

fn row(setting: &Described) -> Vec<String> {
    let source = match setting.source {
        Source::Default => "default",
        Source::Environment => "environment",
        Source::File => "file",
    };
    vec![setting.name.to_owned(), setting.value.clone(), source.to_owned()]
}
