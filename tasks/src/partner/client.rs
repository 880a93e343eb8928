//! The client of one partner: bulkhead, rate, breaker, retry and timeout around each call, outermost first.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tracing::{error, warn};
use waybill_domain::OrderId;

use super::BreakerStatus;
use super::adapters;
use super::breaker::{Breaker, BreakerState, CallResult, Permit};
use super::budget::RetryBudget;
use super::bulkhead::Bulkhead;
use super::contract::{BookingRequest, Found};
use super::dialect::{Call, Delivery, Dialect, Next, Rebooking};
use super::error::PartnerError;
use super::settings::{Invalid, PartnerSettings, Price, RateSettings};
use super::strategy::Quote;
use super::wire::{Answer, Tried, Wire};
use crate::orders::Booking;

const MOST_RETRIES: u32 = 2;
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a call waits for its turn by the partner's rate; beyond it, another time is better.
const LONGEST_PACING: Duration = Duration::from_secs(1);
const FULL_ASK_AGAIN: Duration = Duration::from_secs(1);
/// Requests of one booking: a quotation, an order, and one to spare.
const MOST_STEPS: usize = 3;

/// One partner, as its contract wants to be called.
#[derive(Debug)]
pub struct PartnerClient {
    name: String,
    dialect: Arc<dyn Dialect>,
    wire: Wire,
    bulkhead: Bulkhead,
    pace: Option<DefaultDirectRateLimiter>,
    breakers: [Arc<Breaker>; Operation::ALL.len()],
    budget: RetryBudget,
    patience: Duration,
    prices: Vec<Price>,
}

/// What a partner is asked to do; each has a breaker of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Collect and carry.
    Book,
    /// Look up by our reference.
    Find,
    /// Do not collect.
    Cancel,
    /// Say what it would cost.
    Quote,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Book, Self::Find, Self::Cancel, Self::Quote];

    /// Its name in metrics and in `status`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Book => "book",
            Self::Find => "find",
            Self::Cancel => "cancel",
            Self::Quote => "quote",
        }
    }
}

/// What became of a cancellation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It will not be collected: cancelled now or before, or never known.
    Done,
    /// It is on its way already.
    TooLate,
}

/// How the last try of a call ended.
struct Outcome {
    tried: Tried,
    /// An earlier try of the same call may have been carried out.
    earlier_unknown: bool,
}

impl PartnerClient {
    /// A client by checked settings. Needs a process-wide TLS provider.
    pub fn new(name: &str, settings: &PartnerSettings) -> Result<Self, Invalid> {
        settings.breaker.check()?;
        if settings.bulkhead.calls == 0 {
            return Err(Invalid::new("bulkhead.calls", "at least 1"));
        }
        let now = now();
        let (dialect, auth) = adapters::choose(settings)?;
        Ok(Self {
            name: name.to_owned(),
            dialect,
            wire: Wire::new(settings, auth)?,
            bulkhead: Bulkhead::new(settings.bulkhead),
            pace: settings.rate.map(limiter).transpose()?,
            breakers: Operation::ALL.map(|_| Breaker::new(settings.breaker.clone(), now)),
            budget: RetryBudget::new(),
            patience: settings.patience,
            prices: settings.prices.clone(),
        })
    }

    /// Its name in the partners file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The breaker of one operation, for operators.
    pub fn breaker(&self, operation: Operation) -> &Arc<Breaker> {
        &self.breakers[operation as usize]
    }

    /// How its breakers are.
    pub fn status(&self) -> Vec<BreakerStatus> {
        let of = |operation| BreakerStatus {
            partner: self.name.clone(),
            operation,
            breaker: self.breaker(operation).snapshot(now()),
        };
        Operation::ALL.into_iter().map(of).collect()
    }

