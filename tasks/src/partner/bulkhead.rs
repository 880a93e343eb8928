//! The bulkhead: a slow partner holds a few calls, never the whole worker.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::settings::BulkheadSettings;

#[derive(Debug)]
pub(super) struct Bulkhead {
    settings: BulkheadSettings,
    calls: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Bulkhead {
    pub(super) fn new(settings: BulkheadSettings) -> Self {
        let calls = Arc::new(Semaphore::new(settings.calls));
        Self {
            settings,
            calls,
            waiting: Semaphore::new(settings.waiting),
        }
    }

    /// A place for one call, free again when dropped; none if there is none in time.
    pub(super) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.calls).try_acquire_owned() {
            return Some(place);
        }
        let _waiting = self.waiting.try_acquire().ok()?;
        timeout(self.settings.wait, Arc::clone(&self.calls).acquire_owned())
            .await
            .ok()?
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn bulkhead() -> Bulkhead {
        Bulkhead::new(BulkheadSettings {
            calls: 1,
            waiting: 1,
            wait: Duration::from_millis(200),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_gets_the_place_that_is_left() {
        let bulkhead = bulkhead();
        let first = bulkhead.enter().await.unwrap();

        let (second, ()) = tokio::join!(bulkhead.enter(), async {
            tokio::time::sleep(Duration::from_millis(150)).await;
            drop(first);
        });

        assert!(second.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_longer_than_agreed_and_the_queue_is_short() {
        let bulkhead = bulkhead();
        let _first = bulkhead.enter().await.unwrap();
        let started = tokio::time::Instant::now();

        let (second, third) = tokio::join!(bulkhead.enter(), async {
            let third = bulkhead.enter().await;
            (third.is_some(), started.elapsed())
        });

        assert!(second.is_none());
        assert_eq!(started.elapsed(), Duration::from_millis(200));
        assert_eq!(third, (false, Duration::ZERO), "the queue was full: no wait at all");
    }
}
