//! Plain scalars: what they mean as JSON, and which of them YAML 1.1 (CloudFormation) and YAML 1.2 read differently.

use serde_json::Value;

use super::fault::TemplateRule;

/// Words that YAML 1.1 takes for a truth value, in three spellings each, and signs with a meaning of their own.
const AMBIGUOUS: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "=", "<<"];

/// Floating point numbers without digits, after their sign.
const NOT_FINITE: [&str; 4] = [".inf", "-.inf", "+.inf", ".nan"];

/// What a plain scalar means.
pub(super) fn to_json(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) if is_decimal(text) => Value::from(number),
            _ => Value::String(text.to_owned()),
        },
    }
}

/// Why a plain scalar must not stand in a graph, if so.
pub(super) fn refuse(text: &str) -> Option<(TemplateRule, String)> {
    if to_json(text).is_null() {
        let found = if text.is_empty() { "nothing" } else { text };
        return Some((TemplateRule::NullValue, format!("{found} is null, expected a value")));
    }
    let is_number = (looks_like_a_number(text) && !is_decimal(text)) || NOT_FINITE.contains(&lower(text).as_str());
    if is_number || AMBIGUOUS.contains(&lower(text).as_str()) {
        let message = format!("{text} means different things in YAML 1.1 and 1.2, expected it in quotes");
        return Some((TemplateRule::AmbiguousScalar, message));
    }
    None
}

fn lower(text: &str) -> String {
    text.to_ascii_lowercase()
}

/// Whether some dialect could take it for a number, a time or a date: `0x1F`, `1_000`, `1:30`, `2026-11-20T12:00:00Z`.
fn looks_like_a_number(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
        && text
            .chars()
            .all(|c| c.is_ascii_hexdigit() || "xXoOtTzZ_:.+- ".contains(c))
}

/// Digits without a leading zero, perhaps after a minus.
fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn plain_scalars_mean_what_both_dialects_agree_on() {
        assert_eq!(to_json("17"), json!(17));
        assert_eq!(to_json("-3"), json!(-3));
        assert_eq!(to_json("0"), json!(0));
        assert_eq!(to_json("true"), json!(true));
        assert_eq!(to_json("FALSE"), json!(false));
        assert_eq!(to_json("~"), json!(null));
        assert_eq!(to_json("PT48H"), json!("PT48H"));
        assert_eq!(to_json("99999999999999999999"), json!("99999999999999999999"));
    }

    #[test]
    fn what_the_dialects_read_differently_is_refused() {
        for text in [
            "yes",
            "No",
            "ON",
            "off",
            "y",
            "N",
            "012",
            "0x1F",
            "0o14",
            "1_000",
            "1:30",
            "2026-11-20",
            "1e3",
            "+1",
            ".inf",
            "-",
            "-.INF",
            ".NaN",
            "1.5",
            "=",
            "<<",
            "",
            "~",
            "null",
        ] {
            assert!(refuse(text).is_some(), "{text:?}");
        }
    }

    #[test]
    fn what_they_read_alike_is_taken() {
        for text in [
            "CREATED",
            "delivery-order",
            "P7D",
            "1",
            "-1",
            "0",
            "true",
            "Happy path, and more",
            "nobody",
        ] {
            assert_eq!(refuse(text), None, "{text:?}");
        }
    }
}
