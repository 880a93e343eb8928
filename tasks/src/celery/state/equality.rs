//! When Python takes a value that came as JSON, and one that came as a header, for equal.

use serde_json::{Number, Value};

use crate::celery::message::HeaderValue;

/// As Python's `==`: numbers and truths by what they are worth, lists and tables by what is in them.
pub(crate) fn equal(known: &Value, value: &HeaderValue) -> bool {
    match (known, value) {
        (Value::Null, HeaderValue::Null) => true,
        (Value::String(known), HeaderValue::Text(value)) => known == value,
        (Value::Bool(known), number) => worth(number, i64::from(*known)),
        (Value::Number(known), number) => same_number(known, number),
        (Value::Array(known), HeaderValue::List(values)) => {
            known.len() == values.len() && known.iter().zip(values).all(|(known, value)| equal(known, value))
        }
        (Value::Object(known), HeaderValue::Table(values)) => {
            known.len() == values.len()
                && known
                    .iter()
                    .all(|(name, known)| values.get(name).is_some_and(|value| equal(known, value)))
        }
        _ => false,
    }
}

/// Numbers that stand for themselves in JSON beyond 64 bits cannot come in a header.
fn same_number(known: &Number, value: &HeaderValue) -> bool {
    match (known.as_i64(), known.as_f64()) {
        (Some(whole), _) => worth(value, whole),
        (None, Some(known)) => match value {
            HeaderValue::Float(value) => known == *value,
            HeaderValue::Int(value) => is_whole(known, *value),
            HeaderValue::Bool(value) => is_whole(known, i64::from(*value)),
            _ => false,
        },
        (None, None) => false,
    }
}

fn worth(value: &HeaderValue, whole: i64) -> bool {
    match value {
        HeaderValue::Int(value) => *value == whole,
        HeaderValue::Bool(value) => i64::from(*value) == whole,
        HeaderValue::Float(value) => is_whole(*value, whole),
        _ => false,
    }
}

/// Exactly, as Python compares them: 2⁵³ + 1 is no float.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "both ways, so that nothing that was rounded is taken for equal"
)]
fn is_whole(float: f64, whole: i64) -> bool {
    float == whole as f64 && i128::from(whole) == float as i128
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_equal_that_python_takes_for_equal() {
        let list = |values: &[i64]| HeaderValue::List(values.iter().copied().map(HeaderValue::Int).collect());
        let table = |value: i64| HeaderValue::Table(BTreeMap::from([("a".to_owned(), HeaderValue::Int(value))]));
        let odd = (1_i64 << 53) + 1;
        for (known, value, wanted) in [
            (json!("7"), HeaderValue::Text("7".to_owned()), true),
            (json!("7"), HeaderValue::Int(7), false),
            (json!(7), HeaderValue::Int(7), true),
            (json!(7), HeaderValue::Float(7.0), true),
            (json!(7.0), HeaderValue::Int(7), true),
            (json!(7.5), HeaderValue::Float(7.5), true),
            (json!(7.5), HeaderValue::Int(7), false),
            (json!(1), HeaderValue::Bool(true), true),
            (json!(true), HeaderValue::Int(1), true),
            (json!(true), HeaderValue::Float(1.0), true),
            (json!(true), HeaderValue::Bool(false), false),
            (json!(odd), HeaderValue::Int(odd), true),
            (json!(9_007_199_254_740_992.0), HeaderValue::Int(odd), false),
            (json!(null), HeaderValue::Null, true),
            (json!(null), HeaderValue::Int(0), false),
            (json!([1, 2]), list(&[1, 2]), true),
            (json!([1, 2]), list(&[2, 1]), false),
            (json!([1]), list(&[1, 2]), false),
            (json!({"a": 1.0}), table(1), true),
            (json!({"a": 1}), table(2), false),
            (json!({"b": 1}), table(1), false),
        ] {
            assert_eq!(equal(&known, &value), wanted, "{known} and {value:?}");
        }
    }
}
