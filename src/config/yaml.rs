//! A YAML document as JSON: plain data only, each key once.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

const DEEPEST: usize = 32;

/// Reads one document. A refusal names the line and never what is there.
pub(crate) fn read(text: &str) -> Result<Value, String> {
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("no YAML in line {}", error.marker().line()))?;
        reader
            .take(event)
            .map_err(|found| format!("{found} in line {}", span.start.line()))?;
    }
    reader.root.ok_or_else(|| "an empty file".to_owned())
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    root: Option<Value>,
}

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

impl Reader {
    fn take(&mut self, event: Event) -> Result<(), &'static str> {
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err("a second document"),
            Event::Alias(_) => Err("an alias"),
            Event::Scalar(text, style, 0, None) => self.put_scalar(&text, style == ScalarStyle::Plain),
            Event::SequenceStart(0, None) => self.begin(Open::List(Vec::new())),
            Event::MappingStart(0, None) => self.begin(Open::Map(Map::new(), None)),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => Err("an anchor or a tag"),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open::List(items)) => self.put(Value::Array(items)),
                Some(Open::Map(entries, _)) => self.put(Value::Object(entries)),
                None => Ok(()),
            },
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {
                Ok(())
            }
        }
    }

    fn begin(&mut self, open: Open) -> Result<(), &'static str> {
        if self.open.len() == DEEPEST {
            return Err("too many levels");
        }
        if let Some(Open::Map(_, None)) = self.open.last() {
            return Err("a key that is no text");
        }
        self.open.push(open);
        Ok(())
    }

    fn put_scalar(&mut self, text: &str, plain: bool) -> Result<(), &'static str> {
        if let Some(Open::Map(entries, key @ None)) = self.open.last_mut() {
            if entries.contains_key(text) {
                return Err("a key for the second time");
            }
            *key = Some(text.to_owned());
            return Ok(());
        }
        self.put(if plain { resolve(text) } else { text.into() })
    }

    fn put(&mut self, value: Value) -> Result<(), &'static str> {
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(entries, key)) => {
                let key = key.take().ok_or("a key that is no text")?;
                entries.insert(key, value);
            }
        }
        Ok(())
    }
}

/// What a text without quotes means in YAML's core schema.
fn resolve(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ if !text.starts_with(|first: char| first.is_ascii_digit() || "-.".contains(first)) => text.into(),
        _ => match (text.parse::<i64>(), text.parse::<f64>().ok().and_then(Number::from_f64)) {
            (Ok(whole), _) => whole.into(),
            (Err(_), Some(number)) => Value::Number(number),
            (Err(_), None) => text.into(),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_data_is_read_as_json() {
        let text = "a: {b: [1, -2, 1.5, true, ~, x, '1', \"null\"]}\nc:\n  - d: e\n    f:\n";

        let expected = json!({"a": {"b": [1, -2, 1.5, true, null, "x", "1", "null"]}, "c": [{"d": "e", "f": null}]});
        assert_eq!(read(text), Ok(expected.clone()));
        assert_eq!(read(&expected.to_string()), Ok(expected), "JSON is YAML too");
    }

    #[test]
    fn what_is_not_plain_data_is_refused_with_its_line() {
        for (text, found) in [
            ("", "an empty file"),
            ("a: 1\na: 2", "a key for the second time in line 2"),
            ("a: &x 1", "an anchor or a tag in line 1"),
            ("a: !y 1", "an anchor or a tag in line 1"),
            ("? [a]\n: 1", "a key that is no text in line 1"),
            ("a: 1\n---\nb: 1", "a second document in line 2"),
            ("a: 'secret", "no YAML in line 1"),
        ] {
            assert_eq!(read(text), Err(found.to_owned()), "{text}");
        }
        assert_eq!(read(&"[".repeat(100)), Err("too many levels in line 1".to_owned()));
    }
}
