//! Celery's native delayed delivery: 28 queues, each of which holds a message twice as long as the one before, and a routing
//! key whose leading words say in binary which of them it passes.

use chrono::{DateTime, Utc};

use crate::celery::message::Message;

/// How many queues there are: the longest delay is 2^28 - 1 seconds, eight years and a half.
pub const LEVELS: usize = 28;

/// The exchange behind the last level: every application queue's exchange is bound to it.
pub const DELIVERY_EXCHANGE: &str = "celery_delayed_delivery";

/// The exchange and the queue of a level.
pub fn level(level: usize) -> String {
    format!("celery_delayed_{level}")
}

/// The routing key under which a message waits so many seconds, the most significant bit first.
pub fn routing_key(seconds: u64, routing_key: &str) -> String {
    let seconds = seconds.min((1 << LEVELS) - 1);
    let mut key = String::with_capacity(2 * LEVELS + routing_key.len());
    for bit in (0..LEVELS).rev() {
        key.push(if seconds >> bit & 1 == 1 { '1' } else { '0' });
        key.push('.');
    }
    key + routing_key
}

/// The routing key without those words, if it has them.
pub fn stripped(routing_key: &str) -> Option<&str> {
    let (prefix, rest) = routing_key.split_at_checked(2 * LEVELS)?;
    let words = prefix.as_bytes().chunks_exact(2);
    words
        .into_iter()
        .all(|word| matches!(word, [b'0' | b'1', b'.']))
        .then_some(rest)
}

/// Sends a message by way of the delaying queues, so that it arrives at its exchange then, to the second; what is due within
/// one goes straight.
///
/// The levels, and the binding of the message's queue behind them, must be there: a transport declares them.
pub fn delayed(mut message: Message, until: DateTime<Utc>, now: DateTime<Utc>) -> Message {
    let wait = (until - now).num_milliseconds();
    let Ok(seconds @ 1..) = u64::try_from(wait.saturating_add(999) / 1000) else {
        return message;
    };
    let plain = stripped(&message.routing_key).unwrap_or(&message.routing_key);
    message.routing_key = self::routing_key(seconds, plain);
    message.exchange = level(LEVELS - 1);
    message
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_delay_is_written_in_binary_and_taken_off_again() {
        let key = routing_key(100, "celery");

        assert_eq!(key, format!("{}1.1.0.0.1.0.0.celery", "0.".repeat(21)));
        assert_eq!(stripped(&key), Some("celery"));
        assert_eq!(stripped("celery"), None);
        assert_eq!(stripped(&"2.".repeat(40)), None);
        assert!(routing_key(u64::MAX, "").bytes().filter(|byte| *byte == b'1').count() == LEVELS);
    }

    #[test]
    fn a_message_that_waits_again_waits_by_one_key() {
        let (now, message) = (
            Utc::now(),
            Message {
                routing_key: "q".to_owned(),
                ..Message::default()
            },
        );

        let once = delayed(message.clone(), now + TimeDelta::milliseconds(2_001), now);
        let twice = delayed(once.clone(), now + TimeDelta::seconds(3), now);

        assert_eq!(
            (once.exchange.as_str(), once.routing_key.as_str()),
            ("celery_delayed_27", routing_key(3, "q").as_str())
        );
        assert_eq!(twice, once);
        assert_eq!(delayed(message.clone(), now, now), message);
    }
}
