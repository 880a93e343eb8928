//! The operator commands `graph check`, `graph show` and `graph diagram`, without their command line.
//!
//! They write to `out` what belongs on standard output and answer a verdict; `main` turns that into an exit code: good 0,
//! bad 1, an error 2.

mod gate;
mod table;
mod view;

use std::io::{self, Write};
use std::path::Path;

use waybill_domain::{Graph, GraphVersion};

use crate::diagram::{self, Format};
use crate::template::{Published, SHIPPED_NAME, Template, TemplateError};

pub use gate::gate;
pub use view::{DeadlineView, EdgeView, GraphView, StateView};

/// What a command found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// Not so; what is wrong was written.
    Bad,
}

/// How `show` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Tables for people.
    Text,
    /// For programs.
    Json,
}

/// Which graphs of a template are meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of which machine; any if none.
    pub machine: Option<String>,
    /// Which version; any if none.
    pub version: Option<GraphVersion>,
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum GraphCommandError {
    /// The template cannot be read.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// No graph is what was asked for.
    #[error("no such graph, this template has {0}")]
    NoSuchGraph(String),
    /// Several are.
    #[error("which machine? this template has {0}")]
    Ambiguous(String),
    /// What was given is no change set, or not all of one.
    #[error("not a change set, as `aws cloudformation describe-change-set` prints it: {0}")]
    ChangeSet(String),
    /// The output is closed.
    #[error("cannot write")]
    Output(#[from] io::Error),
}

/// Checks a template file, or the one that is compiled in: says that it is good, or everything that is wrong with it.
pub fn check(file: Option<&Path>, out: &mut dyn Write) -> Result<Verdict, GraphCommandError> {
    let name = file.map_or_else(|| SHIPPED_NAME.to_owned(), |file| file.display().to_string());
    let template = match file.map_or_else(|| Ok(Template::shipped().clone()), Template::read) {
        Ok(template) => template,
        Err(error @ TemplateError::Faulty { .. }) => {
            writeln!(out, "{error}")?;
            return Ok(Verdict::Bad);
        }
        Err(error @ TemplateError::Unreadable { .. }) => return Err(error.into()),
    };
    for published in template.published() {
        let graph = published.graph();
        let edges: usize = graph.states().map(|state| state.edges.len()).sum();
        writeln!(
            out,
            "{name}: {} version {} is good: {} states, {edges} transitions, sha256 {}",
            graph.machine(),
            graph.version(),
            graph.states().count(),
            published.sha256()
        )?;
    }
    Ok(Verdict::Good)
}

/// Shows the selected graphs: states with rank, kind, requirements, effects and deadline, and transitions with roles.
pub fn show(
    template: &Template,
    selection: &Selection,
    style: Style,
    out: &mut dyn Write,
) -> Result<Verdict, GraphCommandError> {
    let chosen = select(template, selection)?;
    let views: Vec<GraphView> = chosen
        .iter()
        .map(|published| GraphView::of(template, published))
        .collect();
    match style {
        Style::Json => {
            serde_json::to_writer_pretty(&mut *out, &views).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Style::Text => {
            let texts: Vec<String> = views.iter().map(table::write).collect();
            write!(out, "{}", texts.join("\n"))?;
        }
    }
    Ok(Verdict::Good)
}

/// Draws one graph: the selected version, or the newest of the machine.
pub fn diagram(
    template: &Template,
    selection: &Selection,
    format: Format,
    out: &mut dyn Write,
) -> Result<Verdict, GraphCommandError> {
    let chosen = select(template, selection)?;
    let graphs: Vec<&Graph> = chosen.iter().map(|published| published.graph().as_ref()).collect();
    // By machine and version: the last is the newest, if all are of one machine.
    let Some((newest, others)) = graphs.split_last() else {
        return Err(unknown(template));
    };
    if others.iter().any(|graph| graph.machine() != newest.machine()) {
        return Err(GraphCommandError::Ambiguous(inventory(template)));
    }
    write!(out, "{}", diagram::render(newest, format))?;
    Ok(Verdict::Good)
}

fn select<'t>(template: &'t Template, selection: &Selection) -> Result<Vec<&'t Published>, GraphCommandError> {
    let is_chosen = |published: &&Published| {
        let graph = published.graph();
        selection
            .machine
            .as_ref()
            .is_none_or(|machine| graph.machine() == machine.as_str())
            && selection.version.is_none_or(|version| graph.version() == version)
    };
    let chosen: Vec<&Published> = template.published().filter(is_chosen).collect();
    if chosen.is_empty() {
        Err(unknown(template))
    } else {
        Ok(chosen)
    }
}

fn unknown(template: &Template) -> GraphCommandError {
    GraphCommandError::NoSuchGraph(inventory(template))
}

fn inventory(template: &Template) -> String {
    let graphs = template
        .graphs()
        .map(|graph| format!("{} version {}", graph.machine(), graph.version()));
    graphs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
