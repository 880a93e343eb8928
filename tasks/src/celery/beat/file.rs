//! A schedule as people write it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono_tz::Tz;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::crontab::Crontab;
use super::{Entry, Missed, Schedule, When};

/// A schedule that cannot be used: where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {text}")]
pub struct ScheduleError {
    /// Where in the file.
    pub place: String,
    /// What was expected.
    pub text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    timezone: Option<String>,
    entries: BTreeMap<String, Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    task: String,
    #[serde(default)]
    args: Vec<Value>,
    #[serde(default)]
    kwargs: Map<String, Value>,
    #[serde(default)]
    queue: Option<String>,
    #[serde(default)]
    every: Option<Value>,
    #[serde(default)]
    crontab: Option<Fields>,
    #[serde(default)]
    timezone: Option<String>,
    #[serde(default)]
    expires: Option<Value>,
    #[serde(default)]
    priority: Option<u8>,
    #[serde(default)]
    missed: Missed,
}

/// `"0 4 * * *"`, or the fields by Celery's names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fields {
    Text(String),
    Named(Named),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(default)]
    minute: Value,
    #[serde(default)]
    hour: Value,
    #[serde(default)]
    day_of_week: Value,
    #[serde(default)]
    day_of_month: Value,
    #[serde(default)]
    month_of_year: Value,
}

impl Schedule {
    /// Reads a schedule out of its document: `name`, `timezone` (of all entries, UTC if left out), `entries` by name, each with
    /// `task`, `args`, `kwargs`, `queue`, `every` (seconds, or `30s`, `15m`, `2h`, `1d`) or `crontab`, `timezone`, `expires`, `priority`
    /// and `missed` (`once` or `skip`). Tasks without a queue go to `queue`.
    pub fn read(document: Value, queue: &str) -> Result<Self, ScheduleError> {
        let file: File = serde_path_to_error::deserialize(document).map_err(|error| ScheduleError {
            place: error.path().to_string(),
            text: error.into_inner().to_string(),
        })?;
        let zone = zone(file.timezone.as_deref(), "timezone", Tz::UTC)?;
        let entries = file
            .entries
            .into_iter()
            .map(|(name, written)| written.entry(name, queue, zone));
        Ok(Self {
            name: file.name.unwrap_or_else(|| "default".to_owned()),
            entries: entries.collect::<Result<_, _>>()?,
        })
    }
}

impl Written {
    fn entry(self, name: String, queue: &str, usual: Tz) -> Result<Entry, ScheduleError> {
        let place = |field: &str| format!("entries.{name}.{field}");
        let wrong = |field: &str, text: String| ScheduleError {
            place: place(field),
            text,
        };
        let zone = zone(self.timezone.as_deref(), &place("timezone"), usual)?;
        let when = match (self.every, self.crontab) {
            (Some(every), None) => {
                let every = duration(&every).and_then(|every| u32::try_from(every.as_secs()).ok());
                let expected = || {
                    wrong(
                        "every",
                        "expected seconds, or a number with s, m, h or d, at least 1 s".to_owned(),
                    )
                };
                When::Every(every.filter(|every| *every > 0).ok_or_else(expected)?)
            }
            (None, Some(fields)) => {
                let (crontab, text) = fields.read().map_err(|text| wrong("crontab", text))?;
                When::Crontab(crontab, zone, text)
            }
            _ => return Err(wrong("every", "expected either every or crontab".to_owned())),
        };
        let expires = match &self.expires {
            None => None,
            Some(text) => {
                let expected = || wrong("expires", "expected seconds, or a number with s, m, h or d".to_owned());
                Some(duration(text).ok_or_else(expected)?)
            }
        };
        Ok(Entry {
            task: self.task,
            args: self.args,
            kwargs: self.kwargs,
            queue: self.queue.unwrap_or_else(|| queue.to_owned()),
            when,
            expires,
            priority: self.priority,
            missed: self.missed,
            name,
        })
    }
}

