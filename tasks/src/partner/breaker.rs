//! A circuit breaker: stops calling a partner that fails, and asks it carefully whether it is well again.
//!
//! Time is given by the caller and must be monotonic, so a jump of the wall clock has no effect and tests need not sleep.

mod settings;
mod window;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use settings::BreakerSettings;
use window::Window;

/// Where a breaker that an operator holds open tells its callers to ask again.
const HELD_OPEN_ASK_AGAIN: Duration = Duration::from_secs(30);

/// One breaker, for one operation of one partner.
#[derive(Debug)]
pub struct Breaker {
    settings: BreakerSettings,
    inner: Mutex<Inner>,
}

/// What a breaker does with the next caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets calls through and counts them.
    Closed,
    /// Lets a few probes through.
    HalfOpen,
    /// Lets nothing through.
    Open,
}

/// How a call went, as far as the breaker cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// The partner answered; a refusal of this one request is an answer.
    Answered,
    /// A timeout, a server error, an answer that cannot be read, or "too many requests".
    Failed {
        /// What the partner asked to be left alone for.
        retry_after: Option<Duration>,
    },
    /// No connection came about.
    NotConnected,
    /// The partner does not serve us at all: the breaker opens at once, so that one caller finds out and not all of them.
    Suspended,
}

/// The breaker let nothing through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejection {
    /// When asking again makes sense.
    pub after: Duration,
}

