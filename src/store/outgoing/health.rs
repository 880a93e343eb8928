//! The breaker of one endpoint, kept in its row: all processes see the same, and a restart does not forget it.

use chrono::{DateTime, TimeDelta, Utc};

/// After so many failures in a row it is left alone for a while.
pub(super) const TROUBLED: i64 = 5;
/// How long at first; doubles each time it fails again.
const FIRST_PAUSE: TimeDelta = TimeDelta::seconds(30);
/// How long at most.
const LONGEST_PAUSE: TimeDelta = TimeDelta::minutes(15);
/// An endpoint that fails for so long is disabled.
const HOPELESS: TimeDelta = TimeDelta::days(5);
/// Failures further apart have nothing to do with each other.
const FORGIVEN: TimeDelta = TimeDelta::days(2);

/// How an endpoint has been lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Health {
    /// Failures in a row.
    pub(super) failures: i64,
    /// The first of them.
    pub(super) failing_since: Option<DateTime<Utc>>,
    /// The last of them.
    pub(super) failed_at: Option<DateTime<Utc>>,
    /// Left alone until then.
    pub(super) paused_until: Option<DateTime<Utc>>,
}

impl Health {
    /// It has taken something: whatever was before is forgotten.
    pub(super) fn succeed(&mut self) {
        *self = Self::default();
    }

    /// It has not. What was under way together counts once, and pauses are never cut short.
    pub(super) fn fail(&mut self, now: DateTime<Utc>, asked: Option<TimeDelta>) {
        if self.failed_at.is_some_and(|last| now - last > FORGIVEN) {
            self.succeed();
        }
        self.failing_since.get_or_insert(now);
        self.failed_at = Some(now);
        let paused = self.paused_until.is_some_and(|until| until > now);
        let mut pause = asked.map(|asked| now + asked);
        if !paused {
            self.failures += 1;
            pause = pause.max(self.own_pause().map(|own| now + own));
        }
        self.paused_until = self.paused_until.max(pause);
    }

    /// Whether it has failed for days.
    pub(super) fn is_hopeless(&self, now: DateTime<Utc>) -> bool {
        self.failures >= TROUBLED && self.failing_since.is_some_and(|since| now - since >= HOPELESS)
    }

    fn own_pause(&self) -> Option<TimeDelta> {
        let again = u32::try_from(self.failures - TROUBLED).ok()?;
        Some((FIRST_PAUSE * 2_i32.pow(again.min(10))).min(LONGEST_PAUSE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).expect("an instant")
    }

    #[test]
    fn it_is_left_alone_longer_each_time_and_at_most_a_quarter_of_an_hour() {
        let mut health = Health::default();
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            health.fail(now, None);
            let pause = health.paused_until.map_or(0, |until| (until - now).num_seconds());
            pauses.push(pause);
            now += TimeDelta::seconds(pause + 1);
        }
        assert_eq!(pauses, [0, 0, 0, 0, 30, 60, 120, 240, 480, 900, 900, 900]);

        health.succeed();

        assert_eq!(health, Health::default());
    }

    #[test]
    fn what_was_under_way_together_counts_once() {
        let mut health = Health::default();
        for _ in 0..20 {
            health.fail(at(0), None);
        }

        assert_eq!((health.failures, health.paused_until), (5, Some(at(30))));
    }

    #[test]
    fn a_pause_that_it_asks_for_is_kept() {
        let mut health = Health::default();

        health.fail(at(0), Some(TimeDelta::seconds(120)));
        health.fail(at(1), None);

        assert_eq!(health.paused_until, Some(at(120)));
    }

    #[test]
    fn only_days_without_a_success_are_hopeless() {
        let mut health = Health::default();
        let day = 24 * 60 * 60;
        for hours in 0..=120 {
            health.fail(at(hours * 3600), None);
        }
        assert!(health.is_hopeless(at(5 * day)));
        assert!(!health.is_hopeless(at(4 * day)));

        health.fail(at(30 * day), None);

        assert!(!health.is_hopeless(at(30 * day)), "a month of silence is no failure");
    }
}
