//! The fate of a delivery: drawn from seed and reference, so that it does not depend on who comes first.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::dialects::{Dialect, Reason};
use super::options::SimulatorOptions;

/// Draws everything about one reference.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fate<'a> {
    options: &'a SimulatorOptions,
    reference: &'a str,
}

/// What is wrong with the answer to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Nothing is done, 500 or 503 is answered.
    Error(u16),
    /// It is done, and 500 is answered.
    ErrorAfter,
    /// No answer, nothing done.
    Hang,
    /// No answer, though it is done.
    HangAfter,
    /// No answer, and it is done when nobody waits for one any more.
    Late,
}

/// How a delivery ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Delivered,
    FailedAtPickUp(Reason),
    FailedAtDelivery(Reason),
}

impl<'a> Fate<'a> {
    pub(super) fn of(options: &'a SimulatorOptions, reference: &'a str) -> Self {
        Self { options, reference }
    }

    /// Faults are drawn per request, so that asking again helps.
    pub(super) fn fault(&self, op: &str, attempt: usize) -> Fault {
        let hits = |name: &str, share| self.hits(&format!("{name}/{op}/{attempt}"), share);
        let half = |name: &str| hits(name, 0.5);
        if hits("error", self.options.error) {
            return Fault::Error(if half("error-kind") { 500 } else { 503 });
        }
        if op != "book" {
            return Fault::None;
        }
        if hits("hang", self.options.hang) {
            return if half("hang-kind") {
                Fault::Hang
            } else {
                Fault::HangAfter
            };
        }
        // What is refused is not made, neither late nor before an error.
        if self.is_rejected() {
            return Fault::None;
        }
        if hits("late", self.options.late) {
            return Fault::Late;
        }
        if hits("error-after", self.options.error_after_booking) {
            Fault::ErrorAfter
        } else {
            Fault::None
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.hits("reject", self.options.reject)
    }

    pub(super) fn end(&self, dialect: &dyn Dialect) -> End {
        if !self.hits("fail", self.options.fail) {
            End::Delivered
        } else if self.hits("fail-stage", 0.5) {
            End::FailedAtPickUp(self.one_of("fail-reason", dialect.reasons_at_pick_up()))
        } else {
            End::FailedAtDelivery(self.one_of("fail-reason", dialect.reasons_at_delivery()))
        }
    }

    /// Whether the partner has forgotten the key of an earlier booking when this attempt comes.
    pub(super) fn is_forgotten(&self, attempt: usize) -> bool {
        self.hits(&format!("forget/{attempt}"), self.options.forget)
    }

    pub(super) fn is_reordered(&self) -> bool {
        self.hits("reorder", self.options.reorder)
    }

    pub(super) fn is_duplicated(&self, kind: &str) -> bool {
        self.hits(&format!("duplicate/{kind}"), self.options.duplicate)
    }

    pub(super) fn is_forged(&self, kind: &str) -> bool {
        self.hits(&format!("forge/{kind}"), self.options.wrong_signature)
    }

    pub(super) fn is_lost(&self, kind: &str) -> bool {
        self.hits(&format!("lose/{kind}"), self.options.lose)
    }

    /// Whether the answer to the first attempt does not reach the partner.
    pub(super) fn is_unheard(&self, kind: &str) -> bool {
        self.hits(&format!("unheard/{kind}"), self.options.unheard)
    }

    /// Between half and one and a half of what the options say.
    pub(super) fn leg(&self, name: &str) -> Duration {
        self.options
            .walk_delay
            .mul_f64(0.5 + self.fraction(&format!("leg/{name}")))
    }

    /// How late a booking is made that is made late.
    pub(super) fn lateness(&self) -> Duration {
        self.options.walk_delay * 4
    }

    pub(super) fn order_number(&self) -> String {
        format!("P-{:010}", self.draw("number") % 10_000_000_000)
    }

    pub(super) fn callback_id(&self, kind: &str) -> String {
        format!(
            "msg_{:016x}{:016x}",
            self.draw(&format!("callback/{kind}")),
            self.draw(kind)
        )
    }

    fn one_of(&self, name: &str, reasons: &[Reason]) -> Reason {
        reasons[(self.draw(name) % reasons.len() as u64) as usize]
    }

    fn hits(&self, name: &str, share: f64) -> bool {
        self.fraction(name) < share
    }

    fn fraction(&self, name: &str) -> f64 {
        (self.draw(name) >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(super) fn draw(&self, name: &str) -> u64 {
        let text = format!("{}\n{}\n{name}", self.options.seed, self.reference);
        let digest = Sha256::digest(text.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partner_sim::dialects::Speaks;

    fn options(seed: u64) -> SimulatorOptions {
        let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD".parse().unwrap();
        SimulatorOptions {
            seed,
            fail: 0.3,
            reject: 0.1,
            hang: 0.2,
            error: 0.2,
            ..SimulatorOptions::honest(secret)
        }
    }

    fn standard() -> Box<dyn Dialect> {
        Speaks::Standard.with(&options(1).callback_secret).unwrap()
    }

    fn fates(seed: u64) -> Vec<(bool, End, Fault, Fault, String)> {
        let (options, dialect) = (options(seed), standard());
        let references: Vec<_> = (0..1_000).map(|number| format!("order-{number}")).collect();
        let draw = |reference: &String| {
            let fate = Fate::of(&options, reference);
            (
                fate.is_rejected(),
                fate.end(&*dialect),
                fate.fault("book", 0),
                fate.fault("book", 1),
                fate.order_number(),
            )
        };
        references.iter().map(draw).collect()
    }

    #[test]
    fn the_same_seed_draws_the_same_fates_and_another_seed_others() {
        assert_eq!(fates(7), fates(7));
        assert_ne!(fates(7), fates(8));
    }

    #[test]
    fn shares_are_kept_in_the_long_run() {
        let fates = fates(1);

        let failed = fates.iter().filter(|fate| fate.1 != End::Delivered).count();
        let rejected = fates.iter().filter(|fate| fate.0).count();
        let wrong = fates.iter().filter(|fate| matches!(fate.2, Fault::Error(_))).count();

        assert!((250..350).contains(&failed), "{failed} of 1,000 fail");
        assert!((70..130).contains(&rejected), "{rejected} of 1,000 are rejected");
        assert!((150..250).contains(&wrong), "{wrong} of 1,000 first requests fail");
    }

    #[test]
    fn a_share_of_nothing_never_hits_and_one_of_everything_always() {
        let nothing = SimulatorOptions {
            fail: 0.0,
            reorder: 0.0,
            ..options(1)
        };
        let everything = SimulatorOptions {
            fail: 1.0,
            reorder: 1.0,
            ..options(1)
        };

        let dialect = standard();
        for number in 0..1_000 {
            let reference = format!("order-{number}");
            let (never, always) = (Fate::of(&nothing, &reference), Fate::of(&everything, &reference));
            assert!(never.end(&*dialect) == End::Delivered && !never.is_reordered());
            assert!(always.end(&*dialect) != End::Delivered && always.is_reordered());
        }
    }

    #[test]
    fn asking_again_draws_anew() {
        let differs = fates(1).iter().filter(|fate| fate.2 != fate.3).count();

        assert!(differs > 200, "only {differs} of 1,000 differ");
    }
}
