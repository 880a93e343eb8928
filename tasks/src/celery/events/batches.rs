//! Events on their way to the loop that sends them, written once: into the message that they go out in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// How many events go into one message.
const BATCH: usize = 100;

/// How many events wait at most to be sent: a tenth of a second of a busy worker.
pub(super) const WAITING_AT_MOST: usize = 16_384;

/// A list of events in JSON, still open at its end.
#[derive(Debug, Default)]
pub(super) struct Batch {
    json: Vec<u8>,
    events: usize,
}

impl Batch {
    /// How many events it has.
    pub(super) fn len(&self) -> usize {
        self.events
    }

    /// The whole list.
    pub(super) fn into_json(mut self) -> Vec<u8> {
        self.json.push(b']');
        self.json
    }

    fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        self.json.push(if self.events == 0 { b'[' } else { b',' });
        write(&mut self.json);
        self.events += 1;
    }
}

/// What waits to be sent.
#[derive(Debug, Default)]
pub(super) struct Batches {
    waiting: Mutex<Waiting>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    events: usize,
    closed: bool,
}

impl Batches {
    /// Takes an event that is written now, after all that came before it; `false` if there is no room, or nobody who sends.
    pub(super) fn add(&self, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let mut waiting = self.lock();
        if waiting.closed || waiting.events >= WAITING_AT_MOST {
            return false;
        }
        if waiting.batches.back().is_none_or(|last| last.len() >= BATCH) {
            waiting.batches.push_back(Batch::default());
        }
        if let Some(last) = waiting.batches.back_mut() {
            last.add(write);
        }
        waiting.events += 1;
        let is_first = waiting.events == 1;
        drop(waiting);
        if is_first {
            self.arrived.notify_one();
        }
        true
    }

    /// Returns when something waits; perhaps also when it did a moment ago.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// All that waits, in the order in which it happened.
    pub(super) fn take(&self) -> VecDeque<Batch> {
        let mut waiting = self.lock();
        waiting.events = 0;
        std::mem::take(&mut waiting.batches)
    }

    /// Takes nothing more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Whoever panics while it writes an event leaves half of one: nobody does.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn add(batches: &Batches, text: &str) -> bool {
        batches.add(|json| json.extend_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_hundred_go_into_one_message_in_their_order() {
        let batches = Batches::default();
        for number in 0..205 {
            assert!(add(&batches, &number.to_string()));
        }

        let taken: Vec<_> = batches.take().into_iter().collect();

        assert_eq!(taken.iter().map(Batch::len).collect::<Vec<_>>(), [100, 100, 5]);
        let lists = taken
            .into_iter()
            .map(|batch| serde_json::from_slice(&batch.into_json()));
        let lists: Vec<Vec<i32>> = lists.map(Result::unwrap).collect();
        assert_eq!(lists.concat(), (0..205).collect::<Vec<_>>());
        assert!(batches.take().is_empty());
    }

    #[test]
    fn what_has_no_room_is_refused_until_there_is_and_nothing_after_the_end() {
        let batches = Batches::default();
        for _ in 0..WAITING_AT_MOST {
            assert!(add(&batches, "1"));
        }

        assert!(!add(&batches, "1"));
        batches.take();
        assert!(add(&batches, "1"));
        batches.close();
        assert!(!add(&batches, "1"));
        assert_eq!(batches.take().len(), 1);
    }

    #[test]
    fn whoever_waits_hears_of_the_first_also_if_it_came_before() {
        let batches = Batches::default();
        assert!(batches.arrived().now_or_never().is_none());

        add(&batches, "1");
        add(&batches, "2");

        assert!(batches.arrived().now_or_never().is_some());
        assert!(batches.arrived().now_or_never().is_none());
    }
}