impl Fields {
    fn read(self) -> Result<(Crontab, String), String> {
        let text = match self {
            Self::Text(text) => text,
            Self::Named(named) => {
                let fields = [
                    named.minute,
                    named.hour,
                    named.day_of_month,
                    named.month_of_year,
                    named.day_of_week,
                ];
                let fields = fields.iter().map(field).collect::<Option<Vec<String>>>();
                fields.ok_or("expected numbers, texts or lists of them")?.join(" ")
            }
        };
        let crontab = Crontab::parse(&text).map_err(|error| error.to_string())?;
        Ok((crontab, text))
    }
}

/// A number, a text or a list of them, as a crontab's field.
fn field(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("*".to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(text.replace(' ', "")),
        Value::Array(values) => Some(values.iter().map(field).collect::<Option<Vec<_>>>()?.join(",")),
        _ => None,
    }
}

fn zone(name: Option<&str>, place: &str, otherwise: Tz) -> Result<Tz, ScheduleError> {
    let Some(name) = name else { return Ok(otherwise) };
    name.parse().map_err(|_| ScheduleError {
        place: place.to_owned(),
        text: format!("{name:?} is no time zone, such as Europe/Berlin"),
    })
}

/// Seconds, or a whole number with a unit.
fn duration(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_u64()?,
        Value::String(text) => {
            let unit = text.chars().last()?;
            let number: u64 = text[..text.len() - unit.len_utf8()].trim().parse().ok()?;
            let unit = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            number.checked_mul(unit)?
        }
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schedule_is_read_with_its_defaults() {
        let document = json!({
            "timezone": "Europe/Berlin",
            "entries": {
                "clean": {"task": "celery.backend_cleanup", "crontab": "0 4 * * *", "expires": "12h", "missed": "skip"},
                "look": {"task": "tasks.look", "every": "15m", "queue": "other", "args": [1], "kwargs": {"a": 2}, "priority": 3},
                "pay": {"task": "tasks.pay", "crontab": {"minute": [0, 30], "hour": "8-18", "day_of_week": "mon-fri"}, "timezone": "America/New_York"},
            },
        });

        let schedule = Schedule::read(document, "waybill").unwrap();

        let [clean, look, pay] = &schedule.entries[..] else {
            panic!("three entries")
        };
        assert_eq!(
            (schedule.name.as_str(), clean.queue.as_str(), look.queue.as_str()),
            ("default", "waybill", "other")
        );
        assert_eq!(
            (clean.expires, clean.missed),
            (Some(Duration::from_secs(43_200)), Missed::Skip)
        );
        assert_eq!(
            (look.when.clone(), look.priority, look.missed),
            (When::Every(900), Some(3), Missed::Once)
        );
        assert_eq!(clean.when.text(), "0 4 * * * Europe/Berlin");
        assert_eq!(pay.when.text(), "0,30 8-18 * * mon-fri America/New_York");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (entry, place) in [
            (json!({"task": "t", "every": 0}), "entries.e.every"),
            (json!({"task": "t", "every": "1w"}), "entries.e.every"),
            (json!({"task": "t"}), "entries.e.every"),
            (
                json!({"task": "t", "every": 1, "crontab": "* * * * *"}),
                "entries.e.every",
            ),
            (json!({"task": "t", "crontab": "* * * *"}), "entries.e.crontab"),
            (
                json!({"task": "t", "every": 1, "timezone": "Europe/Nowhere"}),
                "entries.e.timezone",
            ),
            (json!({"task": "t", "every": 1, "expires": "soon"}), "entries.e.expires"),
            (json!({"task": "t", "every": 1, "surplus": 1}), "entries.e.surplus"),
        ] {
            let error = Schedule::read(json!({"entries": {"e": entry}}), "q").unwrap_err();

            assert_eq!(error.place, place, "{error}");
        }
        assert!(Schedule::read(json!({}), "q").is_err());
    }
}
