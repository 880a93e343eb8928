//! YAML as kombu writes it (`yaml.safe_dump`), read into JSON's types. Anchors and tags are refused: they can do more than data.

use std::sync::LazyLock;

use regex_lite::Regex;
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

/// What PyYAML's resolver takes for numbers. It writes them decimal; in quotes what would be one otherwise, and all other text
/// without, such as `0912` and `1e5`.
static INTEGER: LazyLock<Regex> = LazyLock::new(|| pattern(r"[-+]?(0|[1-9][0-9]*)"));
static FLOAT: LazyLock<Regex> = LazyLock::new(|| pattern(r"([-+]?[0-9]+\.[0-9]*|\.[0-9]+)([eE][-+][0-9]+)?"));
static NOT_FINITE: LazyLock<Regex> = LazyLock::new(|| pattern(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"));
static NOT_DECIMAL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"[-+]?(0b[01_]+|0[0-7_]+|0x[0-9a-fA-F_]+|[1-9][0-9_]*(:[0-5]?[0-9])*)
    |([-+]?[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+][0-9]+)?
    |[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+\.[0-9_]*",
    )
});

/// A scalar without quotes, as PyYAML writes it. Other spellings of YAML 1.1 are text, or refused where PyYAML would see a number.
fn plain(text: &str) -> Result<Value, Problem> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ if !text.starts_with(|first: char| first.is_ascii_digit() || "-+.".contains(first)) => text.into(),
        _ if INTEGER.is_match(text) => {
            let unsigned = || text.parse::<u64>().map(Value::from);
            let integer = text.parse::<i64>().map(Value::from).or_else(|_| unsigned());
            integer.map_err(|_| "an integer of more than 64 bits")?
        }
        _ if FLOAT.is_match(text) => {
            let float = text.parse().ok().and_then(Number::from_f64);
            Value::Number(float.ok_or(NO_WORD)?)
        }
        _ if NOT_FINITE.is_match(text) => return Err(NO_WORD),
        _ if NOT_DECIMAL.is_match(text) => return Err("a number that is not decimal"),
        _ => text.into(),
    })
}

const NO_WORD: Problem = "a number that JSON has no word for";

fn pattern(text: &str) -> Regex {
    Regex::new(&format!("^(?x:{text})$")).expect("the patterns above are well-formed")
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
    fn what_is_no_number_in_python_is_text() {
        for text in [
            "09112",
            "0891234567",
            "-08",
            "12e5",
            "1e5",
            "1.5e3",
            "-.5",
            "+",
            ".",
            "1:60",
            "0_9",
            ".iNf",
            "2026-11-22",
            "1.2.3",
        ] {
            assert_eq!(parse(text), Ok(text.into()), "{text}");
        }
        for (text, number) in [
            ("0", json!(0)),
            ("-0", json!(0)),
            ("+12", json!(12)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.", json!(1.0)),
            (".5", json!(0.5)),
            ("-0.25", json!(-0.25)),
            ("09.5", json!(9.5)),
            ("1.5e+3", json!(1500.0)),
            ("1.E-2", json!(0.01)),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
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
            ("[-.INF]", "a number that JSON has no word for"),
            ("[1.0e+999]", "a number that JSON has no word for"),
            ("[99999999999999999999]", "an integer of more than 64 bits"),
            ("[0x1F]", "a number that is not decimal"),
            ("[0b10]", "a number that is not decimal"),
            ("[-0123]", "a number that is not decimal"),
            ("[1_000]", "a number that is not decimal"),
            ("[1_0.5e+1]", "a number that is not decimal"),
            ("[12:30]", "a number that is not decimal"),
            ("[1:30.5]", "a number that is not decimal"),
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
