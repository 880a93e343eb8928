//! The list of callbacks.

use std::io::Write;

use super::ListOptions;
use crate::api::callbacks::CallbackView;
use crate::app::open_store;
use crate::commands::failure::DONE;
use crate::commands::{Failure, instant, table};
use crate::config::Settings;
use crate::store::{Disposition, Heard};

pub(super) async fn run(settings: &Settings, options: &ListOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let store = open_store(settings, false).await?;
    let heard = store.heard(&options.choice.filter(options.limit)).await?;
    if options.json {
        let rows: Vec<CallbackView> = heard.into_iter().map(CallbackView::from).collect();
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(DONE);
    }
    if heard.is_empty() {
        writeln!(out, "no callback fits")?;
        return Ok(DONE);
    }
    let rejected = options.choice.disposition == Some(Disposition::Rejected);
    let last = if rejected { "ADDRESS" } else { "ORDER" };
    let heads = ["ID", "RECEIVED", "PARTNER", "EVENT", "DISPOSITION", last, "WHY"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    rows.extend(heard.iter().map(row));
    write!(out, "{}", table::write(&rows))?;
    if i64::try_from(heard.len()) == Ok(options.limit) {
        eprintln!("these are the newest {}; --limit takes more", options.limit);
    }
    Ok(DONE)
}

fn row(heard: &Heard) -> Vec<String> {
    let about = heard
        .order_id
        .map(|id| id.to_string())
        .or_else(|| heard.address.clone());
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    vec![
        heard.callback_id.to_string(),
        instant(heard.received_at),
        heard.partner.clone(),
        or_dash(heard.event_id.clone()),
        what(heard),
        or_dash(about),
        or_dash(heard.detail.clone()),
    ]
}

/// What it was, and what else.
fn what(heard: &Heard) -> String {
    let mut words = vec![heard.disposition.as_str().to_owned()];
    if heard.parked_at.is_some() && heard.disposition != Disposition::Early {
        words.push("early".to_owned());
    }
    if heard.repeats > 0 {
        words.push(format!("{}x again", heard.repeats));
    }
    if heard.replay_of.is_some() {
        words.push("replay".to_owned());
    }
    words.join(", ")
}
