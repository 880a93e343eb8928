//! Whether a queue's messages are finished as soon as they are looked at.
//!
//! A message in a task of its own costs more than a short handler does: another thread is woken for it. While handlers finish
//! at once, one after the other, they run where their messages arrive; the first one that waits, or that keeps its thread,
//! ends that.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;

/// What is quick; waking a thread takes a tenth of it.
const QUICK: Duration = Duration::from_micros(100);

/// After so many quick ones in a row the next one is expected to be.
const STREAK: u32 = 64;

/// What the handling of a message comes to.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// How many messages in a row were quick.
#[derive(Debug, Clone, Default)]
pub(super) struct Pace(Arc<AtomicU32>);

impl Pace {
    /// Whether the next message may run where it arrived.
    pub(super) fn is_quick(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= STREAK
    }

    /// Looks once. Gives back what is not finished, to be driven elsewhere: whoever polls it next is woken for it.
    pub(super) fn look(&self, mut work: Work) -> Option<Work> {
        let began = Instant::now();
        let finished = work.as_mut().now_or_never().is_some();
        if finished && began.elapsed() < QUICK {
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |streak| {
                (streak < STREAK).then_some(streak + 1)
            });
        } else {
            self.0.store(0, Ordering::Relaxed);
        }
        (!finished).then_some(work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_pace() -> Pace {
        let pace = Pace::default();
        // A busy machine may interrupt any of them.
        while !pace.is_quick() {
            assert!(pace.look(Box::pin(async {})).is_none());
        }
        pace
    }

    #[test]
    fn one_that_keeps_its_thread_ends_a_streak() {
        let pace = at_pace();

        let slow = async { std::thread::sleep(QUICK * 2) };

        assert!(pace.look(Box::pin(slow)).is_none());
        assert!(!pace.is_quick());
    }

    #[tokio::test]
    async fn one_that_waits_ends_a_streak_and_is_finished_elsewhere() {
        let pace = at_pace();
        let (done, mut waited) = tokio::sync::oneshot::channel();
        let work = async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            done.send(()).unwrap();
        };

        let left = pace.look(Box::pin(work)).unwrap();

        assert!(!pace.is_quick());
        assert!(waited.try_recv().is_err());
        tokio::spawn(left).await.unwrap();
        waited.await.unwrap();
    }
}
