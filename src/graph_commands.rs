//! The operator commands below `graph`, without their command line.
//!
//! They write to `out` what belongs on standard output and answer a verdict; `main` turns that into an exit code: good 0,
//! bad 1, an error 2.

mod difference;
mod gate;
mod migrate_orders;
mod table;
mod versions;
mod view;

use std::io::{self, Write};
use std::path::Path;

use waybill_domain::{Graph, GraphVersion, MOST_WAYS};

use crate::diagram::{self, Format};
use crate::engine::EngineError;
use crate::store::DbError;
use crate::template::{LOCK_NAME, Lock, LockError, MACHINES, Published, Template, TemplateError};

pub use difference::{Painting, diff};
pub use gate::gate;
pub use migrate_orders::{Manner, Move, migrate_orders, rehearse_migration};
pub use versions::{activate, publish, retire, versions};
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
    /// The lock file cannot be read.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] DbError),
    /// The store did not take what was to be written.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Only some formats have room for two versions.
    #[error("a difference is drawn as svg or mermaid")]
    NotDrawable,
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

/// Checks a template file with the lock beside it, or those that are compiled in: says that they are good, or everything that is
/// wrong with them.
pub fn check(file: Option<&Path>, out: &mut dyn Write) -> Result<Verdict, GraphCommandError> {
    let Some(file) = file else {
        for (name, text) in MACHINES {
            if check_one(name, Template::parse(text, name), Some(&Lock::shipped()), out)? == Verdict::Bad {
                return Ok(Verdict::Bad);
            }
        }
        return Ok(Verdict::Good);
    };
    let name = file.display().to_string();
    check_one(&name, Template::read(file), Lock::beside(file)?.as_ref(), out)
}

fn check_one(
    name: &str,
    read: Result<Template, TemplateError>,
    lock: Option<&Lock>,
    out: &mut dyn Write,
) -> Result<Verdict, GraphCommandError> {
    let locked = read.and_then(|template| {
        lock.map_or(Ok(()), |lock| lock.check(&template, name))?;
        Ok(template)
    });
    let template = match locked {
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
            "{name}: {} version {} is good: {} states, {edges} transitions, {}, sha256 {}",
            graph.machine(),
            graph.version(),
            graph.states().count(),
            measures(graph),
            published.sha256()
        )?;
    }
    Ok(Verdict::Good)
}

/// How many ways, how long the longest is, and how long an order may take on it.
fn measures(graph: &Graph) -> String {
    let steps = graph.states().map(|state| state.rank).max().unwrap_or_default();
    let ways = match graph.count_ways() {
        many if many > MOST_WAYS => format!("more than {MOST_WAYS} ways (not walked one by one in tests)"),
        ways => format!("{ways} ways"),
    };
    let wait = graph.longest_wait().map_or_else(
        || "no bound on its time".to_owned(),
        |wait| format!("at most {}", diagram::duration(wait)),
    );
    format!("{ways} of at most {steps} steps, {wait}")
}

/// Adds the lines to the lock file beside a template that it does not have yet; a version that was edited is refused first.
pub fn lock(file: &Path, out: &mut dyn Write) -> Result<Verdict, GraphCommandError> {
    let template = Template::read(file)?;
    let lock = Lock::beside(file)?.unwrap_or_default();
    let lines = lock.missing(&template);
    let path = file.with_file_name(LOCK_NAME);
    let name = path.display().to_string();
    let unwritable = |source| LockError::Unreadable {
        name: name.clone(),
        source,
    };
    let known = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(unwritable(error).into()),
    };
    let whole: String = known
        .lines()
        .map(str::to_owned)
        .chain(lines.clone())
        .map(|line| line + "\n")
        .collect();
    if let Err(error) = Lock::parse(&whole, &name)?.check(&template, &file.display().to_string()) {
        writeln!(out, "{error}")?;
        return Ok(Verdict::Bad);
    }
    std::fs::write(&path, whole).map_err(unwritable)?;
    for line in &lines {
        writeln!(out, "{name}: {line}")?;
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
