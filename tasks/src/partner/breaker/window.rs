//! The sliding time window of a breaker: ten buckets that are reused in turn, so that old calls are forgotten.

use std::time::{Duration, Instant};

const BUCKETS: u64 = 10;

#[derive(Debug)]
pub(super) struct Window {
    origin: Instant,
    width: Duration,
    buckets: [Bucket; BUCKETS as usize],
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    slot: u64,
    totals: Totals,
}

/// What the window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) calls: u32,
    pub(super) failures: u32,
    pub(super) slow: u32,
}

impl Window {
    pub(super) fn starting(origin: Instant, length: Duration) -> Self {
        let width = (length / BUCKETS as u32).max(Duration::from_millis(1));
        Self {
            origin,
            width,
            buckets: Default::default(),
        }
    }

    pub(super) fn record(&mut self, now: Instant, failed: bool, slow: bool) {
        let slot = self.slot(now);
        let bucket = &mut self.buckets[(slot % BUCKETS) as usize];
        if bucket.slot < slot {
            *bucket = Bucket {
                slot,
                totals: Totals::default(),
            };
        }
        bucket.totals.calls += 1;
        bucket.totals.failures += u32::from(failed);
        bucket.totals.slow += u32::from(slow);
    }

    pub(super) fn totals(&self, now: Instant) -> Totals {
        let newest = self.slot(now);
        let current = self.buckets.iter().filter(|bucket| bucket.slot + BUCKETS > newest);
        current.fold(Totals::default(), |sum, bucket| Totals {
            calls: sum.calls + bucket.totals.calls,
            failures: sum.failures + bucket.totals.failures,
            slow: sum.slow + bucket.totals.slow,
        })
    }

    pub(super) fn clear(&mut self, now: Instant) {
        self.origin = now;
        self.buckets = Default::default();
    }

    fn slot(&self, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.origin);
        u64::try_from(elapsed.as_nanos() / self.width.as_nanos()).unwrap_or(u64::MAX - BUCKETS)
    }
}
