//! The retry budget: retries may add a tenth to the calls and no more, so that they cannot feed an outage.

use std::sync::atomic::{AtomicU32, Ordering};

const TENTHS_PER_CALL: u32 = 1;
const TENTHS_PER_RETRY: u32 = 10;
const AT_START: u32 = 3 * TENTHS_PER_RETRY;
const AT_MOST: u32 = 10 * TENTHS_PER_RETRY;

#[derive(Debug)]
pub(super) struct RetryBudget {
    tenths: AtomicU32,
}

impl RetryBudget {
    pub(super) fn new() -> Self {
        Self {
            tenths: AtomicU32::new(AT_START),
        }
    }

    /// A first try earns a tenth of a retry.
    pub(super) fn earn(&self) {
        self.change(|tenths| Some((tenths + TENTHS_PER_CALL).min(AT_MOST)));
    }

    /// Takes one retry, if there is one.
    pub(super) fn spend(&self) -> bool {
        self.change(|tenths| tenths.checked_sub(TENTHS_PER_RETRY))
    }

    fn change(&self, by: impl FnMut(u32) -> Option<u32>) -> bool {
        self.tenths
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, by)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_long_run_a_tenth_of_the_calls_may_be_retried() {
        let budget = RetryBudget::new();

        let retried = (0..1_000).filter(|_| {
            budget.earn();
            budget.spend()
        });

        assert_eq!(retried.count(), 103);
    }

    #[test]
    fn a_quiet_day_does_not_save_up_retries_for_a_storm() {
        let budget = RetryBudget::new();
        (0..100_000).for_each(|_| budget.earn());

        let retried = (0..100).filter(|_| budget.spend()).count();

        assert_eq!(retried, 10);
    }
}
