//! How long to wait before something is tried again, and when to give up.

use std::time::Duration;

use crate::orders::{Finish, Work};
use crate::partner::PartnerError;

/// So many attempts may fail; about half an hour.
pub(super) const MOST_ATTEMPTS: u32 = 12;

const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What becomes of an effect that got no answer from its partner.
pub(super) fn after_partner_error(work: &Work, error: &PartnerError) -> Finish {
    let cause = error.to_string();
    match error {
        PartnerError::Throttled { after } | PartnerError::Open { after } | PartnerError::BulkheadFull { after } => {
            // Not all of those that wait may come back in the same instant.
            let after = after
                .mul_f64(1.0 + rand::random::<f64>() / 2.0)
                .max(Duration::from_secs(1));
            Finish::Retry {
                after,
                cause,
                counts: false,
            }
        }
        PartnerError::Suspended { .. } | PartnerError::Unsupported(_) => Finish::Failed { cause },
        PartnerError::Busy { after } => Finish::Retry {
            after: *after,
            cause,
            counts: false,
        },
        PartnerError::Unreachable(_) | PartnerError::Ambiguous(_) | PartnerError::Rejected { .. } => {
            if work.attempts >= MOST_ATTEMPTS {
                return Finish::Failed {
                    cause: format!("given up after {} attempts: {cause}", work.attempts),
                };
            }
            Finish::Retry {
                after: pause(work.attempts),
                cause,
                counts: true,
            }
        }
    }
}

/// What was sent is not found, which does not say that it will not be.
pub(super) fn not_found() -> PartnerError {
    PartnerError::Ambiguous("nothing is found by our reference".to_owned())
}

/// Two seconds, doubling to five minutes; at random between half of it and the whole.
pub(super) fn pause(attempts: u32) -> Duration {
    let longest = FIRST_PAUSE.saturating_mul(1 << attempts.min(16)).min(LONGEST_PAUSE);
    longest.mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_five_minutes() {
        for (attempts, longest) in [(0, 2), (1, 4), (2, 8), (7, 256), (8, 300), (11, 300), (4_000_000, 300)] {
            let longest = Duration::from_secs(longest);
            for _ in 0..100 {
                assert!((longest / 2..=longest).contains(&pause(attempts)), "after {attempts}");
            }
        }
    }
}
