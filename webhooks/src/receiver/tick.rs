//! When somebody who is not believed is answered: at a tick, and not when the work is done. How long it took to see that
//! a signature is missing, wrong, too old, or of nobody, is then behind the tick for everyone.
//!
//! A tick is a whole multiple of [`TICK`] since the body was read. What differs from cause to cause is less than one: reading
//! headers, and of a language that signs a part of its body finding that part. The timer beneath goes off at whole
//! milliseconds, so that not even the microseconds of setting it hang on the work.
//!
//! Time can be hidden so, a processor cannot: whoever sends large bodies and measures another request beside them could
//! see which refusal was more work. Trying keys, which reads all of the body, is therefore as much work for everyone, known
//! or not: see [`PartnerKeys::verify`](crate::PartnerKeys::verify).

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// More than the work of a refusal takes, and too little to be felt by a partner with a wrong key.
const TICK: Duration = Duration::from_millis(10);

/// Waits for the next tick since then.
pub(super) async fn after(then: Instant) {
    sleep_until(then + next(then.elapsed())).await;
}

/// The first tick after that long.
fn next(elapsed: Duration) -> Duration {
    let passed = elapsed.as_nanos() / TICK.as_nanos();
    TICK.saturating_mul(u32::try_from(passed + 1).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_took_less_than_a_tick_ends_at_the_same_one() {
        let micros = Duration::from_micros;

        for (took, answered) in [
            (0, 10_000),
            (40, 10_000),
            (9_999, 10_000),
            (10_000, 20_000),
            (25_000, 30_000),
        ] {
            assert_eq!(next(micros(took)), micros(answered), "{took}");
        }
    }
}
