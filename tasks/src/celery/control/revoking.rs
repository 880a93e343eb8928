//! Revoking and ending tasks. What is revoked is kept by the application too, so that a worker that was down knows it later.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tracing::{info, warn};

use super::arguments::Arguments;
use super::{Panel, Raised, Replied, ok};
use crate::celery::message::HeaderValue;
use crate::celery::protocol::{Request, python_repr};
use crate::celery::results::{Exception, ResultError, State, TaskResult};
use crate::celery::state::{Signal, Stage, equal};

/// How long a revocation is kept for workers that are down: no message of ours waits longer in a queue without an operator.
const KEPT_FOR: TimeDelta = TimeDelta::days(30);

/// Who asked for the revocation waits a second for its answer.
const TELL_WITHIN: Duration = Duration::from_millis(500);

impl Panel {
    pub(super) async fn revoke(&self, arguments: &Arguments) -> Replied {
        let end = arguments.is_true("terminate");
        let signal = if end { signal(arguments)? } else { Signal::TERM };
        let mut ids = arguments.texts("task_id");
        ids.dedup();
        self.revoke_ids(&ids).await;
        if end {
            return Ok(self.end(&ids, signal));
        }
        info!("remote control: revoked {}", ids.join(", "));
        Ok(ok(format!("tasks {} flagged as revoked", set(&ids))))
    }

    pub(super) async fn terminate(&self, arguments: &Arguments) -> Replied {
        let signal = signal(arguments)?;
        let ids = arguments.texts("task_id");
        self.revoke_ids(&ids).await;
        Ok(self.end(&ids, signal))
    }

    /// In memory at once, then durably. If that fails this worker knows it all the same, which is what Python promises.
    async fn revoke_ids(&self, ids: &[String]) {
        self.state.revoke(ids);
        if let Err(error) = self.keeper.revoke(ids, Utc::now() + KEPT_FOR).await {
            warn!("a revocation is known to running workers only: {error}");
        }
        self.tell_waiting(ids).await;
    }

    /// Who waits for a task that is not run any more gets its exception at once. A task that runs, or has ended, is left to
    /// whoever runs it.
    async fn tell_waiting(&self, ids: &[String]) {
        let Some(results) = &self.results else { return };
        let runs = |id: &String| self.state.find(id).iter().any(|task| task.stage() == Stage::Active);
        let waiting: Vec<String> = ids.iter().filter(|id| !runs(id)).cloned().collect();
        let telling = async {
            let known = results.load(&waiting).await?;
            for (id, known) in waiting.iter().zip(known) {
                let state = known.map_or(State::Pending, |result| result.state);
                let waits = [State::Pending, State::Retry, State::Rejected].contains(&state);
                if waits || state.as_str() == "RECEIVED" {
                    let exception = Exception::celery("TaskRevokedError", "revoked");
                    results
                        .store(&TaskResult::raised(id, State::Revoked, &exception, Utc::now()))
                        .await?;
                }
            }
            Ok::<(), ResultError>(())
        };
        match timeout(TELL_WITHIN, telling).await {
            Ok(Ok(())) => (),
            Ok(Err(error)) => warn!("that tasks are revoked is not told to those who wait: {error}"),
            Err(_) => warn!("that tasks are revoked is not told to those who wait: no answer within {TELL_WITHIN:?}"),
        }
    }

    fn end(&self, ids: &[String], signal: Signal) -> Value {
        let ended = self.state.terminate(ids, signal);
        if ended.is_empty() {
            return ok("terminate: tasks unknown");
        }
        info!("remote control: ended {} ({signal})", ended.join(", "));
        ok(format!("terminate: {}", ended.join(", ")))
    }

