//! What a body may be written in, and its way to JSON's types: inflated, decoded, never more than the limit.

use std::borrow::Cow;

use serde_json::Value;

use super::compression::{Compression, NotInflated};
use super::fields::kind;
use super::malformed::Malformed;
use super::{MAX_BODY, json, msgpack, yaml};
use crate::celery::message::{HeaderValue, Message};

/// Which content types are read beside JSON, as `accept_content`. Pickle never is: it is a program, not data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accept {
    /// `application/x-yaml`.
    pub yaml: bool,
    /// `application/x-msgpack`.
    pub msgpack: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Format {
    Json,
    Yaml,
    Msgpack,
}

impl Accept {
    /// Kombu's names of what is read.
    pub fn names(self) -> Vec<&'static str> {
        let more = [(self.yaml, "yaml"), (self.msgpack, "msgpack")];
        let more = more.into_iter().filter(|(read, _)| *read);
        std::iter::once("json").chain(more.map(|(_, name)| name)).collect()
    }

    /// The body in JSON's types.
    pub fn read(self, message: &Message) -> Result<Value, Malformed> {
        check_length(message.body.len())?;
        let format = self.format(message)?;
        if format != Format::Msgpack {
            check_encoding(message)?;
        }
        let body = inflated(message)?;
        match format {
            Format::Json => json::parse(&body),
            Format::Yaml => {
                let text = std::str::from_utf8(&body).map_err(|error| {
                    let place = format!("body (byte {})", error.valid_up_to());
                    Malformed::wrong("body-not-utf8", place, "UTF-8", "a byte that is not")
                })?;
                yaml::parse(text).map_err(|problem| Malformed::wrong("body-not-yaml", "body", "YAML", problem))
            }
            Format::Msgpack => msgpack::parse(&body)
                .map_err(|problem| Malformed::wrong("body-not-msgpack", "body", "MessagePack", problem)),
        }
    }

    fn format(self, message: &Message) -> Result<Format, Malformed> {
        let content_type = message.properties.content_type.as_deref().unwrap_or("none");
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        match media_type.to_ascii_lowercase().as_str() {
            "application/json" => Ok(Format::Json),
            "application/x-yaml" if self.yaml => Ok(Format::Yaml),
            "application/x-msgpack" if self.msgpack => Ok(Format::Msgpack),
            _ => {
                let expected = match (self.yaml, self.msgpack) {
                    (false, false) => "application/json",
                    (true, false) => "application/json or application/x-yaml",
                    (false, true) => "application/json or application/x-msgpack",
                    (true, true) => "application/json, application/x-yaml or application/x-msgpack",
                };
                let place = "properties.content_type";
                Err(Malformed::wrong(
                    "unsupported-content-type",
                    place,
                    expected,
                    &cut(media_type),
                ))
            }
        }
    }
}

fn check_length(length: usize) -> Result<(), Malformed> {
    if length <= MAX_BODY {
        return Ok(());
    }
    Err(too_large(&format!("{length} bytes")))
}

fn too_large(found: &str) -> Malformed {
    Malformed::wrong("body-too-large", "body", "at most 16 MiB", found)
}

fn check_encoding(message: &Message) -> Result<(), Malformed> {
    let encoding = message.properties.content_encoding.as_deref().unwrap_or("utf-8");
    let known = ["utf-8", "utf8", "us-ascii", "ascii"];
    if known.iter().any(|known| encoding.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    let place = "properties.content_encoding";
    Err(Malformed::wrong(
        "unsupported-content-encoding",
        place,
        "utf-8",
        &cut(encoding),
    ))
}

/// The body's bytes, without what its header says was done to them.
fn inflated(message: &Message) -> Result<Cow<'_, [u8]>, Malformed> {
    let unknown = |found: &str| {
        let place = "headers.compression";
        Malformed::wrong("unknown-compression", place, "zlib, bzip2, lzma, brotli or zstd", found)
    };
    let compression = match message.headers.get("compression") {
        None | Some(HeaderValue::Null) => return Ok(Cow::Borrowed(&message.body)),
        Some(HeaderValue::Text(name)) => Compression::named(name).ok_or_else(|| unknown(&cut(name)))?,
        Some(other) => return Err(unknown(kind(other))),
    };
    match compression.inflate(&message.body, MAX_BODY) {
        Ok(body) => Ok(Cow::Owned(body)),
        Err(NotInflated::TooLong) => Err(too_large("more, inflated")),
        Err(NotInflated::Broken) => {
            let expected = format!("{}, as the header says", compression.content_type());
            Err(Malformed::wrong("bad-compression", "body", &expected, "something else"))
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(80).collect()
}
