//! A task in hand, with everything that settles it.

use std::sync::Arc;
use std::time::Duration;

use super::running::Limits;
use crate::celery::protocol::Request;
use crate::celery::registry::Entry;
use crate::celery::state::{TaskLimits, TaskTicket, WorkerState};
use crate::celery::transport::{Delivery, Receipt};

/// A task in hand.
pub(super) struct Job<'a, C> {
    pub(super) delivery: &'a Delivery,
    pub(super) receipt: &'a Receipt,
    pub(super) request: Arc<Request>,
    pub(super) entry: Arc<Entry<C>>,
    pub(super) ticket: TaskTicket,
}

impl<C> Job<'_, C> {
    /// How often it may start.
    pub(super) fn period(&self, state: &WorkerState) -> Option<Duration> {
        self.limits_now(state).rate.map(|rate| rate.period())
    }

    /// The message's limits win over those of the task; zero is none.
    pub(super) fn limits(&self, state: &WorkerState) -> Limits {
        let now = self.limits_now(state);
        let (asked, seconds) = (&self.request.timelimit, |limit: Option<Duration>| {
            limit.map(|it| it.as_secs_f64())
        });
        let given = |seconds: Option<f64>| seconds.filter(|seconds| *seconds > 0.0);
        Limits {
            soft: given(asked.soft).or_else(|| given(seconds(now.soft))),
            hard: given(asked.hard).or_else(|| given(seconds(now.hard))),
        }
    }

    fn limits_now(&self, state: &WorkerState) -> TaskLimits {
        let options = &self.entry.options;
        let own = TaskLimits {
            rate: options.rate_limit,
            soft: options.soft_time_limit,
            hard: options.time_limit,
        };
        state.limits(&self.entry.name, own)
    }
}
