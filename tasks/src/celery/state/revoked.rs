//! What was revoked: ids for three hours and fifty thousand at most, and values of stamps, as Python keeps them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::equality::equal;
use crate::celery::message::HeaderValue;
use crate::celery::protocol::Request;

/// How many ids are remembered; the oldest go first.
pub const REVOKED_AT_MOST: usize = 50_000;

/// How long an id is remembered here. What must be known longer is kept by the application.
const REMEMBERED_FOR: Duration = Duration::from_secs(10_800);

/// How many values of stamps are remembered.
const STAMPS_AT_MOST: usize = 50_000;

#[derive(Debug, Default)]
pub(super) struct Revoked {
    since: HashMap<String, Instant>,
    /// In the order in which they came; an id that came again stands here twice, and its newer entry counts.
    order: VecDeque<(Instant, String)>,
    stamps: HashMap<String, VecDeque<Value>>,
    stamp_values: usize,
}

impl Revoked {
    pub(super) fn add(&mut self, id: String, now: Instant) {
        if self.since.insert(id.clone(), now) != Some(now) {
            self.order.push_back((now, id));
        }
        self.purge(now);
    }

    pub(super) fn add_stamps(&mut self, stamp: &str, values: impl IntoIterator<Item = Value>) {
        let kept = self.stamps.entry(stamp.to_owned()).or_default();
        for value in values {
            if kept.contains(&value) {
                continue;
            }
            kept.push_back(value);
            self.stamp_values += 1;
            if self.stamp_values > STAMPS_AT_MOST {
                kept.pop_front();
                self.stamp_values -= 1;
            }
        }
    }

    /// Whether a task is revoked, by id or by stamp.
    pub(super) fn has(&self, request: &Request, now: Instant) -> bool {
        let by_id = self.since.get(&request.id).is_some_and(|since| remembered(*since, now));
        by_id || (!self.stamps.is_empty() && self.has_stamp(request))
    }

    fn has_stamp(&self, request: &Request) -> bool {
        let mut names = request.stamped_headers.iter();
        names.any(|name| match (self.stamps.get(name), request.stamps.get(name)) {
            (Some(revoked), Some(HeaderValue::List(values))) => values.iter().any(|value| is_among(revoked, value)),
            (Some(revoked), Some(value)) => is_among(revoked, value),
            _ => false,
        })
    }

    pub(super) fn ids(&mut self, now: Instant) -> Vec<String> {
        self.purge(now);
        let newest = self
            .order
            .iter()
            .filter(|(since, id)| self.since.get(id) == Some(since));
        newest.map(|(_, id)| id.clone()).collect()
    }

    fn purge(&mut self, now: Instant) {
        while let Some((since, id)) = self.order.front() {
            let superseded = self.since.get(id) != Some(since);
            if !superseded && self.since.len() <= REVOKED_AT_MOST && remembered(*since, now) {
                return;
            }
            if !superseded {
                self.since.remove(id);
            }
            self.order.pop_front();
        }
    }
}

fn remembered(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) < REMEMBERED_FOR
}

fn is_among(revoked: &VecDeque<Value>, value: &HeaderValue) -> bool {
    revoked.iter().any(|known| equal(known, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_when_there_are_too_many_and_all_go_in_time() {
        let (mut revoked, start) = (Revoked::default(), Instant::now());
        for number in 0..=REVOKED_AT_MOST {
            revoked.add(number.to_string(), start);
        }
        revoked.add("1".to_owned(), start + Duration::from_secs(60));

        let ids = revoked.ids(start);
        assert_eq!(ids.len(), REVOKED_AT_MOST);
        assert_eq!(
            (ids.first().unwrap().as_str(), ids.last().unwrap().as_str()),
            ("2", "1")
        );
        assert_eq!(revoked.ids(start + REMEMBERED_FOR), ["1"], "it was revoked again later");
    }
}
