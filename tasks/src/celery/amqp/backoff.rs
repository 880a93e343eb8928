//! Waiting between tries: full jitter, so that many processes do not come back at once.

use std::time::Duration;

use rand::RngExt as _;

const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);
/// A permission is given back by people.
const REFUSED: Duration = Duration::from_secs(5);

/// Doubles its ceiling with each try.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// The wait after the broker has refused access: from five to ten seconds, however often it was tried.
    pub(super) fn after_refusal() -> Duration {
        REFUSED.mul_f64(rand::rng().random_range(1.0..=2.0))
    }

    /// The next wait: anything up to the ceiling.
    pub(super) fn next(&mut self) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.tries.min(8)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        ceiling.mul_f64(rand::rng().random_range(0.1..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_five_seconds_and_start_again_after_a_reset() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= FIRST);

        let longest = (0..200).map(|_| backoff.next()).max().unwrap();
        assert!(longest > Duration::from_secs(3) && longest <= LONGEST);

        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }

    #[test]
    fn who_is_refused_asks_again_after_five_seconds_at_the_earliest() {
        for _ in 0..200 {
            let wait = Backoff::after_refusal();
            assert!(wait >= REFUSED && wait <= 2 * REFUSED);
        }
    }
}
