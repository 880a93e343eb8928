//! `waybill audit verify`: replays every log, and says whether everything that must hold does.

use std::io::{self, IsTerminal as _, Write};

use clap::Subcommand;
use serde_json::json;
use waybill_domain::GraphVersion;

use super::failure::{BAD, DONE};
use super::{Failure, logging, table};
use crate::app::{open_store, read_template};
use crate::config::{Role, Settings};
use crate::store::Audit;

/// `waybill audit …`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Replays the log of every order, checks the hash chain and every invariant, and names the rows where one does not hold.
    ///
    /// Reads only; safe beside running processes.
    #[command(
        after_help = "Examples:\n  waybill audit verify\n  waybill audit verify --json > audit.json\n\nExit code 0: everything holds; 1: something does not. docs/architecture.md lists the invariants."
    )]
    Verify {
        /// For programs.
        #[arg(long, conflicts_with = "quiet")]
        json: bool,
        /// Says nothing; the exit code is the verdict.
        #[arg(long)]
        quiet: bool,
    },
}

pub(super) async fn run(command: &AuditCommand, out: &mut dyn Write) -> Result<u8, Failure> {
    let AuditCommand::Verify { json, quiet } = command;
    let settings = Settings::from_environment(Role::Operator)?;
    logging::start_if_asked(&settings)?;
    let template = read_template(&settings)?;
    let store = open_store(&settings, false).await?;
    let total: i64 = store.count_states().await?.iter().map(|(.., count)| count).sum();
    let watched = !quiet && io::stderr().is_terminal();
    // An order may be pinned to a version that is only in the database.
    store.learn_all().await?;
    let graphs = |machine: &str, version: u32| {
        let version = GraphVersion(version);
        template
            .graph(machine, version)
            .cloned()
            .or_else(|| store.graph(machine, version))
    };
    let progress = |done: u64| {
        if watched {
            eprint!("\r{done} of {total} orders");
        }
    };
    let audit = store.audit(graphs, progress).await?;
    if watched {
        // The line of the progress is not part of the answer.
        eprint!("\r\x1b[K");
    }
    match (json, quiet) {
        (true, _) => {
            let good = audit.violations == 0;
            let verdict = json!({ "verdict": if good { "good" } else { "bad" }, "audit": audit });
            serde_json::to_writer_pretty(&mut *out, &verdict)?;
            writeln!(out)?;
        }
        (false, true) => {}
        (false, false) => write(&audit, out)?,
    }
    Ok(if audit.violations == 0 { DONE } else { BAD })
}

fn write(audit: &Audit, out: &mut dyn Write) -> Result<(), Failure> {
    let Audit {
        orders,
        log_rows,
        effects,
        violations,
        findings,
    } = audit;
    let seen = format!("{orders} orders, {log_rows} log rows, {effects} effects");
    if findings.is_empty() {
        writeln!(out, "good: {seen}; everything holds")?;
        return Ok(());
    }
    writeln!(out, "bad: {seen}; {violations} times something does not hold")?;
    let mut rows = vec![["INVARIANT", "SUBJECT", "ROW", "DETAIL"].map(str::to_owned).to_vec()];
    rows.extend(findings.iter().map(|finding| {
        let sequence = finding
            .sequence
            .map_or_else(|| "-".to_owned(), |sequence| sequence.to_string());
        vec![
            finding.invariant.to_owned(),
            finding.subject.clone(),
            sequence,
            finding.detail.clone(),
        ]
    }));
    write!(out, "{}", table::write(&rows))?;
    if findings.len() as u64 != *violations {
        writeln!(out, "… and {} more", violations - findings.len() as u64)?;
    }
    Ok(())
}