/// A breaker at one instant, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// What it would do with the next caller.
    pub state: BreakerState,
    /// An operator holds it there.
    pub held: bool,
    /// Calls in the window.
    pub calls: u32,
    /// Of these, failures.
    pub failures: u32,
    /// Of these, slow ones.
    pub slow: u32,
    /// How long it stays open.
    pub open_for: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    /// Rises with every change of phase: a result of an older epoch says nothing about this one.
    epoch: u64,
    phase: Phase,
    held: Option<Hold>,
    window: Window,
    connect_errors: u32,
    /// Openings since it was last closed.
    openings: u32,
    /// The partner asked not to be called before this.
    not_before: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    HalfOpen { out: u32, succeeded: u32, slow: u32 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Open,
    Closed,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings, now: Instant) -> Arc<Self> {
        let inner = Inner {
            epoch: 0,
            phase: Phase::Closed,
            held: None,
            window: Window::starting(now, settings.window),
            connect_errors: 0,
            openings: 0,
            not_before: None,
        };
        Arc::new(Self {
            settings,
            inner: Mutex::new(inner),
        })
    }

    /// Asks to make a call. The permit is to be finished with the result; dropped, it counts as a call that was cancelled.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<Permit, Rejection> {
        let mut inner = self.lock();
        match inner.held {
            Some(Hold::Open) => {
                return Err(Rejection {
                    after: HELD_OPEN_ASK_AGAIN,
                });
            }
            Some(Hold::Closed) => return Ok(self.permit(&inner, now)),
            None => (),
        }
        if let Phase::Open { until } = inner.phase {
            let after = until.saturating_duration_since(now);
            if !after.is_zero() {
                return Err(Rejection { after });
            }
            inner.enter(Phase::HalfOpen {
                out: 0,
                succeeded: 0,
                slow: 0,
            });
        }
        if let Phase::HalfOpen { out, succeeded, .. } = &mut inner.phase {
            if *out + *succeeded >= self.settings.probes {
                return Err(Rejection {
                    after: self.settings.open_for,
                });
            }
            *out += 1;
        }
        Ok(self.permit(&inner, now))
    }

    /// Holds it open until [`Breaker::release`].
    pub fn force_open(&self) {
        let mut inner = self.lock();
        inner.held = Some(Hold::Open);
        inner.enter(Phase::Closed);
    }

    /// Holds it closed until [`Breaker::release`]: every call passes, none is counted.
    pub fn force_close(&self) {
        let mut inner = self.lock();
        inner.held = Some(Hold::Closed);
        inner.enter(Phase::Closed);
    }

    /// Ends what [`Breaker::force_open`] or [`Breaker::force_close`] began; it starts again as if new.
    pub fn release(&self, now: Instant) {
        let mut inner = self.lock();
        inner.held = None;
        inner.close(now);
    }

    /// How it is.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let inner = self.lock();
        let totals = inner.window.totals(now);
        let (state, open_for) = match (inner.held, inner.phase) {
            (Some(Hold::Open), _) => (BreakerState::Open, None),
            (Some(Hold::Closed), _) | (None, Phase::Closed) => (BreakerState::Closed, None),
            (None, Phase::HalfOpen { .. }) => (BreakerState::HalfOpen, None),
            (None, Phase::Open { until }) if until <= now => (BreakerState::HalfOpen, None),
            (None, Phase::Open { until }) => (BreakerState::Open, Some(until - now)),
        };
        let held = inner.held.is_some();
        Snapshot {
            state,
            held,
            calls: totals.calls,
            failures: totals.failures,
            slow: totals.slow,
            open_for,
        }
    }

    fn permit(self: &Arc<Self>, inner: &Inner, now: Instant) -> Permit {
        let probe = matches!(inner.phase, Phase::HalfOpen { .. });
        Permit {
            breaker: Arc::clone(self),
            epoch: inner.epoch,
            probe,
            started: now,
            finished: false,
        }
    }

    fn settle(&self, permit: &Permit, result: CallResult, now: Instant) -> Option<Duration> {
        let mut inner = self.lock();
        if inner.epoch != permit.epoch || inner.held.is_some() {
            return None;
        }
        let slow = now.saturating_duration_since(permit.started) > self.settings.slow_after;
        let failed = result != CallResult::Answered;
        if let CallResult::Failed {
            retry_after: Some(after),
        } = result
        {
            inner.not_before = inner.not_before.max(Some(now + after));
        }
        if result == CallResult::Suspended {
            inner.not_before = inner.not_before.max(Some(now + self.settings.open_at_most));
        }
        match &mut inner.phase {
            Phase::HalfOpen { .. } if failed => return Some(self.open(&mut inner, now)),
            Phase::HalfOpen {
                out,
                succeeded,
                slow: slow_ones,
            } => {
                *out -= 1;
                *succeeded += 1;
                *slow_ones += u32::from(slow);
                if *succeeded >= self.settings.probes {
                    let all_slow = *slow_ones * 100 >= self.settings.slow_percent * *succeeded;
                    if all_slow {
                        return Some(self.open(&mut inner, now));
                    }
                    inner.close(now);
                }
            }
            Phase::Closed => {
                inner.window.record(now, failed, slow);
                inner.connect_errors = match result {
                    CallResult::NotConnected => inner.connect_errors + 1,
                    CallResult::Answered | CallResult::Failed { .. } | CallResult::Suspended => 0,
                };
                if result == CallResult::Suspended || self.must_open(&inner, now) {
                    return Some(self.open(&mut inner, now));
                }
            }
            // Opening and leaving it raise the epoch, so no permit was given out in this one.
            Phase::Open { .. } => (),
        }
        None
    }

    fn must_open(&self, inner: &Inner, now: Instant) -> bool {
        let settings = &self.settings;
        let totals = inner.window.totals(now);
        inner.connect_errors >= settings.connect_errors
            || totals.calls >= settings.minimum_calls
                && (totals.failures * 100 >= settings.failure_percent * totals.calls
                    || totals.slow * 100 >= settings.slow_percent * totals.calls)
    }

    fn open(&self, inner: &mut Inner, now: Instant) -> Duration {
        let doubled = self.settings.open_for.saturating_mul(1 << inner.openings.min(16));
        let wait = doubled.min(self.settings.open_at_most);
        let wait = wait + wait.mul_f64(self.settings.jitter * rand::random::<f64>());
        let until = (now + wait).max(inner.not_before.unwrap_or(now));
        inner.openings += 1;
        inner.connect_errors = 0;
        inner.enter(Phase::Open { until });
        until - now
    }

    /// A cancelled call says nothing about the partner: only its probe permit comes back.
    fn cancel(&self, permit: &Permit) {
        let mut inner = self.lock();
        if inner.epoch != permit.epoch {
            return;
        }
        if let Phase::HalfOpen { out, .. } = &mut inner.phase {
            *out -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn enter(&mut self, phase: Phase) {
        self.epoch += 1;
        self.phase = phase;
    }

    fn close(&mut self, now: Instant) {
        self.window.clear(now);
        self.connect_errors = 0;
        self.openings = 0;
        self.not_before = None;
        self.enter(Phase::Closed);
    }
}

/// The right to make one call.
#[derive(Debug)]
#[must_use = "a permit that is not finished counts as a cancelled call"]
pub struct Permit {
    breaker: Arc<Breaker>,
    epoch: u64,
    probe: bool,
    started: Instant,
    finished: bool,
}

impl Permit {
    /// This call finds out whether the partner is well again.
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    /// Tells how the call went. Answers for how long the breaker opened, if this was what opened it.
    pub fn finish(mut self, result: CallResult, now: Instant) -> Option<Duration> {
        self.finished = true;
        self.breaker.settle(&self, result, now)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.finished {
            self.breaker.cancel(self);
        }
    }
}
