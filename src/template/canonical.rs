//! Canonical JSON: keys sorted, no spaces. The same whoever wrote it down, so its hash is the graph's identity.

use serde_json::Value;

/// The value as canonical JSON.
pub(super) fn to_string(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            let entry = |(key, value): (&String, &Value)| format!("{}:{}", Value::from(key.as_str()), to_string(value));
            format!("{{{}}}", sorted.into_iter().map(entry).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(to_string).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn keys_are_sorted_at_every_depth() {
        let value = json!({"b": [{"d": 1, "c": "\"x\""}], "a": null});

        assert_eq!(super::to_string(&value), r#"{"a":null,"b":[{"c":"\"x\"","d":1}]}"#);
    }
}
