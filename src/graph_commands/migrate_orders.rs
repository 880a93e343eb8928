//! `graph migrate-orders`: live orders of one version move to another one, rehearsed on all of them first.

use std::io::{self, Write};
use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use waybill_domain::{Actor, Graph, GraphVersion, Migration, Role, StateMapping};

use super::table::columns;
use super::{GraphCommandError, Style, Verdict};
use crate::engine::migration::{Account, Deadlines, Migrator, Tally};
use crate::store::{Store, read_graph};

/// Which orders are meant, and what becomes of their states.
#[derive(Debug, Clone)]
pub struct Move {
    /// Of this machine.
    pub machine: String,
    /// Those that live on this version.
    pub from: GraphVersion,
    /// Where they move.
    pub to: GraphVersion,
    /// States that are called otherwise there.
    pub mapping: StateMapping,
}

/// How orders are moved.
#[derive(Debug, Clone)]
pub struct Manner {
    /// Who says so; the log keeps it.
    pub by: String,
    /// At most so many orders a second.
    pub per_second: NonZeroU32,
    /// Ends it after what is in hand.
    pub stop: CancellationToken,
}

/// Says of every live order what would become of it. The verdict is good if all of them may move.
pub async fn rehearse_migration(
    store: &Store,
    asked: &Move,
    style: Style,
    progress: impl FnMut(u64) + Send,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, GraphCommandError> {
    let migration = match plan(store, asked).await? {
        Ok(migration) => migration,
        Err(why) => return refuse(asked, &why, out),
    };
    let migrator = Migrator::start(store.clone(), migration.clone());
    let account = migrator.rehearse(counting(progress)).await?;
    let seen = account.moved() + account.stay();
    let told = format!("rehearsed on {seen} live orders, nothing was changed");
    tell(
        &Told {
            migration,
            account: &account,
            outcome: "rehearsed",
            told,
        },
        style,
        out,
    )?;
    Ok(verdict(account.stay() == 0))
}

/// Moves every live order that may move. The verdict is good if none is left.
pub async fn migrate_orders(
    store: &Store,
    asked: &Move,
    manner: Manner,
    style: Style,
    progress: impl FnMut(u64) + Send,
    out: &mut (dyn Write + Send),
) -> Result<Verdict, GraphCommandError> {
    let migration = match plan(store, asked).await? {
        Ok(migration) => migration,
        Err(why) => return refuse(asked, &why, out),
    };
    let migrator = Migrator::start(store.clone(), migration.clone());
    let by = Actor {
        role: Role::Operator,
        id: manner.by,
    };
    let account = migrator
        .run(by, manner.per_second, &manner.stop, counting(progress))
        .await?;
    let live = store.count_pinned(&asked.machine, asked.from).await?;
    let born = u64::try_from(live).unwrap_or_default().saturating_sub(account.stay());
    let (outcome, more) = match (account.is_closed, manner.stop.is_cancelled(), born) {
        (true, ..) => ("closed", format!("; version {} was retired meanwhile", asked.to)),
        (false, true, _) => ("stopped", "; stopped, the same command goes on from here".to_owned()),
        (false, false, 0) => ("done", String::new()),
        (false, false, born) => (
            "outrun",
            format!("; {born} were born meanwhile, the same command moves them"),
        ),
    };
    let told = format!("{} orders moved, {} stay{more}", account.moved(), account.stay());
    tell(
        &Told {
            migration,
            account: &account,
            outcome,
            told,
        },
        style,
        out,
    )?;
    let active = store.activation(&asked.machine).await?;
    let is_active = active.is_some_and(|active| active.shares.iter().any(|share| share.version == asked.from));
    if style == Style::Text && is_active {
        writeln!(
            out,
            "New orders are still born on version {}: `waybill graph activate {}`",
            asked.from, asked.to
        )?;
    }
    Ok(verdict(account.stay() == 0 && outcome == "done"))
}

fn verdict(is_good: bool) -> Verdict {
    if is_good { Verdict::Good } else { Verdict::Bad }
}

fn refuse(asked: &Move, why: &str, out: &mut (dyn Write + Send)) -> Result<Verdict, GraphCommandError> {
    writeln!(
        out,
        "{} version {} -> version {}: {why}",
        asked.machine, asked.from, asked.to
    )?;
    Ok(Verdict::Bad)
}

fn counting(mut progress: impl FnMut(u64) + Send) -> impl FnMut(&Account) + Send {
    move |account| progress(account.moved() + account.stay())
}

/// Both versions as the database has them, and the way between; or why there is none.
async fn plan(store: &Store, asked: &Move) -> Result<Result<Migration, String>, GraphCommandError> {
    let mut published = store.published_versions(&asked.machine).await?;
    let mut find = |wanted: GraphVersion| -> Result<(Graph, bool), String> {
        let place = published.iter().position(|(version, ..)| *version == wanted);
        let place = place.ok_or_else(|| format!("version {wanted} is not published: `waybill graph publish`"))?;
        let (_, _, document, is_retired) = published.swap_remove(place);
        let graph = read_graph(&asked.machine, wanted, document).map_err(|unreadable| unreadable.to_string())?;
        Ok((graph, is_retired))
    };
    if asked.from == asked.to {
        return Ok(Err("they are the same version".to_owned()));
    }
    let found = find(asked.from).and_then(|(from, _)| Ok((from, find(asked.to)?)));
    let (from, to) = match found {
        Err(why) => return Ok(Err(why)),
        Ok((_, (_, true))) => return Ok(Err(format!("version {} is retired", asked.to))),
        Ok((from, (to, false))) => (from, to),
    };
    if let Some(unable) = store.unable_to_run(&to).await? {
        return Ok(Err(unable.to_string()));
    }
    let planned = Migration::plan(Arc::new(from), Arc::new(to), asked.mapping.clone());
    Ok(planned.map_err(|error| error.to_string()))
}

/// What was found or done, for people and programs.
struct Told<'a> {
    migration: Migration,
    account: &'a Account,
    outcome: &'static str,
    told: String,
}

