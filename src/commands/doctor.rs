//! `waybill doctor`: reaches each service, and says of each thing whether it is as it must be, and the way out.

mod broker;
mod check;
mod database;
mod partners;
mod public_url;
mod settings;

use std::io::{IsTerminal as _, Write};

use clap::Args;
use serde_json::json;

use super::failure::{BAD, DONE, UNREACHABLE, USAGE};
use super::{Failure, logging};
use crate::config::{Role, Settings};
use check::{Check, Verdict};

/// How to say it.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// For programs.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(options: &DoctorOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let (mut checks, mut code) = (Vec::new(), DONE);
    match Settings::from_environment(Role::Show) {
        Err(error) => {
            checks.push(Check::fail("settings", error.to_string()));
            code = USAGE;
        }
        Ok(settings) => {
            logging::start_if_asked(&settings)?;
            checks.push(settings::check(&settings));
            // Services are waited for side by side: one that is away holds up no other.
            let (database, broker, partners, public_url) = tokio::join!(
                database::check(&settings),
                broker::check(&settings),
                partners::check(&settings),
                public_url::check(&settings),
            );
            checks.extend(database.into_iter().chain(broker).chain(partners).chain([public_url]));
        }
    }
    for check in &checks {
        code = match check.verdict {
            Verdict::Unreachable if code != USAGE => UNREACHABLE,
            Verdict::Fail if code == DONE => BAD,
            _ => code,
        };
    }
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &json!({ "good": code == DONE, "checks": checks }))?;
        writeln!(out)?;
        return Ok(code);
    }
    let colours = std::io::stdout().is_terminal();
    for check in &checks {
        writeln!(out, "{}", check.line(colours))?;
    }
    Ok(code)
}
