//! CloudEvents 1.0, structured and binary. There is no binding for AMQP 0-9-1: headers take the place of the application
//! properties of AMQP 1.0, as RabbitMQ converts them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value as Json};
use waybill_tasks::celery::message::{HeaderValue, Headers, Message};

use super::envelope::{Envelope, Kind, is_json, kind_of, unsupported};
use super::field::{Object, shape};
use super::{Malformed, json};

/// What a header's name begins with, in any case.
const PREFIXES: [&str; 3] = ["cloudevents_", "cloudevents:", "ce-"];
/// A header of one of these names makes a CloudEvent of the message.
const TELLING: [&str; 4] = ["specversion", "id", "source", "type"];

/// The attributes that came as headers.
#[derive(Debug)]
pub(super) struct Attributes {
    fields: Map<String, Json>,
    /// The prefix as the sender writes it.
    prefix: String,
}

/// The attributes among the headers; `None` where the message is no CloudEvent.
pub(super) fn attributes(headers: &Headers) -> Result<Option<Attributes>, Malformed> {
    let mut found = Attributes {
        fields: Map::new(),
        prefix: String::new(),
    };
    for (header, value) in headers {
        let lower = header.to_ascii_lowercase();
        let Some(name) = PREFIXES.iter().find_map(|prefix| lower.strip_prefix(prefix)) else {
            continue;
        };
        let value = json_of(value);
        if found.fields.get(name).is_some_and(|other| *other != value) {
            let place = if TELLING.contains(&name) {
                format!("headers.{header}")
            } else {
                "headers".to_owned()
            };
            return Err(Malformed::new(
                "duplicate-key",
                place,
                "each attribute once",
                "one again, with another value",
            ));
        }
        found.fields.insert(name.to_owned(), value);
        if found.prefix.is_empty() && TELLING.contains(&name) {
            found.prefix = format!("headers.{}", &header[..header.len() - name.len()]);
        }
    }
    Ok(Some(found).filter(|found| !found.prefix.is_empty()))
}

/// An event that is all in the body.
pub(super) fn structured(message: &Message) -> Result<Envelope, Malformed> {
    let mut body = json::parse(&message.body, "")?;
    let event = Object::of(&body, "")?;
    let head = Head::read(&event)?;
    let (place, data) = match (event.optional("data"), event.optional(json::PACKED_DATA)) {
        (Some(_), Some(_)) => {
            return Err(Malformed::new(
                "duplicate-key",
                json::PACKED_DATA,
                "data or data_base64",
                "both",
            ));
        }
        (None, Some(packed)) => (json::PACKED_DATA, unpack(packed)?),
        _ => {
            event.object("data")?;
            ("data", body["data"].take())
        }
    };
    head.around(data, place, message)
}

/// An event whose attributes are headers; the body is its data.
pub(super) fn binary(message: &Message, attributes: &Attributes) -> Result<Envelope, Malformed> {
    let head = Head::read(&Object::new(&attributes.fields, attributes.prefix.clone()))?;
    head.around(json::parse(&message.body, "data")?, "data", message)
}

/// What the attributes say.
struct Head {
    key: String,
    kind: Kind,
    time: Option<DateTime<Utc>>,
    time_place: String,
}

impl Head {
    fn read(event: &Object<'_>) -> Result<Self, Malformed> {
        let version = event.text("specversion")?;
        if version != "1.0" {
            return Err(Malformed::new(
                "unknown-version",
                event.place("specversion"),
                "1.0",
                "another version",
            ));
        }
        let (id, source) = (event.id("id")?, event.uri("source")?);
        let kind = kind_of(event, kind)?;
        let time = event.optional("time").map(|_| event.instant("time")).transpose()?;
        if let Some(content_type) = event.optional_text("datacontenttype")?.filter(|it| !is_json(it)) {
            return Err(unsupported(event.place("datacontenttype"), content_type));
        }
        // A source is one word, so no two pairs make the same key.
        Ok(Self {
            key: format!("{source} {id}"),
            kind,
            time,
            time_place: event.place("time"),
        })
    }

    fn around(self, data: Json, place: &'static str, message: &Message) -> Result<Envelope, Malformed> {
        let fields = Object::of(&data, place)?;
        let occurred_at = match (self.time, fields.optional("occurred_at")) {
            (Some(time), _) => time,
            (None, Some(_)) => fields.instant("occurred_at")?,
            (None, None) => self.told_at(message)?,
        };
        Ok(Envelope {
            key: self.key,
            kind: self.kind,
            occurred_at,
            data,
            place,
        })
    }

    /// The message's own time, where the event has none.
    fn told_at(&self, message: &Message) -> Result<DateTime<Utc>, Malformed> {
        let Some(seconds) = message.properties.timestamp else {
            return Err(Malformed::new(
                "missing-field",
                &self.time_place,
                "an RFC 3339 instant with a zone",
                "nothing",
            ));
        };
        at(seconds).ok_or_else(|| {
            Malformed::new(
                "bad-time",
                "properties.timestamp",
                "seconds since 1970",
                "a number that is too large",
            )
        })
    }
}

/// `payment.succeeded`, or the same behind a namespace, such as `com.example.payment.succeeded`.
fn kind(name: &str) -> Option<Kind> {
    let (rest, last) = name.rsplit_once('.')?;
    let payment = rest.rsplit('.').next()?;
    Kind::of(&format!("{payment}.{last}"))
}

/// Seconds since 1970, before the year 10000.
fn at(seconds: u64) -> Option<DateTime<Utc>> {
    let seconds = i64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds < 253_402_300_800)?;
    DateTime::from_timestamp(seconds, 0)
}

fn unpack(packed: &Json) -> Result<Json, Malformed> {
    let wrong = |found: &str| Malformed::new("wrong-type", json::PACKED_DATA, "JSON in base64", found);
    let text = packed.as_str().ok_or_else(|| wrong(&shape(packed)))?;
    let bytes = STANDARD.decode(text).map_err(|_| wrong("other text"))?;
    json::parse(&bytes, json::PACKED_DATA)
}

/// A header as the JSON that it would be in a structured event.
fn json_of(value: &HeaderValue) -> Json {
    match value {
        HeaderValue::Null => Json::Null,
        HeaderValue::Bool(value) => (*value).into(),
        HeaderValue::Int(value) => (*value).into(),
        HeaderValue::Float(value) => (*value).into(),
        HeaderValue::Text(text) => text.as_str().into(),
        HeaderValue::Timestamp(seconds) => match at(*seconds) {
            Some(instant) => instant.to_rfc3339_opts(SecondsFormat::Secs, true).into(),
            None => (*seconds).into(),
        },
        HeaderValue::Bytes(_) | HeaderValue::Decimal(..) | HeaderValue::List(_) | HeaderValue::Table(_) => {
            Json::Array(vec![])
        }
    }
}
