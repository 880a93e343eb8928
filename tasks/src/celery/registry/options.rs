//! How a task wants to be run: what Celery knows as attributes of a task class.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::error::Exception;

/// How a task wants to be run. The defaults are Celery's, but for `acks_late`: a message that is acknowledged before its
/// work is done is lost with the process.
#[derive(Debug, Clone)]
pub struct TaskOptions {
    /// Acknowledge after the outcome is stored (default) or before the work begins.
    pub acks_late: bool,
    /// With late acknowledgements: acknowledge a task that failed (default), or reject it to the queue's dead letter exchange.
    pub acks_on_failure: bool,
    /// The same for one that ran out of its hard time limit; rejected, it goes back into its queue.
    pub acks_on_timeout: bool,
    /// A task that panicked goes back into its queue once, instead of failing: what a lost child process is to Python.
    pub reject_on_lost: bool,
    /// How often it is tried again; `None` is for ever.
    pub max_retries: Option<u32>,
    /// How long a retry waits that does not say so itself.
    pub retry: Backoff,
    /// Which failures are retried by themselves, as `autoretry_for`.
    pub autoretry: Option<fn(&Exception) -> bool>,
    /// How often it may start, in this process.
    pub rate_limit: Option<Rate>,
    /// After that long its future is dropped, and it fails with `TimeLimitExceeded`. Code that blocks the thread is not stopped.
    pub time_limit: Option<Duration>,
    /// After that long it is told to stop, or stopped if it does not listen: see [`Scope::soft_limit`](super::Scope::soft_limit).
    pub soft_time_limit: Option<Duration>,
    /// Nobody wants its result, unless a message says otherwise.
    pub ignore_result: bool,
    /// Tell when it starts.
    pub track_started: bool,
    /// Of the messages that it is published with.
    pub priority: Option<u8>,
    /// The names of its positional arguments, in order: a task's fields have names only.
    pub positional: &'static [&'static str],
}

impl Default for TaskOptions {
    fn default() -> Self {
        Self {
            acks_late: true,
            acks_on_failure: true,
            acks_on_timeout: true,
            reject_on_lost: false,
            max_retries: Some(3),
            retry: Backoff::default(),
            autoretry: None,
            rate_limit: None,
            time_limit: None,
            soft_time_limit: None,
            ignore_result: false,
            track_started: false,
            priority: None,
            positional: &[],
        }
    }
}

/// How the wait before a retry grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// Before the first retry.
    pub base: Duration,
    /// What each further wait is longer by.
    pub factor: f64,
    /// No wait is longer.
    pub cap: Duration,
    /// Anything from nothing to the whole wait, at random, so that those who failed together do not come back together.
    pub jitter: bool,
}

impl Default for Backoff {
    /// Celery's `default_retry_delay`: three minutes, each time.
    fn default() -> Self {
        Self {
            base: Duration::from_secs(180),
            factor: 1.0,
            cap: Duration::from_secs(600),
            jitter: false,
        }
    }
}

impl Backoff {
    /// Celery's `retry_backoff`: a second, doubling to ten minutes, with jitter.
    pub fn exponential() -> Self {
        Self {
            base: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(600),
            jitter: true,
        }
    }

    /// How long to wait after so many retries.
    pub fn wait(&self, retries: u32) -> Duration {
        let exponent = i32::try_from(retries).unwrap_or(i32::MAX);
        let seconds = (self.base.as_secs_f64() * self.factor.powi(exponent)).min(self.cap.as_secs_f64());
        let seconds = if self.jitter {
            seconds * rand::random::<f64>()
        } else {
            seconds
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(self.cap)
    }
}

/// How often a task may start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    per_second: f64,
}

/// Not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a rate is a number, or one with /s, /m or /h")]
pub struct NotARate;

impl Rate {
    /// So many in a second; `None` where that is no limit: zero, less, or no number.
    pub fn per_second(times: f64) -> Option<Self> {
        (times.is_finite() && times > 0.0).then_some(Self { per_second: times })
    }

    /// Between two starts.
    pub fn period(&self) -> Duration {
        Duration::try_from_secs_f64(1.0 / self.per_second).unwrap_or(Duration::MAX)
    }

    /// Reads `10`, `10/s`, `10/m` or `10/h`; a rate of zero is no limit.
    pub fn parse(text: &str) -> Result<Option<Self>, NotARate> {
        let (times, unit) = text.split_once('/').unwrap_or((text, "s"));
        let times = f64::from_str(times.trim()).map_err(|_| NotARate)?;
        let seconds = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(NotARate),
        };
        Ok(Self::per_second(times / seconds))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (times, unit) = [(1.0, 's'), (60.0, 'm'), (3600.0, 'h')]
            .map(|(seconds, unit)| (self.per_second * seconds, unit))
            .into_iter()
            .find(|(times, _)| *times >= 1.0)
            .unwrap_or((self.per_second * 3600.0, 'h'));
        let rounded = (times * 1000.0).round() / 1000.0;
        write!(formatter, "{rounded}/{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_and_written_as_celery_does() {
        for (text, period, shown) in [
            ("10", 0.1, "10/s"),
            ("4/s", 0.25, "4/s"),
            ("10/m", 6.0, "10/m"),
            ("1/h", 3600.0, "1/h"),
            ("0.5/s", 2.0, "30/m"),
        ] {
            let rate = Rate::parse(text).unwrap().unwrap();

            assert!((rate.period().as_secs_f64() - period).abs() < 1e-6, "{text}");
            assert_eq!(rate.to_string(), shown);
        }
        assert_eq!(Rate::parse("0"), Ok(None));
        for wrong in ["", "x", "1/d", "/s", "1/s/s"] {
            assert_eq!(Rate::parse(wrong), Err(NotARate), "{wrong}");
        }
    }

    #[test]
    fn waits_grow_to_their_cap_and_jitter_makes_them_shorter() {
        let steady = Backoff {
            jitter: false,
            ..Backoff::exponential()
        };

        let waits: Vec<_> = [0, 1, 2, 9, 10, u32::MAX]
            .map(|retries| steady.wait(retries).as_secs())
            .into();

        assert_eq!(waits, [1, 2, 4, 512, 600, 600]);
        assert_eq!(Backoff::default().wait(7), Duration::from_secs(180));
        for retries in 0..100 {
            assert!(Backoff::exponential().wait(retries) <= steady.wait(retries));
        }
    }
}