#[derive(Serialize)]
struct View<'a> {
    machine: &'a str,
    from: GraphVersion,
    to: GraphVersion,
    outcome: &'static str,
    moved: u64,
    stay: u64,
    states: Vec<StateView<'a>>,
}

#[derive(Serialize)]
struct StateView<'a> {
    state: &'a str,
    to: &'a str,
    changes: &'a [String],
    #[serde(flatten)]
    tally: &'a Tally,
}

fn tell(told: &Told<'_>, style: Style, out: &mut (dyn Write + Send)) -> Result<(), GraphCommandError> {
    match style {
        Style::Json => {
            serde_json::to_writer_pretty(&mut *out, &view(told)).map_err(io::Error::from)?;
            writeln!(out)?;
        }
        Style::Text => write!(out, "{}", text(told))?,
    }
    Ok(())
}

fn view<'a>(told: &'a Told<'a>) -> View<'a> {
    let states = told.account.states.iter().map(|(state, tally)| StateView {
        state: state.as_str(),
        to: told.migration.target(state).as_str(),
        changes: told.migration.changes(state),
        tally,
    });
    View {
        machine: told.migration.from().machine().as_str(),
        from: told.migration.from().version(),
        to: told.migration.to().version(),
        outcome: told.outcome,
        moved: told.account.moved(),
        stay: told.account.stay(),
        states: states.collect(),
    }
}

fn text(told: &Told<'_>) -> String {
    let (from, to) = (told.migration.from(), told.migration.to());
    let machine = from.machine();
    let mut text = format!(
        "{machine} version {} -> version {}: {}\n",
        from.version(),
        to.version(),
        told.told
    );
    let states = &told.account.states;
    if states.is_empty() {
        return text;
    }
    let moved = if told.outcome == "rehearsed" {
        "MAY MOVE"
    } else {
        "MOVED"
    };
    let head = ["STATE", "TO", moved, "STAY", "DEADLINES"].map(str::to_owned);
    let rows = states.iter().map(|(state, tally)| {
        let stay = tally.stay.values().sum::<u64>() + tally.elsewhere;
        [
            state.to_string(),
            told.migration.target(state).to_string(),
            tally.moved.to_string(),
            stay.to_string(),
            deadlines(tally.deadlines),
        ]
    });
    text += &columns(std::iter::once(head).chain(rows));
    for (state, tally) in states {
        for change in told.migration.changes(state) {
            text += &format!("{state}: {change}\n");
        }
        for (why, count) in &tally.stay {
            text += &format!("{state}: {count} stay because {why}\n");
        }
        if tally.elsewhere > 0 {
            text += &format!("{state}: {} were moved by others at every look\n", tally.elsewhere);
        }
    }
    text
}

fn deadlines(it: Deadlines) -> String {
    let mut parts = Vec::new();
    if it.kept > 0 {
        parts.push(format!("{} kept", it.kept));
    }
    if it.rearmed > 0 {
        let overdue = match it.overdue {
            0 => String::new(),
            overdue => format!(" ({overdue} overdue: they happen at once)"),
        };
        parts.push(format!("{} armed anew{overdue}", it.rearmed));
    }
    if it.dropped > 0 {
        parts.push(format!("{} dropped", it.dropped));
    }
    if parts.is_empty() {
        "-".to_owned()
    } else {
        parts.join(", ")
    }
}
