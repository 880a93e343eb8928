//! Whose turn it is: the next start that a task's rate allows, and the next free place by priority.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::celery::state::{Pool, PoolPermit};

/// Who must wait longer for its rate waits in the store: a message in hand is one that nobody else can have.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// When the next task of each name may start. A start is given away once: who got one waits for it, in order.
#[derive(Debug, Default)]
pub(super) struct Rates {
    last: Mutex<HashMap<Arc<str>, Instant>>,
}

/// When a task may start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At that instant, which is its own.
    At(Instant),
    /// Not before so long; to be asked for again then.
    Later(Duration),
}

impl Rates {
    /// The next start with at least that period since the one before.
    pub(super) fn next(&self, task: &Arc<str>, period: Duration) -> Start {
        let now = Instant::now();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // By the rate that holds now: another one may have been set from outside since.
        let after = |before: &Instant| {
            let start = before.checked_add(period);
            start.unwrap_or(*before + Duration::from_secs(86_400 * 365))
        };
        let start = last.get(task).map_or(now, after).max(now);
        let wait = start - now;
        if wait > LONGEST_WAIT {
            return Start::Later(wait);
        }
        last.insert(Arc::clone(task), start);
        Start::At(start)
    }
}

/// Tasks that wait for a free place: the most urgent first, and in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Turns {
    waiting: Mutex<BinaryHeap<Waiting>>,
    next: AtomicU64,
}

#[derive(Debug)]
struct Waiting {
    priority: u8,
    order: Reverse<u64>,
    place: oneshot::Sender<PoolPermit>,
}

impl Turns {
    /// Waits for a place. Whoever of those that wait is first to get one hands it to the most urgent of them.
    pub(super) async fn take(&self, pool: &Pool, priority: u8) -> PoolPermit {
        // A place that nobody waits for: the pool gives those that come free to who waits first.
        if let Some(place) = pool.try_acquire() {
            return place;
        }
        let (place, mut mine) = oneshot::channel();
        self.lock().push(Waiting {
            priority,
            order: Reverse(self.next.fetch_add(1, Ordering::Relaxed)),
            place,
        });
        loop {
            tokio::select! {
                biased;
                place = &mut mine => match place {
                    Ok(place) => return place,
                    // Cannot be: only what was handed a place is taken from those that wait.
                    Err(_) => return pool.acquire().await,
                },
                place = pool.acquire() => self.hand_over(place),
            }
        }
    }

    fn hand_over(&self, mut place: PoolPermit) {
        loop {
            let Some(first) = self.lock().pop() else { return };
            match first.place.send(place) {
                Ok(()) => return,
                // It waits no more.
                Err(back) => place = back,
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BinaryHeap<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.priority, self.order).cmp(&(other.priority, other.order))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::celery::state::WorkerState;

    #[tokio::test(start_paused = true)]
    async fn starts_are_given_away_in_order_and_far_ones_are_not() {
        let (rates, task, now) = (Rates::default(), Arc::from("t"), Instant::now());
        let period = Duration::from_secs(12);

        let starts: Vec<_> = (0..4).map(|_| rates.next(&task, period)).collect();

        let at = |seconds| Start::At(now + Duration::from_secs(seconds));
        assert_eq!(starts, [at(0), at(12), at(24), Start::Later(Duration::from_secs(36))]);
        assert_eq!(rates.next(&Arc::from("other"), period), at(0));
        assert_eq!(
            rates.next(&task, Duration::from_secs(1)),
            at(25),
            "a rate that was raised"
        );
        tokio::time::advance(Duration::from_secs(100)).await;
        assert_eq!(rates.next(&task, period), at(100));
    }

    #[tokio::test]
    async fn the_most_urgent_gets_the_next_place_and_who_left_gets_none() {
        let (state, turns) = (WorkerState::new("w@h", 1), Arc::new(Turns::default()));
        let busy = turns.take(state.pool(), 0).await;
        let (done, mut order) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = Vec::new();
        for priority in [3, 9, 5, 9, 7] {
            let (state, turns, done) = (state.clone(), turns.clone(), done.clone());
            waiting.push(tokio::spawn(async move {
                let _place = turns.take(state.pool(), priority).await;
                done.send(priority).unwrap();
                tokio::task::yield_now().await;
            }));
            tokio::task::yield_now().await;
        }
        waiting[4].abort();
        tokio::task::yield_now().await;

        drop(busy);

        for expected in [9, 9, 5, 3] {
            assert_eq!(order.recv().await, Some(expected));
        }
    }
}
