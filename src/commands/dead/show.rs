//! One message set aside.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;
use waybill_tasks::celery::message::{HeaderValue, Headers};

use super::body::{self, Shown};
use super::list::describe;
use crate::app::open_store;
use crate::commands::Failure;
use crate::commands::failure::{DONE, chain};
use crate::config::Settings;
use crate::engine::unpack;
use crate::redact;

pub(super) async fn run(
    settings: &Settings,
    id: Uuid,
    all: bool,
    json: bool,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    let store = open_store(settings, false).await?;
    let dead = store.dead_message(id).await?.ok_or_else(|| unknown(id))?;
    let message = unpack(&store, "quarantine", id, &dead.message).map_err(|error| Failure::bad(chain(&error)))?;
    let Shown { text: body, encoding } = body::show(&message.bytes(), all);
    let headers = plain_headers(&message.headers);
    let headers = if all { headers } else { redact::json(headers) };
    let mut whole = describe(&dead);
    if json {
        whole["message"] = json!({
            "exchange": message.exchange, "routing_key": message.routing_key, "properties": message.properties,
            "headers": headers, "body": body, "body_encoding": encoding,
        });
        serde_json::to_writer_pretty(&mut *out, &whole)?;
        writeln!(out)?;
        return Ok(DONE);
    }
    let heads = [
        "id",
        "source",
        "queue",
        "task",
        "task_id",
        "reason",
        "place",
        "detail",
        "received_at",
        "size",
        "replayed_at",
    ];
    for (name, value) in heads
        .map(|name| (name, &whole[name]))
        .iter()
        .filter(|(_, value)| !value.is_null())
    {
        writeln!(
            out,
            "{name:<12} {}",
            value.as_str().map_or_else(|| value.to_string(), body::harmless)
        )?;
    }
    writeln!(out, "{:<12} {}", "exchange", body::harmless(&message.exchange))?;
    writeln!(out, "{:<12} {}", "routing_key", body::harmless(&message.routing_key))?;
    writeln!(out, "\nproperties\n{:#}", json!(message.properties))?;
    writeln!(out, "\nheaders\n{headers:#}")?;
    writeln!(out, "\nbody ({encoding})\n{body}")?;
    Ok(DONE)
}

pub(super) fn unknown(id: Uuid) -> Failure {
    Failure::bad(format!(
        "no message {id} was set aside (`waybill dead list --all` lists those there are)"
    ))
}

/// Headers as people write them, without the name of each type.
fn plain_headers(headers: &Headers) -> Json {
    let plain: Map<String, Json> = headers
        .iter()
        .map(|(name, value)| (name.clone(), plain(value)))
        .collect();
    Json::Object(plain)
}

fn plain(value: &HeaderValue) -> Json {
    match value {
        HeaderValue::Null => Json::Null,
        HeaderValue::Bool(it) => json!(it),
        HeaderValue::Int(it) => json!(it),
        HeaderValue::Float(it) => json!(it),
        HeaderValue::Text(it) => json!(it),
        HeaderValue::Bytes(it) => json!({ "base64": STANDARD.encode(it) }),
        HeaderValue::Timestamp(it) => json!({ "timestamp": it }),
        HeaderValue::Decimal(scale, unscaled) => json!({ "decimal": [scale, unscaled] }),
        HeaderValue::List(it) => it.iter().map(plain).collect(),
        HeaderValue::Table(it) => plain_headers(it),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_shown_without_the_names_of_their_types() {
        let headers: Headers = [
            ("task".to_owned(), "t".into()),
            ("none".to_owned(), HeaderValue::Null),
            (
                "limit".to_owned(),
                HeaderValue::List(vec![HeaderValue::Int(1), HeaderValue::Bytes(vec![255])]),
            ),
        ]
        .into();

        assert_eq!(
            plain_headers(&headers),
            json!({"task": "t", "none": null, "limit": [1, {"base64": "/w=="}]})
        );
    }
}