    /// How long an order waits for it before another is asked.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn prices(&self) -> &[Price] {
        &self.prices
    }

    /// How it is known, after an answer got lost, that a booking is not made twice.
    pub fn rebooking(&self) -> Rebooking {
        self.dialect.rebooking()
    }

    /// Asks the partner to collect. Where it takes a key, that is derived from the order: asking twice books once.
    pub async fn book(&self, booking: &BookingRequest) -> Result<Booking, PartnerError> {
        let booked = self.book_stepwise(booking).await;
        if matches!(booked, Err(PartnerError::Ambiguous(_))) {
            metrics::counter!("partner_unknown_outcome_total", "partner" => self.name.clone()).increment(1);
        }
        booked.map(|delivery| Found::of(delivery, &self.name).booking)
    }

    async fn book_stepwise(&self, booking: &BookingRequest) -> Result<Delivery, PartnerError> {
        let mut call = self.dialect.book(booking)?;
        for _ in 0..MOST_STEPS {
            let binding = call.binding;
            let interpret = |answer: &Answer| self.dialect.booked(booking, answer);
            match self.call(Operation::Book, call, interpret).await {
                Ok(Next::Booked(delivery)) => return Ok(delivery),
                Ok(Next::Then(next)) => call = next,
                Err(PartnerError::Ambiguous(cause)) if !binding => return Err(PartnerError::Unreachable(cause)),
                Err(error) => return Err(error),
            }
        }
        Err(PartnerError::Ambiguous(format!(
            "not booked after {MOST_STEPS} requests"
        )))
    }

    /// Asks what a delivery would cost. Nothing is bound by it.
    pub async fn quote(&self, booking: &BookingRequest) -> Result<Quote, PartnerError> {
        let call = self.dialect.quote(booking)?;
        let call = call.ok_or(PartnerError::Unsupported("asking for a quote"))?;
        self.call(Operation::Quote, call.harmless(), |answer| self.dialect.quoted(answer))
            .await
    }

    /// Looks up the delivery that the partner has under our reference.
    pub async fn find(&self, reference: OrderId) -> Result<Option<Found>, PartnerError> {
        let call = self.dialect.find(reference);
        let call = call.ok_or(PartnerError::Unsupported("finding a delivery by our reference"))?;
        let found = self.call(Operation::Find, call, |answer| self.dialect.found(reference, answer));
        Ok(found.await?.map(|delivery| Found::of(delivery, &self.name)))
    }

    /// Asks how a delivery stands.
    pub async fn view(&self, booking_id: &str) -> Result<Found, PartnerError> {
        let call = self.dialect.view(booking_id);
        let seen = self.call(Operation::Find, call, |answer| self.dialect.viewed(answer));
        Ok(Found::of(seen.await?, &self.name))
    }

    /// Asks the partner not to collect.
    pub async fn cancel(&self, booking_id: &str) -> Result<Cancelled, PartnerError> {
        let call = self.dialect.cancel(booking_id);
        self.call(Operation::Cancel, call, |answer| self.dialect.cancelled(answer))
            .await
    }

    async fn call<T>(
        &self,
        operation: Operation,
        request: Call,
        interpret: impl FnOnce(&Answer) -> Result<T, PartnerError>,
    ) -> Result<T, PartnerError> {
        let result = self.guarded(operation, request, interpret).await;
        let label = result.as_ref().map_or_else(PartnerError::as_label, |_| "ok");
        let (partner, op) = (self.name.clone(), operation.as_str());
        metrics::counter!("partner_calls_total", "partner" => partner, "op" => op, "outcome" => label).increment(1);
        result
    }

    async fn guarded<T>(
        &self,
        operation: Operation,
        request: Call,
        interpret: impl FnOnce(&Answer) -> Result<T, PartnerError>,
    ) -> Result<T, PartnerError> {
        let full = PartnerError::BulkheadFull { after: FULL_ASK_AGAIN };
        let _place = self.bulkhead.enter().await.ok_or(full)?;
        self.wait_for_turn().await?;
        let permit = self.breaker(operation).admit(now());
        let permit = permit.map_err(|rejection| PartnerError::Open { after: rejection.after })?;

        let outcome = self.try_until_answered(&request, &permit).await;

        let last = outcome.tried.interpret(interpret);
        self.tell_breaker(operation, permit, call_result(&outcome.tried, last.as_ref().err()));
        match last {
            // A no to the repetition does not take back what the first try may have done.
            Err(error) if outcome.earlier_unknown => Err(PartnerError::Ambiguous(format!(
                "an earlier try got lost, then: {error}"
            ))),
            last => last,
        }
    }

    /// Repeats what may be repeated: within the budget, by the partner's rate, and never while a breaker probes.
    async fn try_until_answered(&self, request: &Call, permit: &Permit) -> Outcome {
        self.budget.earn();
        let mut earlier_unknown = false;
        for retries in 0.. {
            let tried = self.wire.send(request).await;
            let repeatable = request.repeatable || !tried.may_have_acted();
            let pause = pause_before_retry(&tried, retries).filter(|_| repeatable && !permit.is_probe());
            let Some(pause) = pause.filter(|_| self.has_turn() && self.budget.spend()) else {
                return Outcome { tried, earlier_unknown };
            };
            earlier_unknown |= request.binding && tried.may_have_acted();
            tokio::time::sleep(pause).await;
        }
        unreachable!("the loop ends by itself after {MOST_RETRIES} retries")
    }

    async fn wait_for_turn(&self) -> Result<(), PartnerError> {
        let Some(pace) = &self.pace else { return Ok(()) };
        let deadline = now() + LONGEST_PACING;
        while let Err(not_yet) = pace.check() {
            let wait = not_yet.wait_time_from(DefaultClock::default().now());
            if now() + wait > deadline {
                return Err(PartnerError::Throttled { after: wait });
            }
            tokio::time::sleep(wait).await;
        }
        Ok(())
    }

    fn has_turn(&self) -> bool {
        self.pace.as_ref().is_none_or(|pace| pace.check().is_ok())
    }

    fn tell_breaker(&self, operation: Operation, permit: Permit, result: CallResult) {
        let (name, op, now) = (&self.name, operation.as_str(), now());
        if let Some(open_for) = permit.finish(result, now) {
            warn!(partner = %name, op, "the breaker for {op} at {name} opened for {open_for:?}");
        }
        if result == CallResult::Suspended {
            error!(partner = %name, op, "{name} does not serve us any more: {op} was refused with 401, 402 or 403");
        }
        let state = match self.breaker(operation).snapshot(now).state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 1.0,
            BreakerState::Open => 2.0,
        };
        metrics::gauge!("breaker_state", "partner" => name.clone(), "op" => op).set(state);
    }
}

