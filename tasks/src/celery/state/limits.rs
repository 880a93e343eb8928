//! How often and how long a task may run, and what was set from outside over that.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// So many a second, a minute or an hour, as Celery writes it: `10`, `10/s`, `0.5/m`, `100/h`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    amount: f64,
    unit: Option<Unit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Rate {
    /// So many a second.
    pub fn per_second(amount: f64) -> Self {
        Self { amount, unit: None }
    }

    /// So many a minute.
    pub fn per_minute(amount: f64) -> Self {
        let unit = Some(Unit::Minute);
        Self { amount, unit }
    }

    /// So many an hour.
    pub fn per_hour(amount: f64) -> Self {
        let unit = Some(Unit::Hour);
        Self { amount, unit }
    }

    /// In a second.
    pub fn each_second(self) -> f64 {
        match self.unit {
            None | Some(Unit::Second) => self.amount,
            Some(Unit::Minute) => self.amount / 60.0,
            Some(Unit::Hour) => self.amount / 3600.0,
        }
    }

    /// Between two starts; `None` if the rate is none, which is no limit.
    pub fn period(self) -> Option<Duration> {
        let period = Duration::try_from_secs_f64(1.0 / self.each_second()).ok()?;
        (!period.is_zero()).then_some(period)
    }
}

/// A text that is no rate; the message is Python's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotARate {
    /// What stands before the slash.
    #[error("ValueError(\"could not convert string to float: {}\")", repr(.0))]
    Amount(String),
    /// What stands behind it.
    #[error("KeyError({})", repr(.0))]
    Unit(String),
}

fn repr(text: &str) -> String {
    crate::celery::protocol::python_repr(&text.into())
}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Self, NotARate> {
        let (amount, unit) = text.split_once('/').unwrap_or((text, ""));
        let unit = match unit {
            "" => None,
            "s" => Some(Unit::Second),
            "m" => Some(Unit::Minute),
            "h" => Some(Unit::Hour),
            other => return Err(NotARate::Unit(other.to_owned())),
        };
        let read: Option<f64> = amount.trim().parse().ok();
        let amount = read
            .filter(|amount| amount.is_finite() && *amount >= 0.0)
            .ok_or_else(|| NotARate::Amount(amount.to_owned()))?;
        Ok(Self { amount, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            None => "",
            Some(Unit::Second) => "/s",
            Some(Unit::Minute) => "/m",
            Some(Unit::Hour) => "/h",
        };
        write!(formatter, "{}{unit}", self.amount)
    }
}

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
}

impl Overrides {
    pub(super) fn rate(&mut self, task: &str, rate: Option<Rate>) {
        self.rates.insert(task.to_owned(), rate);
    }

    pub(super) fn time(&mut self, task: &str, soft: Option<Duration>, hard: Option<Duration>) {
        self.times.insert(task.to_owned(), (soft, hard));
    }

    pub(super) fn over(&self, task: &str, mut own: TaskLimits) -> TaskLimits {
        if let Some(rate) = self.rates.get(task) {
            own.rate = *rate;
        }
        if let Some((soft, hard)) = self.times.get(task) {
            (own.soft, own.hard) = (*soft, *hard);
        }
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_as_celery_writes_them() {
        for (text, each_second) in [
            ("10", 10.0),
            ("10/s", 10.0),
            ("30/m", 0.5),
            ("3600/h", 1.0),
            ("0.5/s", 0.5),
        ] {
            let rate: Rate = text.parse().unwrap();

            assert_eq!(rate.each_second(), each_second, "{text}");
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!("0".parse::<Rate>().unwrap().period(), None);
        assert_eq!(
            "4/s".parse::<Rate>().unwrap().period(),
            Some(Duration::from_millis(250))
        );
    }

    #[test]
    fn what_is_no_rate_is_told_in_pythons_words() {
        for (text, told) in [
            ("abc", "ValueError(\"could not convert string to float: 'abc'\")"),
            ("1/x", "KeyError('x')"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err().to_string(), told);
        }
    }

    #[test]
    fn what_is_set_from_outside_goes_over_the_tasks_own() {
        let own = TaskLimits {
            rate: Some(Rate::per_second(1.0)),
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
    }
}
