//! `graph diff`: what two versions of a machine say differently, and which live orders could move over.

use std::io::{self, Write};

use serde::Serialize;
use waybill_domain::{Comparison, Difference, Graph, GraphVersion, Passage};

use super::{GraphCommandError, Selection, Verdict, select};
use crate::diagram::{self, Format};
use crate::template::Template;

/// How a difference is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Painting {
    /// In lines, for people.
    Text,
    /// For programs.
    Json,
    /// As one picture.
    Drawn(Format),
}

/// Tells what changed from one version to another, and per state whether its live orders may move over. The verdict is good if
/// all of them may.
pub fn diff(
    template: &Template,
    machine: Option<&str>,
    versions: (GraphVersion, GraphVersion),
    painting: Painting,
    out: &mut dyn Write,
) -> Result<Verdict, GraphCommandError> {
    let older = find(template, machine, versions.0)?;
    let newer = find(template, Some(older.machine().as_str()), versions.1)?;
    let comparison = older.compare(newer);
    match painting {
        Painting::Text => write!(out, "{}", text(older, newer, &comparison))?,
        Painting::Json => {
            serde_json::to_writer_pretty(&mut *out, &View::of(older, newer, &comparison)).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Painting::Drawn(format) => {
            let drawn = diagram::render_difference(older, newer, &comparison, format);
            write!(out, "{}", drawn.ok_or(GraphCommandError::NotDrawable)?)?;
        }
    }
    let all_may = comparison.passages.iter().all(Passage::is_open);
    Ok(if all_may { Verdict::Good } else { Verdict::Bad })
}

fn find<'t>(
    template: &'t Template,
    machine: Option<&str>,
    version: GraphVersion,
) -> Result<&'t Graph, GraphCommandError> {
    let selection = Selection {
        machine: machine.map(str::to_owned),
        version: Some(version),
    };
    match select(template, &selection)?.as_slice() {
        [only] => Ok(only.graph()),
        _ => Err(GraphCommandError::Ambiguous(super::inventory(template))),
    }
}

fn text(older: &Graph, newer: &Graph, comparison: &Comparison) -> String {
    let head = format!(
        "{} version {} -> version {}",
        older.machine(),
        older.version(),
        newer.version()
    );
    let mut lines = vec![head, String::new()];
    if comparison.differences.is_empty() {
        lines.push("They say the same.".to_owned());
    }
    lines.extend(comparison.differences.iter().map(ToString::to_string));
    lines.push(String::new());
    for passage in &comparison.passages {
        let verdict = if passage.is_open() {
            "orders may move"
        } else {
            "orders stay pinned"
        };
        lines.push(format!("{}: {verdict}", passage.state));
        lines.extend(passage.blockers.iter().map(|why| format!("  because {why}")));
        lines.extend(passage.changes.iter().map(|change| format!("  then {change}")));
    }
    lines.join("\n") + "\n"
}

/// A comparison as other programs see it.
#[derive(Debug, Serialize)]
struct View {
    machine: String,
    from: GraphVersion,
    to: GraphVersion,
    differences: Vec<DifferenceView>,
    states: Vec<PassageView>,
}

#[derive(Debug, Serialize)]
struct DifferenceView {
    place: String,
    was: Option<String>,
    is: Option<String>,
}

#[derive(Debug, Serialize)]
struct PassageView {
    state: String,
    may_move: bool,
    because: Vec<String>,
    changes: Vec<String>,
}

impl View {
    fn of(older: &Graph, newer: &Graph, comparison: &Comparison) -> Self {
        let passages = comparison.passages.iter().map(|passage| PassageView {
            state: passage.state.to_string(),
            may_move: passage.is_open(),
            because: passage.blockers.clone(),
            changes: passage.changes.clone(),
        });
        Self {
            machine: older.machine().to_string(),
            from: older.version(),
            to: newer.version(),
            differences: comparison.differences.iter().map(DifferenceView::of).collect(),
            states: passages.collect(),
        }
    }
}

impl DifferenceView {
    fn of(difference: &Difference) -> Self {
        let (place, was, is) = match difference.clone() {
            Difference::Added { place, is } => (place, None, Some(is)),
            Difference::Removed { place, was } => (place, Some(was), None),
            Difference::Changed { place, was, is } => (place, Some(was), Some(is)),
        };
        Self { place, was, is }
    }
}
