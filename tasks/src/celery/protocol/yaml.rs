//! YAML as kombu writes it (`yaml.safe_dump`), read into JSON's types. Anchors and tags are refused: they can do more than data.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// As deep as JSON may be.
const DEEPEST: usize = 128;

/// Why it is none, in words that quote nothing.
type Problem = &'static str;

/// Reads one document.
pub(super) fn parse(text: &str) -> Result<Value, Problem> {
    let mut open: Vec<Open> = Vec::new();
    let mut whole = None;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|_| "something else than YAML")?;
        let finished = match event {
            Event::Scalar(_, _, anchor, _) | Event::SequenceStart(anchor, _) | Event::MappingStart(anchor, _)
                if anchor != 0 =>
            {
                return Err("an anchor");
            }
            Event::Alias(_) => return Err("an alias"),
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_)) => {
                return Err("a tag");
            }
            Event::Scalar(text, ScalarStyle::Plain, ..) => plain(&text)?,
            Event::Scalar(text, ..) => Value::String(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => open.pop().map(Open::close).unwrap_or_default(),
            _ => continue,
        };
        if open.len() > DEEPEST {
            return Err("too many levels");
        }
        match open.last_mut() {
            Some(parent) => parent.add(finished)?,
            None if whole.is_some() => return Err("two documents"),
            None => whole = Some(finished),
        }
    }
    whole.ok_or("nothing")
}

/// A collection that has not ended.
enum Open {
    List(Vec<Value>),
    /// The second is a key that waits for its value.
    Map(Map<String, Value>, Option<String>),
}

impl Open {
    fn add(&mut self, value: Value) -> Result<(), Problem> {
        match self {
            Self::List(items) => items.push(value),
            Self::Map(entries, key) => match key.take() {
                Some(key) if entries.contains_key(&key) => return Err("a key twice"),
                Some(key) => drop(entries.insert(key, value)),
                None => match value {
                    Value::String(text) => *key = Some(text),
                    _ => return Err("a key that is not text"),
                },
            },
        }
        Ok(())
    }

    fn close(self) -> Value {
        match self {
            Self::List(items) => items.into(),
            Self::Map(entries, _) => entries.into(),
        }
    }
}

/// A scalar without quotes, as PyYAML writes it. Other spellings of YAML 1.1 are text, or refused where PyYAML would see a number.
fn plain(text: &str) -> Result<Value, Problem> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => {
            if let Ok(integer) = text.parse::<i64>() {
                return Ok(integer.into());
            }
            if let Ok(integer) = text.parse::<u64>() {
                return Ok(integer.into());
            }
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            if digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err("an integer of more than 64 bits");
            }
            if [".inf", ".nan"].contains(&digits.to_ascii_lowercase().as_str()) {
                return Err("a number that JSON has no word for");
            }
            let numeric = digits.starts_with(|first: char| first.is_ascii_digit() || first == '.');
            match text.parse::<f64>().ok().filter(|_| numeric).and_then(Number::from_f64) {
                Some(float) => Value::Number(float),
                None => Value::String(text.to_owned()),
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_python_dumps_is_read() {
        let dumped = "- - 1\n  - -2.5\n  - true\n  - null\n  - 'yes'\n  - a text\n  - 1.0e+20\n- a:\n    b: []\n  c: {}\n\
                      - callbacks: null\n  errbacks: null\n";

        let value = parse(dumped).unwrap();

        let expected = json!([[1, -2.5, true, null, "yes", "a text", 1e20], {"a": {"b": []}, "c": {}},
            {"callbacks": null, "errbacks": null}]);
        assert_eq!(value, expected);
    }

    #[test]
    fn what_is_more_than_data_is_refused() {
        for (text, problem) in [
            ("", "nothing"),
            ("[", "something else than YAML"),
            ("a: &x [1]\nb: *x", "an anchor"),
            ("!!python/object:os.system [x]", "a tag"),
            ("{1: 2}", "a key that is not text"),
            ("{a: 1, a: 2}", "a key twice"),
            ("1\n--- \n2", "two documents"),
            ("[.nan]", "a number that JSON has no word for"),
            ("[99999999999999999999]", "an integer of more than 64 bits"),
        ] {
            assert_eq!(parse(text), Err(problem), "{text}");
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert_eq!(parse(&deep), Err("too many levels"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "[-\\[\\]{}:,a0.\"'&*!|> \n]{0,60}") {
            let _ = parse(&text);
        }
    }
}
