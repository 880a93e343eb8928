//! When an attempt that failed is made again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;

/// Pauses between attempts: quick at first, then for a day.
const PAUSES: [Duration; 10] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(4 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
    Duration::from_secs(8 * 60 * 60),
];
/// Each is longer or shorter by as much, at random: what failed together does not come back together.
const JITTER: f64 = 0.2;
/// Who says that it is too much gets at least this.
const THROTTLED: Duration = Duration::from_secs(60);
/// What an endpoint asks for is granted up to this.
const LONGEST_ASKED: Duration = Duration::from_secs(6 * 60 * 60);

/// How long to wait after so many attempts; nothing where it is given up. `random` is from 0 to 1.
pub(super) fn pause(attempts: i64, throttled: bool, asked: Option<Duration>, random: f64) -> Option<Duration> {
    let index = usize::try_from(attempts - 1).ok()?;
    let base = PAUSES.get(index)?.mul_f64(1.0 - JITTER + 2.0 * JITTER * random);
    let least = if throttled { THROTTLED } else { Duration::ZERO };
    Some(base.max(least).max(asked.unwrap_or_default()))
}

/// Whether a status says that we ask too much, or too early.
pub(super) fn is_throttled(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 502 | 503 | 504)
}

/// What `Retry-After` asks for: seconds, or an instant.
pub(super) fn asked(value: &HeaderValue, now: DateTime<Utc>) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let asked = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = DateTime::parse_from_rfc2822(text).ok()?;
            (at.to_utc() - now).to_std().unwrap_or_default()
        }
    };
    Some(asked.min(LONGEST_ASKED))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_for_about_a_day_and_then_given_up() {
        let total = |random| -> f64 {
            let pauses = (1..).map_while(|attempts| pause(attempts, false, None, random));
            pauses.map(|pause| pause.as_secs_f64() / 3600.0).sum()
        };

        assert!((18.0..20.0).contains(&total(0.0)), "{}", total(0.0));
        assert!((23.0..25.0).contains(&total(0.5)), "{}", total(0.5));
        assert!((28.0..30.0).contains(&total(1.0)), "{}", total(1.0));
        assert_eq!(pause(11, false, None, 0.5), None);
        assert_eq!(pause(11, true, Some(THROTTLED), 0.5), None);
    }

    #[test]
    fn each_pause_is_longer_than_the_one_before() {
        let pauses: Vec<_> = (1..=10)
            .map_while(|attempts| pause(attempts, false, None, 0.5))
            .collect();

        assert!(pauses.is_sorted() && pauses.len() == 10, "{pauses:?}");
        assert_eq!(pauses[0], Duration::from_secs(5));
    }

    #[test]
    fn who_asks_for_time_gets_it() {
        let asked = Some(Duration::from_secs(900));

        assert_eq!(pause(1, true, None, 0.5), Some(THROTTLED));
        assert_eq!(pause(1, true, asked, 0.5), asked);
        assert_eq!(pause(7, true, asked, 0.5), Some(Duration::from_secs(2 * 60 * 60)));
    }

    #[test]
    fn retry_after_is_seconds_or_an_instant() {
        let now = DateTime::parse_from_rfc3339("2026-11-20T11:00:00Z").unwrap().to_utc();
        let cases = [
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("Fri, 20 Nov 2026 11:05:00 GMT", Some(300)),
            ("Fri, 20 Nov 2026 10:00:00 GMT", Some(0)),
            ("999999999", Some(6 * 60 * 60)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ];
        for (text, seconds) in cases {
            let found = super::asked(&HeaderValue::from_static(text), now);
            assert_eq!(found, seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
