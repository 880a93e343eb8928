//! A command as it comes in, and whether it is for us.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::matcher::matches;

/// What stands in the body of a command.
#[derive(Debug, Deserialize)]
pub(super) struct Command {
    pub(super) method: String,
    #[serde(default)]
    arguments: Option<Map<String, Value>>,
    #[serde(default)]
    destination: Option<Vec<String>>,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    matcher: Option<String>,
    #[serde(default)]
    pub(super) ticket: Option<String>,
    #[serde(default)]
    pub(super) reply_to: Option<ReplyTo>,
}

/// Where the answer goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct ReplyTo {
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

impl Command {
    pub(super) fn read(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// Takes the arguments out.
    pub(super) fn arguments(&mut self) -> Map<String, Value> {
        self.arguments.take().unwrap_or_default()
    }

    /// By destination, else by pattern, else for everybody. An error is a pattern that cannot be matched.
    pub(super) fn is_for(&self, nodename: &str) -> Result<bool, String> {
        let destination = self.destination.as_deref().unwrap_or_default();
        if !destination.is_empty() {
            return Ok(destination.iter().any(|name| name == nodename));
        }
        match (self.pattern.as_deref(), self.matcher.as_deref()) {
            (Some(pattern), Some(matcher)) if !pattern.is_empty() && !matcher.is_empty() => {
                matches(nodename, pattern, matcher)
            }
            _ => Ok(true),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_command_is_for_those_that_it_names_or_whose_name_matches_or_all() {
        for (destination, pattern, matcher, ours) in [
            (json!(null), json!(null), json!(null), true),
            (json!([]), json!(null), json!(null), true),
            (json!(["w1@host"]), json!("no*"), json!("glob"), true),
            (json!(["w2@host"]), json!("w*"), json!("glob"), false),
            (json!(null), json!("w*@host"), json!("glob"), true),
            (json!(null), json!("w[2-9]@host"), json!("glob"), false),
            (json!(null), json!("w\\d@"), json!("pcre"), true),
            (json!(null), json!("host"), json!("pcre"), false),
            (json!(null), json!("no*"), json!(null), true),
        ] {
            let body = json!({"method": "ping", "arguments": {}, "destination": destination, "pattern": pattern, "matcher": matcher});

            let command = Command::read(body.to_string().as_bytes()).unwrap();

            assert_eq!(command.is_for("w1@host"), Ok(ours), "{body}");
        }
    }
}
