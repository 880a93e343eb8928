//! Python's `repr` of JSON values: Flower and `inspect` show it verbatim.

use std::fmt::Write as _;

use serde_json::Value;

/// Celery's `argsrepr_maxsize`.
const MAX_CHARS: usize = 1024;

/// A value as Python's `repr` writes it, cut like Celery cuts it.
pub fn python_repr(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    cut(out)
}

/// Positional arguments are a tuple.
pub(in crate::celery) fn tuple_repr(args: &[Value]) -> String {
    let mut out = String::from("(");
    separated(args, &mut out, write);
    out.push_str(if args.len() == 1 { ",)" } else { ")" });
    cut(out)
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(MAX_CHARS) {
        text.truncate(at);
        text.push_str("...");
    }
    text
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            out.push('[');
            separated(items, out, write);
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            separated(entries, out, |(key, value), out| {
                quote(key, out);
                out.push_str(": ");
                write(value, out);
            });
            out.push('}');
        }
    }
}

fn separated<T>(items: impl IntoIterator<Item = T>, out: &mut String, mut write: impl FnMut(T, &mut String)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write(item, out);
    }
}

/// Single quotes, unless the text has single quotes and no double ones.
fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char == mark => {
                out.push('\\');
                out.push(char);
            }
            char if char.is_ascii_control() => {
                let _ = write!(out, "\\x{:02x}", char as u32);
            }
            char => out.push(char),
        }
    }
    out.push(mark);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_like_python_writes_them() {
        let value = json!({"a": [1, 2.5, true, false, null], "b": "it's", "c": "say \"it's\"", "d": "line\n\u{1}ü"});

        assert_eq!(
            python_repr(&value),
            r#"{'a': [1, 2.5, True, False, None], 'b': "it's", 'c': 'say "it\'s"', 'd': 'line\n\x01ü'}"#
        );
        assert_eq!(tuple_repr(&[]), "()");
        assert_eq!(tuple_repr(&[json!(2)]), "(2,)");
        assert_eq!(tuple_repr(&[json!(2), json!("x")]), "(2, 'x')");
    }

    #[test]
    fn long_arguments_are_cut() {
        assert_eq!(python_repr(&json!("ü".repeat(5000))).chars().count(), MAX_CHARS + 3);
    }
}
