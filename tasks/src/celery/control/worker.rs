//! What keeps a worker in step with others, and what ends it.

use serde_json::{Map, Value, json};
use tracing::{info, warn};

use super::arguments::Arguments;
use super::{Answer, Panel, Raised, Replied, nok, ok};

impl Panel {
    /// A warm shutdown. Python answers nothing, because it is gone.
    pub(super) fn shut_down(&self, arguments: &Map<String, Value>) -> Answer {
        let why = arguments
            .get("msg")
            .and_then(Value::as_str)
            .unwrap_or("Got shutdown from remote");
        warn!("{why}");
        self.state.stop().cancel();
        Answer::Silence
    }

    pub(super) fn keep_in_step(&self, command: &str, arguments: &Arguments) -> Replied {
        match command {
            "clock" => Ok(json!({"clock": self.state.clock().now()})),
            "hello" => Ok(self.hello(arguments)),
            "enable_events" => Ok(self.switch_events(true)),
            "disable_events" => Ok(self.switch_events(false)),
            "heartbeat" => {
                if let Some(events) = &self.events {
                    events.beat();
                }
                Ok(Value::Null)
            }
            // There is no gossip that an election could be held by; Python without gossip answers the same.
            "election" => Ok(Value::Null),
            other => Err(Raised(format!("KeyError('{other}')"))),
        }
    }

    fn hello(&self, arguments: &Arguments) -> Value {
        let from = arguments.text("from_node").unwrap_or_default();
        if from == self.state.nodename() {
            return Value::Null;
        }
        info!("remote control: in step with {from}");
        self.state.revoke(revoked_by(arguments.get("revoked")));
        json!({"revoked": self.state.revoked_ids(), "clock": self.state.clock().forward()})
    }

    fn switch_events(&self, on: bool) -> Value {
        if self.events.is_none() {
            return nok("event dispatcher unavailable");
        }
        let word = if on { "enabled" } else { "disabled" };
        if self.always || self.state.enable_events(on) == on {
            return ok(format!("task events already {word}"));
        }
        info!("remote control: events of tasks are {word}");
        ok(format!("task events {word}"))
    }
}

/// A list of ids; older workers send them as the keys of an object.
pub(super) fn revoked_by(revoked: &Value) -> Vec<String> {
    match revoked {
        Value::Array(ids) => ids.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::Object(ids) => ids.keys().cloned().collect(),
        _ => Vec::new(),
    }
}
