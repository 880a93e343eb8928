//! How often and how long a task may run, and what was set from outside over that.

use std::collections::HashMap;
use std::time::Duration;

use crate::celery::registry::Rate;

/// The limits of one task.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TaskLimits {
    /// How often it may be started.
    pub rate: Option<Rate>,
    /// After which it is asked to stop.
    pub soft: Option<Duration>,
    /// After which it is ended.
    pub hard: Option<Duration>,
}

/// What was set from outside, by task. Only names of registered tasks come here, so that it is bounded.
#[derive(Debug, Default)]
pub(super) struct Overrides {
    rates: HashMap<String, Option<Rate>>,
    times: HashMap<String, (Option<Duration>, Option<Duration>)>,
    usual: (Option<Duration>, Option<Duration>),
}

impl Overrides {
    pub(super) fn rate(&mut self, task: &str, rate: Option<Rate>) {
        self.rates.insert(task.to_owned(), rate);
    }

    pub(super) fn time(&mut self, task: &str, soft: Option<Duration>, hard: Option<Duration>) {
        self.times.insert(task.to_owned(), (soft, hard));
    }

    pub(super) fn by_default(&mut self, soft: Option<Duration>, hard: Option<Duration>) {
        self.usual = (soft, hard);
    }

    pub(super) fn over(&self, task: &str, mut own: TaskLimits) -> TaskLimits {
        if let Some(rate) = self.rates.get(task) {
            own.rate = *rate;
        }
        if let Some((soft, hard)) = self.times.get(task) {
            (own.soft, own.hard) = (*soft, *hard);
        }
        own.soft = own.soft.or(self.usual.0);
        own.hard = own.hard.or(self.usual.1);
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_from_outside_goes_over_the_tasks_own() {
        let own = TaskLimits {
            rate: Rate::per_second(1.0),
            soft: None,
            hard: Some(Duration::from_secs(5)),
        };
        let mut overrides = Overrides::default();
        assert_eq!(overrides.over("a", own), own);

        overrides.rate("a", None);
        overrides.time("a", Some(Duration::from_secs(1)), None);

        let expected = TaskLimits {
            rate: None,
            soft: Some(Duration::from_secs(1)),
            hard: None,
        };
        assert_eq!(overrides.over("a", own), expected);
        assert_eq!(overrides.over("b", own), own);

        overrides.by_default(Some(Duration::from_secs(9)), Some(Duration::from_secs(10)));
        // As Python's pool, which has the worker's limit for whoever has none.
        let hard = Some(Duration::from_secs(10));
        assert_eq!(overrides.over("a", own), TaskLimits { hard, ..expected });
        let usual = overrides.over("b", own);
        assert_eq!((usual.soft, usual.hard), (Some(Duration::from_secs(9)), own.hard));
    }
}