    pub(super) fn revoke_stamped(&self, arguments: &Arguments) -> Replied {
        let signal = signal(arguments)?;
        let headers = stamps(arguments.get("headers"))?;
        for (stamp, values) in &headers {
            if values.is_null() {
                return Err(type_error("'NoneType' object is not iterable"));
            }
            self.state.revoke_stamped(stamp, list(values).iter().cloned());
        }
        let told = python_repr(&Value::Object(headers.clone()));
        if !arguments.is_true("terminate") {
            return Ok(ok(format!("headers {told} flagged as revoked, but not terminated")));
        }
        let mut ended: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for task in self.state.active() {
            for (stamp, wanted) in &headers {
                let matching = matching(task.request(), stamp, wanted)?;
                if matching.is_empty() {
                    continue;
                }
                task.terminate(signal);
                let values = ended.entry(stamp.clone()).or_default();
                for value in matching.into_iter().map(python_repr) {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
        }
        if ended.is_empty() {
            return Ok(ok(format!("headers {told} were not terminated")));
        }
        let sets = ended
            .iter()
            .map(|(stamp, values)| format!("{}: {{{}}}", quoted(stamp), values.join(", ")));
        let sets: Vec<String> = sets.collect();
        Ok(ok(format!(
            "headers defaultdict(<class 'set'>, {{{}}}) revoked",
            sets.join(", ")
        )))
    }
}

fn signal(arguments: &Arguments) -> Result<Signal, Raised> {
    match arguments.get("signal") {
        Value::Number(number) => {
            let number = number.as_u64().and_then(|number| u8::try_from(number).ok());
            number
                .map(Signal::numbered)
                .ok_or_else(|| Raised::value_error("signal number out of range"))
        }
        Value::String(name) if !name.is_empty() => Signal::named(name).map_err(|error| Raised(error.to_string())),
        _ => Ok(Signal::TERM),
    }
}

/// `{"stamp": value or values}`, or `["stamp=value"]`.
fn stamps(headers: &Value) -> Result<Map<String, Value>, Raised> {
    match headers {
        Value::Object(headers) => Ok(headers.clone()),
        Value::Array(pairs) => {
            let mut headers = Map::new();
            for pair in pairs {
                let text = pair.as_str().unwrap_or_default();
                let mut parts = text.split('=');
                let (Some(stamp), Some(value)) = (parts.next(), parts.next()) else {
                    return Err(Raised("IndexError('list index out of range')".to_owned()));
                };
                headers.insert(stamp.to_owned(), value.into());
            }
            Ok(headers)
        }
        other => {
            let kind = match other {
                Value::String(_) => "str",
                Value::Null => "NoneType",
                Value::Bool(_) => "bool",
                _ => "int",
            };
            let text = format!("'{kind}' object has no attribute 'items'");
            Err(Raised(format!("AttributeError({})", python_repr(&json!(text)))))
        }
    }
}

fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(values) => values,
        one => std::slice::from_ref(one),
    }
}

/// Which of the wanted values are among a task's values of that stamp. Python makes sets of both, which not every value suits.
fn matching<'w>(request: &Request, stamp: &str, wanted: &'w Value) -> Result<Vec<&'w Value>, Raised> {
    let values = match request.stamps.get(stamp) {
        None | Some(HeaderValue::Null) => return Ok(Vec::new()),
        Some(HeaderValue::List(values)) => values.as_slice(),
        Some(one) => std::slice::from_ref(one),
    };
    let theirs = values.iter().find_map(|value| match value {
        HeaderValue::List(_) => Some("list"),
        HeaderValue::Table(_) => Some("dict"),
        _ => None,
    });
    let ours = list(wanted).iter().find_map(|value| match value {
        Value::Array(_) => Some("list"),
        Value::Object(_) => Some("dict"),
        _ => None,
    });
    if let Some(kind) = theirs.or(ours) {
        return Err(type_error(&format!("unhashable type: '{kind}'")));
    }
    let among = |wanted: &&Value| values.iter().any(|value| equal(wanted, value));
    Ok(list(wanted).iter().filter(among).collect())
}

fn type_error(text: &str) -> Raised {
    Raised(format!("TypeError({})", quoted(text)))
}

fn quoted(text: &str) -> String {
    python_repr(&text.into())
}

/// As Python writes a set of texts.
fn set(texts: &[String]) -> String {
    if texts.is_empty() {
        return "set()".to_owned();
    }
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("{{{}}}", texts.join(", "))
}
