//! Acknowledges what is finished: one frame for all that are finished up to a message, however many they are.

use std::collections::BTreeSet;

use lapin::Channel;
use lapin::options::{BasicAckOptions, BasicNackOptions};
use tokio::sync::mpsc;

/// How many are looked at together at most.
const BATCH: usize = 512;

/// What becomes of the message with that number on its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    Ack(u64),
    Requeue(u64),
    Reject(u64),
}

/// Where finished messages are reported.
pub(super) type Settler = mpsc::UnboundedSender<Settled>;

/// Answers the broker until nobody can report any more.
pub(super) async fn run(channel: Channel, mut finished: mpsc::UnboundedReceiver<Settled>) {
    let (mut front, mut batch) = (Front::default(), Vec::with_capacity(BATCH));
    while finished.recv_many(&mut batch, BATCH).await > 0 {
        let mut acks = BTreeSet::new();
        for settled in batch.drain(..) {
            // As with a quorum queue's newer versions, what is given back with `nack` does not count as a failed delivery.
            let (tag, requeue) = match settled {
                Settled::Ack(tag) => {
                    acks.insert(tag);
                    continue;
                }
                Settled::Requeue(tag) => (tag, true),
                Settled::Reject(tag) => (tag, false),
            };
            front.settled(tag);
            let options = BasicNackOptions {
                requeue,
                multiple: false,
            };
            answered(channel.basic_nack(tag, options).await, 1);
        }
        for ack in front.acks(&acks) {
            let multiple = ack.messages > 1;
            answered(
                channel.basic_ack(ack.tag, BasicAckOptions { multiple }).await,
                ack.messages,
            );
        }
    }
}

/// The channel is gone, and its messages come again.
fn answered(answer: lapin::Result<()>, messages: u64) {
    if answer.is_err() {
        stale(messages);
    }
}

/// Counts answers that reached nobody.
pub(super) fn stale(messages: u64) {
    metrics::counter!("ack_stale_total").increment(messages);
}

/// How far a channel's messages are settled without a gap, and which are beyond.
#[derive(Debug, Default)]
struct Front {
    upto: u64,
    beyond: BTreeSet<u64>,
}

/// An acknowledgement: of one message, or of all up to it that are not settled.
#[derive(Debug, PartialEq, Eq)]
struct Ack {
    tag: u64,
    messages: u64,
}

impl Front {
    fn settled(&mut self, tag: u64) {
        self.beyond.insert(tag);
    }

    /// Those that close the gap are acknowledged together; those beyond it each for itself, because what lies between is not
    /// finished.
    fn acks(&mut self, finished: &BTreeSet<u64>) -> Vec<Ack> {
        let (mut together, mut acks) = (Ack { tag: 0, messages: 0 }, Vec::new());
        self.beyond.extend(finished);
        while self.beyond.remove(&(self.upto + 1)) {
            self.upto += 1;
            if finished.contains(&self.upto) {
                together = Ack {
                    tag: self.upto,
                    messages: together.messages + 1,
                };
            }
        }
        if together.messages > 0 {
            acks.push(together);
        }
        acks.extend(
            finished
                .range(self.upto + 1..)
                .map(|tag| Ack { tag: *tag, messages: 1 }),
        );
        acks
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn acks(front: &mut Front, tags: &[u64]) -> Vec<(u64, u64)> {
        let acks = front.acks(&tags.iter().copied().collect());
        acks.into_iter().map(|ack| (ack.tag, ack.messages)).collect()
    }

    #[test]
    fn what_is_finished_without_a_gap_is_acknowledged_at_once() {
        let mut front = Front::default();

        assert_eq!(acks(&mut front, &[1, 2, 3]), [(3, 3)]);
        assert_eq!(acks(&mut front, &[5, 7]), [(5, 1), (7, 1)]);
        assert_eq!(acks(&mut front, &[4]), [(4, 1)]);
        front.settled(6);
        assert_eq!(acks(&mut front, &[8, 9, 11]), [(9, 2), (11, 1)]);
        assert_eq!((front.upto, front.beyond.len()), (9, 1));
    }

    proptest! {
        /// What a broker does with each frame, against what was finished.
        #[test]
        fn exactly_the_finished_are_acknowledged(
            order in Just((1u64..=40).collect::<Vec<_>>()).prop_shuffle(),
            sizes in prop::collection::vec(1usize..9, 40),
        ) {
            let (mut front, mut open, mut rest) = (Front::default(), (1u64..=40).collect::<BTreeSet<_>>(), order.as_slice());
            for size in sizes {
                let (batch, after) = rest.split_at(size.min(rest.len()));
                rest = after;
                for ack in front.acks(&batch.iter().copied().collect()) {
                    prop_assert!(open.contains(&ack.tag));
                    open.retain(|tag| if ack.messages > 1 { *tag > ack.tag } else { *tag != ack.tag });
                }
                prop_assert_eq!(&open, &rest.iter().copied().collect::<BTreeSet<_>>());
            }
        }
    }
}
