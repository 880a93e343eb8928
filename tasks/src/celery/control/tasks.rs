//! What a worker has in hand, has put off, and can do.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::{Panel, Raised, Replied};
use crate::celery::protocol::{Request, isoformat};
use crate::celery::state::{Stage, TaskInHand};
use crate::celery::transport::Scheduled;

/// How many tasks that wait for their time are told at most: there may be a hundred thousand.
const SCHEDULED_AT_MOST: usize = 1_000;

/// How long a message takes into the store; the answer is due within a second.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// What Python gives to tasks that wait for their time.
const PRIORITY: u8 = 6;

const USUAL_ATTRIBUTES: [&str; 3] = ["exchange", "routing_key", "rate_limit"];

impl Panel {
    pub(super) fn look(&self, arguments: &Arguments) -> Replied {
        match arguments.command() {
            "active" => Ok(self.infos(&self.state.active(), arguments.is_true("safe"))),
            "reserved" => Ok(self.infos(&self.state.reserved(), false)),
            "revoked" => Ok(self.state.revoked_ids().into()),
            _ => Ok(self.registered(arguments)),
        }
    }

    fn infos(&self, tasks: &[Arc<TaskInHand>], safe: bool) -> Value {
        tasks
            .iter()
            .map(|task| task.info(self.state.nodename(), safe))
            .collect()
    }

    /// Ids that are neither in hand nor put off are left out.
    pub(super) async fn query(&self, ids: &[String]) -> Replied {
        let mut found = Map::new();
        for id in ids {
            if let Some(task) = self.state.find(id).last() {
                let stage = match task.stage() {
                    Stage::Active => "active",
                    Stage::Reserved => "reserved",
                };
                found.insert(id.clone(), json!([stage, task.info(self.state.nodename(), false)]));
            }
        }
        if found.len() < ids.len() {
            for mut put_off in self.put_off().await? {
                let id = put_off["request"]["id"].as_str().unwrap_or_default().to_owned();
                if ids.contains(&id) {
                    found
                        .entry(id)
                        .or_insert(json!(["scheduled", put_off["request"].take()]));
                }
            }
        }
        Ok(found.into())
    }

    pub(super) async fn scheduled(&self) -> Replied {
        Ok(self.put_off().await?.into())
    }

    async fn put_off(&self) -> Result<Vec<Value>, Raised> {
        // What was sent just before the question may still be on its way into the store: with Python both come over one connection.
        tokio::time::sleep(ON_ITS_WAY).await;
        let kept = self.keeper.scheduled(SCHEDULED_AT_MOST).await;
        let kept = kept.map_err(|error| Raised(format!("OperationalError('{error}')")))?;
        Ok(kept.iter().filter_map(|scheduled| self.shown(scheduled)).collect())
    }

    /// What cannot be read is no task, and will be set aside when its time comes.
    fn shown(&self, scheduled: &Scheduled) -> Option<Value> {
        let request = Arc::new(Request::decode(&scheduled.delivery.message).ok()?);
        let task = TaskInHand::of(&request, &scheduled.delivery);
        Some(json!({
            "eta": isoformat(scheduled.until),
            "priority": PRIORITY,
            "request": task.info(self.state.nodename(), false),
        }))
    }

    fn registered(&self, arguments: &Arguments) -> Value {
        let asked = arguments.texts("taskinfoitems");
        let attributes: Vec<&str> = match asked.is_empty() {
            true => USUAL_ATTRIBUTES.into(),
            false => asked
                .iter()
                .map(String::as_str)
                .filter(|name| !name.starts_with('_'))
                .collect(),
        };
        let builtins = arguments.is_true("builtins");
        let tasks = self
            .facts
            .tasks
            .iter()
            .filter(|task| builtins || !task.name.starts_with("celery."));
        let mut lines: Vec<(&str, String)> = tasks
            .map(|task| {
                let now = self.state.limits(&task.name, task.limits);
                let found = attributes
                    .iter()
                    .filter_map(|name| Some(format!("{name}={}", task.attribute(name, now)?)));
                let found: Vec<String> = found.collect();
                let line = match found.is_empty() {
                    true => task.name.clone(),
                    false => format!("{} [{}]", task.name, found.join(" ")),
                };
                (task.name.as_str(), line)
            })
            .collect();
        lines.sort_unstable();
        lines.into_iter().map(|(_, line)| Value::from(line)).collect()
    }
}