impl Tried {
    fn interpret<T>(&self, interpret: impl FnOnce(&Answer) -> Result<T, PartnerError>) -> Result<T, PartnerError> {
        match self {
            Self::Answered(answer) => interpret(answer),
            Self::NotConnected(cause) => Err(PartnerError::Unreachable(cause.clone())),
            Self::Lost(cause) => Err(PartnerError::Ambiguous(cause.clone())),
        }
    }

    fn may_have_acted(&self) -> bool {
        match self {
            Self::NotConnected(_) => false,
            Self::Answered(answer) => answer.status != 429,
            Self::Lost(_) => true,
        }
    }
}

/// How long to wait before the next try; none where there must not be one.
fn pause_before_retry(tried: &Tried, retries: u32) -> Option<Duration> {
    let asked = match tried {
        Tried::NotConnected(_) => Duration::ZERO,
        Tried::Answered(answer) if matches!(answer.status, 429 | 502 | 503 | 504) => {
            answer.retry_after.unwrap_or_default()
        }
        Tried::Answered(_) | Tried::Lost(_) => return None,
    };
    if retries >= MOST_RETRIES || asked > LONGEST_PAUSE {
        return None;
    }
    let longest = (SHORTEST_PAUSE * 4u32.pow(retries + 1)).min(LONGEST_PAUSE);
    Some(rand::random_range(SHORTEST_PAUSE..=longest).max(asked))
}

fn call_result(tried: &Tried, error: Option<&PartnerError>) -> CallResult {
    let retry_after = match tried {
        Tried::Answered(answer) => answer.retry_after,
        Tried::NotConnected(_) => return CallResult::NotConnected,
        Tried::Lost(_) => None,
    };
    match error {
        None | Some(PartnerError::Rejected { .. } | PartnerError::Busy { .. } | PartnerError::Unsupported(_)) => {
            CallResult::Answered
        }
        Some(PartnerError::Suspended { .. }) => CallResult::Suspended,
        Some(_) => CallResult::Failed { retry_after },
    }
}

fn limiter(rate: RateSettings) -> Result<DefaultDirectRateLimiter, Invalid> {
    let at_least_one = |field| Invalid::new(field, "at least 1");
    let per_second = NonZeroU32::new(rate.per_second).ok_or_else(|| at_least_one("rate.per_second"))?;
    let burst = NonZeroU32::new(rate.burst.unwrap_or(rate.per_second)).ok_or_else(|| at_least_one("rate.burst"))?;
    Ok(RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst)))
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
