//! Reads JSON of strangers: bounded in depth and size, and with each key once, so that everyone reads the same in it.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Unmapped;

const MAX_DEPTH: usize = 32;
const MAX_ITEMS: usize = 1000;
const MAX_TEXT: usize = 4096;

/// Reads the body as one JSON value.
pub(super) fn read(body: &[u8]) -> Result<Value, Unmapped> {
    let defect = Cell::new("not-json");
    let mut source = serde_json::Deserializer::from_slice(body);
    let read = Strict {
        depth: 0,
        defect: &defect,
    }
    .deserialize(&mut source);
    read.and_then(|value| source.end().map(|()| value))
        .map_err(|error| Unmapped {
            code: defect.get(),
            place: format!("line {} column {}", error.line(), error.column()),
            detail: explain(defect.get()).to_owned(),
        })
}

/// The parser's own words could repeat what was sent.
fn explain(code: &str) -> &'static str {
    match code {
        "duplicate-key" => "an object has the same key twice",
        "too-deep" => "more than 32 levels",
        "too-long" => "a text of more than 4096 bytes, or more than 1000 entries",
        _ => "the body is not one JSON value in UTF-8",
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    depth: usize,
    defect: &'a Cell<&'static str>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == MAX_DEPTH {
            return Err(self.refuse("too-deep"));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn refuse<E: serde::de::Error>(self, defect: &'static str) -> E {
        self.defect.set(defect);
        E::custom(defect)
    }

    fn check_length<E: serde::de::Error>(self, length: usize, most: usize) -> Result<(), E> {
        if length > most {
            Err(self.refuse("too-long"))
        } else {
            Ok(())
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.check_length(text.len(), MAX_TEXT)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
            self.check_length(list.len(), MAX_ITEMS)?;
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            self.check_length(key.len(), MAX_TEXT)?;
            if object.insert(key, entries.next_value_seed(inner)?).is_some() {
                return Err(self.refuse::<A::Error>("duplicate-key"));
            }
            self.check_length(object.len(), MAX_ITEMS)?;
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> &'static str {
        read(body.as_bytes()).unwrap_err().code
    }

    #[test]
    fn plain_json_is_read_as_serde_reads_it() {
        let body = r#"{"a": [1, -2, 3.5, true, null, "ä\u0000"], "b": {"c": {}}}"#;

        assert_eq!(
            read(body.as_bytes()).unwrap(),
            serde_json::from_str::<Value>(body).unwrap()
        );
    }

    #[test]
    fn what_has_two_meanings_has_none() {
        assert_eq!(
            code(r#"{"data": {"reference": "a", "reference": "b"}}"#),
            "duplicate-key"
        );
    }

    #[test]
    fn depth_and_sizes_have_limits() {
        assert!(read(format!("{}{}", "[".repeat(32), "]".repeat(32)).as_bytes()).is_ok());
        assert_eq!(code(&format!("{}{}", "[".repeat(33), "]".repeat(33))), "too-deep");
        assert_eq!(code(&"[".repeat(100_000)), "too-deep");
        assert!(read(format!("\"{}\"", "x".repeat(4096)).as_bytes()).is_ok());
        assert_eq!(code(&format!("\"{}\"", "x".repeat(4097))), "too-long");
        assert_eq!(code(&format!("[{}0]", "0,".repeat(1000))), "too-long");
    }

    #[test]
    fn an_error_names_the_place_and_not_the_content() {
        let unmapped = read(b"{\"a\":\n secret}").unwrap_err();

        assert_eq!(
            unmapped.to_string(),
            "not-json at line 2 column 2: the body is not one JSON value in UTF-8"
        );
    }

    #[test]
    fn what_is_not_one_json_value_is_said_so() {
        for body in [
            &b""[..],
            b"{",
            b"{} {}",
            b"\xff\xfe",
            b"\"\xff\"",
            b"nul",
            b"\xef\xbb\xbf{}",
        ] {
            assert_eq!(read(body).unwrap_err().code, "not-json", "{body:?}");
        }
    }
}
