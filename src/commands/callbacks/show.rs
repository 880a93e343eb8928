//! One callback, with what it said.

use std::io::Write;

use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::unknown;
use crate::api::callbacks::CallbackView;
use crate::app::open_store;
use crate::commands::Failure;
use crate::commands::dead::body::{self, Shown};
use crate::commands::failure::{DONE, chain};
use crate::config::Settings;
use crate::store::Heard;

pub(super) async fn run(
    settings: &Settings,
    id: Uuid,
    whole: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let store = open_store(settings, false).await?;
    let callback = store.callback(id).await?.ok_or_else(|| unknown(id))?;
    let said = store
        .callback_body(&callback)
        .map_err(|error| Failure::bad(chain(&error)))?;
    let headers = if whole {
        callback.headers.clone()
    } else {
        names(&callback.headers)
    };
    let replays = store.replays_of(id).await?;
    let Shown { text, encoding } = body::show(&said, whole);
    let mut view = json!(CallbackView::from(Heard::from(callback)));
    view["replays"] = json!(replays);
    if json {
        view["headers"] = headers;
        view["body"] = text.into();
        view["body_encoding"] = encoding.into();
        serde_json::to_writer_pretty(&mut *out, &view)?;
        writeln!(out)?;
        return Ok(DONE);
    }
    let fields = view.as_object().expect("a view is an object");
    for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let shown = value.as_str().map_or_else(|| value.to_string(), body::harmless);
        writeln!(out, "{name:<17} {shown}")?;
    }
    writeln!(out, "\nheaders\n{headers:#}")?;
    writeln!(out, "\nbody ({encoding})\n{text}")?;
    Ok(DONE)
}

/// The names of headers alone: some values are signatures, with which a callback could be sent again.
fn names(headers: &Json) -> Json {
    let pairs = headers.as_array().into_iter().flatten();
    pairs.map(|pair| pair[0].clone()).collect()
}
