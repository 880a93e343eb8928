//! JSON as strictly as money needs it: bounded, UTF-8, no key twice, and the place of what is wrong.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::Malformed;

/// The longest body.
const MAX_BODY: usize = 1024 * 1024;
/// The deepest nesting. serde_json stops by itself at 128, with another word for it.
const MAX_DEPTH: usize = 64;
/// The longest text.
pub(super) const MAX_TEXT: usize = 4 * 1024;
/// The one text that may be as long as a body: it holds one.
pub(super) const PACKED_DATA: &str = "data_base64";

/// The names that a place may show. Others were chosen by whoever told it, and could be anybody's name.
#[rustfmt::skip]
const KNOWN: [&str; 35] = [
    "amount", "city", "country", "currency", "customer_id", "data", PACKED_DATA, "datacontenttype", "dataschema",
    "dropoff", "email", "event_id", "format", "id", "items", "line1", "line2", "locale",
    "minor_units", "name", "occurred_at", "ordering_id", "payment_id", "phone", "pickup", "postal_code", "quantity",
    "region", "sku", "source", "specversion", "subject", "time", "title", "type",
];

/// Parses a body. `root` is the place of the outermost value, empty where the fields of the message itself are in it.
pub(super) fn parse(bytes: &[u8], root: &str) -> Result<Json, Malformed> {
    if bytes.len() > MAX_BODY {
        return Err(Malformed::new(
            "too-large",
            "body",
            "at most 1 MiB",
            &format!("{} bytes", bytes.len()),
        ));
    }
    if let Err(error) = std::str::from_utf8(bytes) {
        let place = line_and_column(&bytes[..=error.valid_up_to()]);
        return Err(Malformed::new("not-utf8", place, "UTF-8", "other bytes"));
    }
    check_depth(bytes)?;
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let strict = Strict {
        at: At::Root(root),
        fault: &fault,
    };
    let parsed = strict
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value));
    parsed.map_err(|error| {
        let place = format!("line {} column {}", error.line(), error.column());
        match fault.take() {
            Some(fault) => Malformed {
                detail: format!("{} ({place})", fault.detail),
                ..fault
            },
            None => {
                // The parser's words name what it expected, never what it read.
                let what = error.to_string();
                let what = what.split(" at line ").next().unwrap_or_default();
                Malformed::new("not-json", place, "JSON", what)
            }
        }
    })
}

/// Counts brackets outside of texts, without recursion: nothing deep reaches the parser.
fn check_depth(bytes: &[u8]) -> Result<(), Malformed> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Malformed::new(
                "too-deep",
                line_and_column(&bytes[..=position]),
                "at most 64 levels",
                "more",
            ));
        }
    }
    Ok(())
}

/// The place of the last of these bytes, counted as the parser counts.
fn line_and_column(read: &[u8]) -> String {
    let line = 1 + read.iter().filter(|byte| **byte == b'\n').count();
    let column = read.iter().rev().take_while(|byte| **byte != b'\n').count();
    format!("line {line} column {column}")
}

/// Where a value stands. It is written out only when something is wrong there.
#[derive(Clone, Copy)]
enum At<'a> {
    Root(&'a str),
    Field(&'a At<'a>, &'a str),
    Index(&'a At<'a>, usize),
}

impl At<'_> {
    fn is_packed_data(&self) -> bool {
        matches!(self, At::Field(At::Root(""), PACKED_DATA))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root("") => formatter.write_str("body"),
            Self::Root(root) => formatter.write_str(root),
            Self::Field(parent, name) => {
                if !matches!(parent, At::Root("")) {
                    write!(formatter, "{parent}.")?;
                }
                formatter.write_str(if KNOWN.contains(name) { name } else { "?" })
            }
            Self::Index(parent, index) => write!(formatter, "{parent}[{index}]"),
        }
    }
}

/// Builds a value, and stops at the first one that is not allowed.
#[derive(Clone, Copy)]
struct Strict<'a> {
    at: At<'a>,
    fault: &'a RefCell<Option<Malformed>>,
}

impl Strict<'_> {
    fn stop<E: serde::de::Error>(&self, reason: &'static str, expected: &str, found: &str) -> E {
        *self.fault.borrow_mut() = Some(Malformed::new(reason, self.at.to_string(), expected, found));
        E::custom(reason)
    }

    fn check_text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        if text.len() <= MAX_TEXT || self.at.is_packed_data() {
            return Ok(());
        }
        Err(self.stop("too-long", "at most 4 KiB of text", &format!("{} bytes", text.len())))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Json;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(value.into())
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Json, E> {
        self.check_text(value)?;
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element_seed(Strict {
            at: At::Index(&self.at, list.len()),
            fault: self.fault,
        })? {
            list.push(element);
        }
        Ok(Json::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut object = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let field = Strict {
                at: At::Field(&self.at, &name),
                fault: self.fault,
            };
            field.check_text(&name)?;
            if object.contains_key(&name) {
                return Err(field.stop("duplicate-key", "each key once", "it again"));
            }
            let value = entries.next_value_seed(field)?;
            object.insert(name, value);
        }
        Ok(Json::Object(object))
    }
}
