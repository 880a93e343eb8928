//! Lamport's logical clock: of two events that know of each other, the later one has the larger number.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that is never behind anybody it has heard of.
#[derive(Debug, Default)]
pub struct LamportClock(AtomicU64);

impl LamportClock {
    /// What it shows.
    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Something happens here: one further, and what it shows then.
    pub fn forward(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Something came from elsewhere: beyond both clocks, and what it shows then.
    pub fn adjust(&self, other: u64) -> u64 {
        let beyond = |own: u64| Some(own.max(other).saturating_add(1));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, beyond);
        before.unwrap_or_else(|own| own).max(other).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_beyond_whatever_it_hears_and_never_back() {
        let clock = LamportClock::default();

        assert_eq!(clock.forward(), 1);
        assert_eq!(clock.adjust(10), 11);
        assert_eq!(clock.adjust(3), 12);
        assert_eq!(clock.forward(), 13);
        assert_eq!(clock.adjust(u64::MAX), u64::MAX);
    }
}
