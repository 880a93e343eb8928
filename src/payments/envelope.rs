//! What is around the data: told apart by content type and headers.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use waybill_tasks::celery::message::Message;

use super::field::{Object, shape};
use super::{Malformed, cloud_event, json};

/// What happened to the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Succeeded,
    Refunded,
}

impl Kind {
    /// `payment.succeeded` or `payment.refunded`.
    pub(super) fn of(name: &str) -> Option<Self> {
        match name {
            "payment.succeeded" => Some(Self::Succeeded),
            "payment.refunded" => Some(Self::Refunded),
            _ => None,
        }
    }
}

/// A payment event, opened as far as its data.
#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) key: String,
    pub(super) kind: Kind,
    pub(super) occurred_at: DateTime<Utc>,
    pub(super) data: Json,
    /// Where the data was.
    pub(super) place: &'static str,
}

/// Opens a message.
pub(super) fn open(message: &Message) -> Result<Envelope, Malformed> {
    check_encoding(message)?;
    let content_type = message
        .properties
        .content_type
        .as_deref()
        .map(str::trim)
        .filter(|it| !it.is_empty());
    if content_type.is_some_and(is_cloud_event) {
        return cloud_event::structured(message);
    }
    if let Some(found) = content_type.filter(|content_type| !is_json(content_type)) {
        return Err(unsupported("properties.content_type", found));
    }
    match cloud_event::attributes(&message.headers)? {
        Some(attributes) => cloud_event::binary(message, &attributes),
        None => plain(message),
    }
}

fn plain(message: &Message) -> Result<Envelope, Malformed> {
    let mut body = json::parse(&message.body, "")?;
    let event = Object::of(&body, "")?;
    let key = event.id("event_id")?.to_owned();
    let kind = kind_of(&event, Kind::of)?;
    let occurred_at = event.instant("occurred_at")?;
    event.object("data")?;
    Ok(Envelope {
        key,
        kind,
        occurred_at,
        data: body["data"].take(),
        place: "data",
    })
}

/// The field `type`.
pub(super) fn kind_of(event: &Object<'_>, read: fn(&str) -> Option<Kind>) -> Result<Kind, Malformed> {
    let name = event.text("type")?;
    read(name).ok_or_else(|| {
        let found = shown(name);
        Malformed::new(
            "unknown-type",
            event.place("type"),
            "payment.succeeded or payment.refunded",
            &found,
        )
    })
}

fn check_encoding(message: &Message) -> Result<(), Malformed> {
    let encoding = message
        .properties
        .content_encoding
        .as_deref()
        .unwrap_or_default()
        .trim();
    if encoding.is_empty() || is_utf8(encoding) {
        return Ok(());
    }
    let found = shown(encoding);
    Err(Malformed::new(
        "unsupported-content-encoding",
        "properties.content_encoding",
        "utf-8 or none",
        &found,
    ))
}

fn is_utf8(name: &str) -> bool {
    ["utf-8", "utf8", "us-ascii", "ascii"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// The content type is none that is read here.
pub(super) fn unsupported(place: impl Into<String>, found: &str) -> Malformed {
    let found = shown(found);
    Malformed::new(
        "unsupported-content-type",
        place,
        "application/json or application/cloudevents+json, in UTF-8",
        &found,
    )
}

/// A word of a protocol as it is, anything else by its shape.
fn shown(text: &str) -> String {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./+;=".contains(&byte);
    let is_word =
        text.len() <= 80 && text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(known);
    if is_word { text.to_owned() } else { shape(&text.into()) }
}

fn is_cloud_event(content_type: &str) -> bool {
    has_media_type(content_type, |media_type| media_type == "application/cloudevents+json")
}

/// JSON by its name or by its suffix; several events in one message are not taken.
pub(super) fn is_json(content_type: &str) -> bool {
    has_media_type(content_type, |media_type| {
        let suffixed = media_type.starts_with("application/") && media_type.ends_with("+json");
        media_type == "application/json" || (suffixed && !media_type.starts_with("application/cloudevents"))
    })
}

/// Whether the media type is meant, and its text is UTF-8.
fn has_media_type(content_type: &str, is_meant: impl Fn(&str) -> bool) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    is_meant(&media_type)
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, charset)) if name.trim().eq_ignore_ascii_case("charset") => {
                is_utf8(charset.trim().trim_matches('"'))
            }
            _ => true,
        })
}
