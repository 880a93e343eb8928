//! When a breaker opens, and for how long.

use std::time::Duration;

use serde::Deserialize;

use crate::partner::settings::{Invalid, milliseconds};

/// When a breaker opens, and for how long. What the partners file leaves out keeps its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerSettings {
    /// Over which time calls are counted (`window_ms`, 30 s).
    #[serde(rename = "window_ms", deserialize_with = "milliseconds")]
    pub window: Duration,
    /// With fewer calls in the window, rates say nothing (10).
    pub minimum_calls: u32,
    /// Opens when at least so many of a hundred calls fail (50).
    pub failure_percent: u32,
    /// A call that takes longer is slow (`slow_ms`, 2 s).
    #[serde(rename = "slow_ms", deserialize_with = "milliseconds")]
    pub slow_after: Duration,
    /// Opens when at least so many of a hundred calls are slow (80).
    pub slow_percent: u32,
    /// Opens after so many calls in a row without a connection, however few calls there were (5).
    pub connect_errors: u32,
    /// How long it is open the first time; doubles with each opening until it was closed again (`open_ms`, 5 s).
    #[serde(rename = "open_ms", deserialize_with = "milliseconds")]
    pub open_for: Duration,
    /// How long it is open at most, jitter aside (`open_at_most_ms`, 60 s).
    #[serde(rename = "open_at_most_ms", deserialize_with = "milliseconds")]
    pub open_at_most: Duration,
    /// By which share the open time is lengthened at random, so that processes do not probe together (0.2).
    pub jitter: f64,
    /// How many calls find out whether the partner is well again (3).
    pub probes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            minimum_calls: 10,
            failure_percent: 50,
            slow_after: Duration::from_secs(2),
            slow_percent: 80,
            connect_errors: 5,
            open_for: Duration::from_secs(5),
            open_at_most: Duration::from_secs(60),
            jitter: 0.2,
            probes: 3,
        }
    }
}

impl BreakerSettings {
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let percent = 1..=100;
        if !percent.contains(&self.failure_percent) {
            return Err(Invalid::new("breaker.failure_percent", "1 to 100"));
        }
        if !percent.contains(&self.slow_percent) {
            return Err(Invalid::new("breaker.slow_percent", "1 to 100"));
        }
        if self.probes == 0 || self.minimum_calls == 0 || self.connect_errors == 0 {
            return Err(Invalid::new(
                "breaker.probes, minimum_calls, connect_errors",
                "at least 1",
            ));
        }
        if self.window.is_zero() || self.open_for.is_zero() {
            return Err(Invalid::new("breaker.window_ms, open_ms", "at least 1"));
        }
        if !(0.0..=1.0).contains(&self.jitter) {
            return Err(Invalid::new("breaker.jitter", "0 to 1"));
        }
        Ok(())
    }
}
