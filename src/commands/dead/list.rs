//! The list of what was set aside.

use std::io::Write;

use serde_json::{Value as Json, json};

use super::ListOptions;
use crate::app::open_store;
use crate::commands::failure::DONE;
use crate::commands::{Failure, instant, table};
use crate::config::Settings;
use crate::store::DeadFilter;
use crate::store::record::Dead;

pub(super) async fn run(settings: &Settings, options: &ListOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let store = open_store(settings, false).await?;
    let dead = store
        .dead(&DeadFilter {
            source: options.source.clone(),
            queue: options.queue.clone(),
            task: options.task.clone(),
            reason: options.reason.clone(),
            received_after: options.since,
            replayed: options.all,
            limit: options.limit,
        })
        .await?;
    if options.json {
        let rows: Vec<Json> = dead.iter().map(describe).collect();
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(DONE);
    }
    if dead.is_empty() {
        writeln!(out, "nothing is set aside")?;
        return Ok(DONE);
    }
    let heads = ["ID", "RECEIVED", "SOURCE", "QUEUE", "TASK", "REASON", "PLACE", "SIZE"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    if options.all {
        rows[0].push("REPLAYED".to_owned());
    }
    rows.extend(dead.iter().map(|dead| row(dead, options.all)));
    write!(out, "{}", table::write(&rows))?;
    if i64::try_from(dead.len()) == Ok(options.limit) {
        eprintln!("these are the oldest {}; --limit takes more", options.limit);
    }
    Ok(DONE)
}

/// A message without its content, as programs read it.
pub(super) fn describe(dead: &Dead) -> Json {
    json!({
        "id": dead.id, "source": dead.source, "queue": dead.queue, "task": dead.task, "task_id": dead.task_id,
        "reason": dead.reason, "place": dead.place, "detail": dead.detail, "received_at": instant(dead.received_at),
        "size": dead.size, "replayed_at": dead.replayed_at.map(instant),
    })
}

fn row(dead: &Dead, all: bool) -> Vec<String> {
    let mut row = vec![
        dead.id.to_string(),
        instant(dead.received_at),
        dead.source.clone(),
        dead.queue.clone(),
        dead.task.clone().unwrap_or_else(|| "-".to_owned()),
        dead.reason.clone(),
        dead.place.clone(),
        dead.size.to_string(),
    ];
    if all {
        row.push(dead.replayed_at.map_or_else(|| "-".to_owned(), instant));
    }
    row
}
