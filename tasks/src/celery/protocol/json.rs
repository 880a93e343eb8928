//! JSON as strictly as money needs it: UTF-8, no duplicate keys, no numbers that lose digits, and the place of what is wrong.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

use super::malformed::Malformed;

/// Reads one JSON document. Nesting is bounded by `serde_json` itself (128), so that no input exhausts the stack.
pub(in crate::celery) fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    if bytes.is_empty() {
        return Err(Malformed::wrong("body-empty", "body", "JSON", "nothing"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let place = format!("body (byte {})", error.valid_up_to());
        Malformed::wrong("body-not-utf8", place, "UTF-8", "a byte that is not")
    })?;
    if let Some(at) = long_integer(bytes) {
        let place = format!("body (byte {at})");
        return Err(Malformed::wrong(
            "integer-too-large",
            place,
            "an integer of 64 bits",
            "a longer one",
        ));
    }
    let steps = RefCell::new(Vec::new());
    let mut reader = serde_json::Deserializer::from_str(text);
    Strict { steps: &steps }
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value))
        .map_err(|error| refused(text, &path(&steps.borrow()), &error))
}

fn path(steps: &[String]) -> String {
    steps.iter().rev().fold(String::from("body"), |path, step| path + step)
}

fn refused(text: &str, path: &str, error: &serde_json::Error) -> Malformed {
    let place = format!("{path} (line {}, column {})", error.line(), error.column());
    let message = error.to_string();
    if message.starts_with("recursion limit exceeded") {
        return Malformed::wrong("nested-too-deep", place, "at most 128 levels", "more");
    }
    if message.starts_with(DUPLICATE) {
        return Malformed::wrong("body-not-json", place, "each key once", "a key twice");
    }
    let detail = match literal_at(text, error) {
        Some(literal) => format!("expected JSON, found {literal}"),
        None => format!("expected JSON, found {message}"),
    };
    Malformed::new("body-not-json", place, detail)
}

/// The literals that Python writes and JSON does not know.
fn literal_at(text: &str, error: &serde_json::Error) -> Option<&'static str> {
    let line = text.split('\n').nth(error.line().checked_sub(1)?)?;
    let rest = line.get(error.column().saturating_sub(2)..)?;
    let begins =
        |literal: &&str| rest.starts_with(*literal) || rest.get(1..).is_some_and(|rest| rest.starts_with(*literal));
    ["-Infinity", "Infinity", "NaN"].into_iter().find(begins)
}

/// `serde_json` turns an integer beyond 64 bits into a float, silently; so it is looked for first.
fn long_integer(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'"' => at = end_of_string(bytes, at + 1),
            b'-' | b'0'..=b'9' => {
                let end = at + 1 + bytes[at + 1..].iter().take_while(|byte| number_byte(**byte)).count();
                if !fits(&bytes[at..end]) {
                    return Some(at);
                }
                at = end;
            }
            _ => at += 1,
        }
    }
    None
}

fn end_of_string(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    at
}

fn number_byte(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')
}

fn fits(number: &[u8]) -> bool {
    if number.len() < 19 || number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return true;
    }
    std::str::from_utf8(number).is_ok_and(|text| text.parse::<u64>().is_ok() || text.parse::<i64>().is_ok())
}

const DUPLICATE: &str = "duplicate key";

/// Builds a `Value`. Where an error is, is only asked when there is one: its way out is written down, innermost step first.
struct Strict<'a> {
    steps: &'a RefCell<Vec<String>>,
}

impl Strict<'_> {
    fn at<T, E>(&self, step: impl FnOnce() -> String, read: Result<T, E>) -> Result<T, E> {
        if read.is_err() {
            self.steps.borrow_mut().push(step());
        }
        read
    }

    fn inner(&self) -> Strict<'_> {
        Strict { steps: self.steps }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = {
            let item = items.next_element_seed(self.inner());
            self.at(|| format!("[{}]", list.len()), item)?
        } {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            match object.entry(key) {
                Entry::Occupied(taken) => self.at(|| format!(".{}", taken.key()), Err(A::Error::custom(DUPLICATE)))?,
                Entry::Vacant(free) => {
                    let value = entries.next_value_seed(self.inner());
                    let value = self.at(|| format!(".{}", free.key()), value)?;
                    free.insert(value);
                }
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_python_writes_and_json_does_not_know_has_a_place() {
        for (body, reason, place) in [
            ("", "body-empty", "body"),
            ("[NaN]", "body-not-json", "body[0] (line 1, column 2)"),
            (
                r#"[[], {"a": {"b": -Infinity}}]"#,
                "body-not-json",
                "body[1].a.b (line 1, column 19)",
            ),
            (
                r#"[[], {"a": "\ud800"}]"#,
                "body-not-json",
                "body[1].a (line 1, column 19)",
            ),
            (r#"{"a": 1, "a": 2}"#, "body-not-json", "body.a (line 1, column 12)"),
            ("[18446744073709551616]", "integer-too-large", "body (byte 1)"),
            ("[-9223372036854775809]", "integer-too-large", "body (byte 1)"),
            ("[1e999]", "body-not-json", "body[0] (line 1, column 6)"),
            ("[] []", "body-not-json", "body (line 1, column 4)"),
            ("葍*", "body-not-json", "body (line 1, column 1)"),
        ] {
            let malformed = parse(body.as_bytes()).unwrap_err();

            assert_eq!((malformed.reason, malformed.place.as_str()), (reason, place), "{body}");
        }
    }

    #[test]
    fn a_float_is_the_one_that_python_wrote() {
        for text in [
            "0.30000000000000004",
            "1.5e+57",
            "9007199254740993.0",
            "2.2250738585072014e-308",
        ] {
            let float: f64 = text.parse().unwrap();

            assert_eq!(parse(text.as_bytes()).unwrap(), Value::from(float), "{text}");
        }
    }

    #[test]
    fn a_literal_is_named_and_a_value_is_not_quoted() {
        assert_eq!(parse(b"[NaN]").unwrap_err().detail, "expected JSON, found NaN");
        assert_eq!(
            parse(b"{\"a\": Infinity}").unwrap_err().detail,
            "expected JSON, found Infinity"
        );
        assert!(!parse(b"[\"Torstr. 1\" 5]").unwrap_err().detail.contains("Torstr"));
    }

    #[test]
    fn the_largest_integers_and_long_floats_are_read() {
        let value =
            parse(b"[18446744073709551615, -9223372036854775808, 1234567890123456789012.5, \"99999999999999999999\"]")
                .unwrap();

        assert_eq!(value[0], u64::MAX);
        assert_eq!(value[1], i64::MIN);
    }

    #[test]
    fn deep_nesting_is_refused_before_the_stack_ends() {
        let body = "[".repeat(1_000_000);

        assert_eq!(parse(body.as_bytes()).unwrap_err().reason, "nested-too-deep");
        assert!(parse(format!("{}{}", "[".repeat(127), "]".repeat(127)).as_bytes()).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_what_serde_json_reads(bytes in "[\\[\\]{}\",:0-9a-c\\\\ueEtrfalsn .-]{0,40}") {
            if let Ok(value) = parse(bytes.as_bytes()) {
                prop_assert_eq!(value, serde_json::from_str::<Value>(&bytes).unwrap());
            }
        }
    }
}
