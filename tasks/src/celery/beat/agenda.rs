//! What was sent last of each entry, and so what is to be sent now. Pure: the time is given to it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::{Missed, Schedule};

/// A tick that is later than this was missed.
const LATE: TimeDelta = TimeDelta::seconds(60);

/// How far each entry of a schedule is.
#[derive(Debug, Clone)]
pub(super) struct Agenda {
    marks: BTreeMap<String, Mark>,
}

/// How far one entry is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    /// Its last tick that is done with: sent, or skipped.
    last: DateTime<Utc>,
    /// The rule that this was a tick of.
    when: String,
}

/// A tick whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// The place of its entry.
    pub(super) entry: usize,
    pub(super) tick: DateTime<Utc>,
    /// Or it is only passed over.
    pub(super) send: bool,
}

impl Agenda {
    /// From what was kept. An entry that is not there, or has another rule now, begins now: it has missed nothing.
    pub(super) fn new(schedule: &Schedule, kept: Option<&[u8]>, now: DateTime<Utc>) -> Self {
        let kept: BTreeMap<String, Mark> = kept
            .and_then(|kept| serde_json::from_slice(kept).ok())
            .unwrap_or_default();
        let marks = schedule.entries.iter().map(|entry| {
            let when = entry.when.text();
            let known = kept.get(&entry.name).filter(|mark| mark.when == when).cloned();
            (entry.name.clone(), known.unwrap_or(Mark { last: now, when }))
        });
        Self { marks: marks.collect() }
    }

    /// What is kept.
    pub(super) fn write(&self) -> Vec<u8> {
        serde_json::to_vec(&self.marks).expect("marks are text")
    }

    /// The ticks whose time has come: the latest of each entry.
    pub(super) fn due(&self, schedule: &Schedule, now: DateTime<Utc>) -> Vec<Due> {
        let entries = schedule.entries.iter().enumerate();
        let due = entries.filter_map(|(place, entry)| {
            let tick = entry.when.latest(now)?;
            let send = entry.missed == Missed::Once || now - tick <= LATE;
            (tick > self.marks.get(&entry.name)?.last).then_some(Due {
                entry: place,
                tick,
                send,
            })
        });
        due.collect()
    }

    /// That tick is done with.
    pub(super) fn done(&mut self, schedule: &Schedule, due: Due) {
        if let Some(mark) = self.marks.get_mut(&schedule.entries[due.entry].name) {
            mark.last = due.tick;
        }
    }

    /// When the next tick is, if there is one.
    pub(super) fn next(schedule: &Schedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        schedule.entries.iter().filter_map(|entry| entry.when.next(now)).min()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schedule(missed: &str, every: &str) -> Schedule {
        let document = json!({"name": "s", "entries": {"a": {"task": "t", "every": every, "missed": missed}}});
        Schedule::read(document, "q").unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-21T{text}Z").parse().unwrap()
    }

    fn ticks(due: &[Due]) -> Vec<(DateTime<Utc>, bool)> {
        due.iter().map(|due| (due.tick, due.send)).collect()
    }

    #[test]
    fn a_new_entry_begins_with_its_next_tick() {
        let schedule = schedule("once", "10m");
        let agenda = Agenda::new(&schedule, None, at("10:05:00"));

        assert_eq!(agenda.due(&schedule, at("10:09:59")), []);
        assert_eq!(Agenda::next(&schedule, at("10:05:00")), Some(at("10:10:00")));
        assert_eq!(ticks(&agenda.due(&schedule, at("10:10:00"))), [(at("10:10:00"), true)]);
    }

    #[test]
    fn a_tick_is_due_until_it_is_done_and_then_never_again_even_after_a_restart() {
        let schedule = schedule("once", "10m");
        let mut agenda = Agenda::new(&schedule, None, at("10:05:00"));
        let due = agenda.due(&schedule, at("10:10:01"))[0];
        assert_eq!(agenda.due(&schedule, at("10:10:30"))[0], due);

        agenda.done(&schedule, due);

        assert_eq!(agenda.due(&schedule, at("10:10:30")), []);
        let again = Agenda::new(&schedule, Some(&agenda.write()), at("10:19:00"));
        assert_eq!(again.due(&schedule, at("10:19:00")), []);
        assert_eq!(ticks(&again.due(&schedule, at("10:20:00"))), [(at("10:20:00"), true)]);
    }

    #[test]
    fn of_missed_ticks_the_latest_is_sent_once_or_none_is() {
        for (missed, send) in [("once", true), ("skip", false)] {
            let schedule = schedule(missed, "10m");
            let agenda = Agenda::new(&schedule, None, at("10:05:00"));
            let kept = agenda.write();

            let mut after = Agenda::new(&schedule, Some(&kept), at("13:07:00"));
            let due = after.due(&schedule, at("13:07:00"));

            assert_eq!(ticks(&due), [(at("13:00:00"), send)], "{missed}");
            after.done(&schedule, due[0]);
            assert_eq!(after.due(&schedule, at("13:09:59")), []);
        }
    }

    #[test]
    fn a_changed_rule_has_missed_nothing() {
        let before = Agenda::new(&schedule("once", "10m"), None, at("10:05:00"));
        let changed = schedule("once", "7m");

        let agenda = Agenda::new(&changed, Some(&before.write()), at("13:07:00"));

        assert_eq!(agenda.due(&changed, at("13:07:00")), []);
    }

    #[test]
    fn what_was_kept_and_cannot_be_read_is_as_nothing() {
        let schedule = schedule("once", "10m");

        let agenda = Agenda::new(&schedule, Some(b"x"), at("13:07:00"));

        assert_eq!(agenda.due(&schedule, at("13:07:00")), []);
    }

    #[test]
    fn a_tick_has_one_id_and_each_tick_another() {
        let schedule = schedule("once", "10m");
        let id = |tick| schedule.task_id(&schedule.entries[0], at(tick));

        assert_eq!(id("10:10:00"), id("10:10:00"));
        assert_ne!(id("10:10:00"), id("10:20:00"));
        let mut other = schedule.clone();
        other.name = "other".to_owned();
        assert_ne!(other.task_id(&other.entries[0], at("10:10:00")), id("10:10:00"));
    }
}
