//! Queues that refuse: each is asked again by one message at a time, less and less often, while what else is for it waits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};
use waybill_tasks::celery::message::Message;

/// Until a queue that refused is asked again for the first time; doubled each time that it still refuses.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So much of a pause is added at random, so that many processes do not ask together.
const JITTER: f64 = 0.2;

/// Where a message goes: an exchange and a routing key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Destination(String, String);

impl Destination {
    /// Of that message.
    pub(super) fn of(message: &Message) -> Self {
        Self(message.exchange.clone(), message.routing_key.clone())
    }
}

/// What may be done with a message now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is published: nothing is known against it.
    Free,
    /// It is published, to see whether its queue takes anything again.
    Asks,
    /// It waits, for that cause.
    Waits(String),
}

/// Which queues refuse, as far as this process knows. Another process asks each of them by itself.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Destination, Refusal>>);

#[derive(Debug)]
struct Refusal {
    cause: String,
    pause: Duration,
    ask_at: Instant,
}

impl Refusals {
    /// Whether a message for there has its turn.
    pub(super) fn turn(&self, to: &Destination, now: Instant) -> Turn {
        match self.known().get_mut(to) {
            None => Turn::Free,
            Some(refusal) if refusal.ask_at <= now => {
                // Nobody else asks before this one has its answer, or will have none.
                refusal.ask_at = now + LONGEST_PAUSE;
                Turn::Asks
            }
            Some(refusal) => Turn::Waits(refusal.cause.clone()),
        }
    }

    /// A message was taken. Only who asked opens the way: others may have been on theirs before the refusal.
    pub(super) fn taken(&self, to: &Destination, turn: &Turn) {
        if *turn == Turn::Asks && self.known().remove(to).is_some() {
            let Destination(exchange, routing_key) = to;
            info!("exchange {exchange:?} takes messages for {routing_key:?} again");
        }
    }

    /// A message was refused.
    pub(super) fn refused(&self, to: &Destination, turn: &Turn, cause: String, now: Instant) {
        let mut known = self.known();
        let pause = match (known.get(to), turn) {
            (None, _) => {
                warn!("what else goes there waits: {cause}");
                FIRST_PAUSE
            }
            (Some(refusal), Turn::Asks) => (2 * refusal.pause).min(LONGEST_PAUSE),
            // Of many that were on their way together only the first counts.
            (Some(_), _) => return,
        };
        let ask_at = now + pause.mul_f64(1.0 + JITTER * rand::random::<f64>());
        known.insert(to.clone(), Refusal { cause, pause, ask_at });
    }

    /// Causes of those that are not to be asked yet.
    pub(super) fn causes(&self, now: Instant) -> Vec<String> {
        let known = self.known();
        let held = known.values().filter(|refusal| refusal.ask_at > now);
        held.map(|refusal| refusal.cause.clone()).collect()
    }

    /// Queues of those that are not to be asked yet and that are reached by their name.
    pub(super) fn queues(&self, now: Instant) -> Vec<String> {
        let known = self.known();
        let held = known
            .iter()
            .filter(|(to, refusal)| to.0.is_empty() && refusal.ask_at > now);
        held.map(|(to, _)| to.1.clone()).collect()
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Destination, Refusal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(name: &str) -> Destination {
        Destination(String::new(), name.to_owned())
    }

    /// How many of so many messages a second are published in a time in which all are refused.
    fn tries(refusals: &Refusals, start: Instant, seconds: u64) -> usize {
        let mut tries = 0;
        for tenth in 0..10 * seconds {
            let now = start + Duration::from_millis(100 * tenth);
            for _ in 0..50 {
                let turn = refusals.turn(&queue("full"), now);
                if !matches!(turn, Turn::Waits(_)) {
                    tries += 1;
                    refusals.refused(&queue("full"), &turn, "full".to_owned(), now);
                }
            }
        }
        tries
    }

    #[test]
    fn a_queue_that_refuses_is_asked_by_one_message_and_ever_less_often() {
        let (refusals, start) = (Refusals::default(), Instant::now());

        // At once, after 1, 2, 4, 8 and 16 seconds, then every half minute, and up to a fifth later each.
        assert!((5..=6).contains(&tries(&refusals, start, 32)));
        let later = tries(&refusals, start + Duration::from_secs(60), 600);

        assert!((16..=22).contains(&later), "{later}");
        assert_eq!(refusals.turn(&queue("other"), start), Turn::Free);
        assert_eq!(refusals.queues(start), ["full"]);
    }

    #[test]
    fn while_one_asks_the_rest_waits_and_when_it_is_taken_all_go() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let full = queue("full");
        for _ in 0..3 {
            refusals.refused(&full, &Turn::Free, "full".to_owned(), start);
        }
        let then = start + FIRST_PAUSE.mul_f64(1.0 + JITTER);

        assert_eq!(refusals.turn(&full, start), Turn::Waits("full".to_owned()));
        assert_eq!(refusals.causes(start), ["full"]);
        assert_eq!(refusals.causes(then), Vec::<String>::new());
        assert_eq!(refusals.turn(&full, then), Turn::Asks);
        assert_eq!(refusals.turn(&full, then), Turn::Waits("full".to_owned()));
        refusals.taken(&full, &Turn::Free);
        assert_eq!(
            refusals.turn(&full, then),
            Turn::Waits("full".to_owned()),
            "that one went before"
        );
        refusals.taken(&full, &Turn::Asks);
        assert_eq!(refusals.turn(&full, then), Turn::Free);
    }
}
