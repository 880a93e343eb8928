//! Spans of time as people write and read them.

use chrono::{DateTime, TimeDelta, Utc};

/// `90s`, `15m`, `1h`, `7d`.
pub(super) fn parse(text: &str) -> Result<TimeDelta, String> {
    let wrong = || format!("{text:?} is no span of time: expected one such as 90s, 15m, 1h or 7d");
    let unit = text.chars().next_back().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let span = TimeDelta::try_seconds(i64::from(number) * seconds);
    span.filter(|span| *span > TimeDelta::zero()).ok_or_else(wrong)
}

/// An instant: RFC 3339, or a span before now.
pub(super) fn parse_since(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let wrong = |_| format!("{text:?} is no instant: expected one such as 2026-11-20T11:00:00Z, or a span such as 2h");
    let span = parse(text).map_err(wrong)?;
    Utc::now()
        .checked_sub_signed(span)
        .ok_or_else(|| format!("{text:?} is too long ago"))
}

/// The two largest units: `3 d 4 h`, `12 min 5 s`, `0.3 s`.
pub(super) fn write(span: TimeDelta) -> String {
    let seconds = span.num_seconds().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        86_400.. => format!("{days} d {hours} h"),
        3_600.. => format!("{hours} h {minutes} min"),
        60.. => format!("{minutes} min {} s", seconds % 60),
        10.. => format!("{seconds} s"),
        _ => format!("{:.1} s", span.num_milliseconds().max(0) as f64 / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_people_write_them() {
        let read = ["90s", "15m", "1h", "7d"].map(|text| parse(text).unwrap().num_seconds());

        assert_eq!(read, [90, 900, 3_600, 604_800]);
        for text in ["", "h", "0s", "-1h", "1", "1w", "1.5h", "99999999999d", "1ä"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_instant_is_a_date_or_a_span_before_now() {
        let noon = parse_since("2026-11-20T13:00:00+01:00").unwrap();
        let ago = Utc::now() - parse_since("2h").unwrap();

        assert_eq!(noon.to_rfc3339(), "2026-11-20T12:00:00+00:00");
        assert!((7_199..=7_201).contains(&ago.num_seconds()), "{ago}");
        assert!(parse_since("yesterday").is_err());
        assert!(parse_since("4294967295d").is_err());
    }

    #[test]
    fn spans_are_written_in_their_two_largest_units() {
        let written = [0, 300, 9_900, 65_000, 3_720_000, 90_000_000]
            .map(|milliseconds| write(TimeDelta::milliseconds(milliseconds)));

        assert_eq!(
            written,
            ["0.0 s", "0.3 s", "9.9 s", "1 min 5 s", "1 h 2 min", "1 d 1 h"]
        );
    }
}
