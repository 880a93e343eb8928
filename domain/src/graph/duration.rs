//! ISO 8601 durations of fixed length: weeks, days, hours, minutes, seconds.

use chrono::TimeDelta;

/// Ten years: longer deadlines are mistakes.
const LONGEST_SECONDS: i64 = 3650 * 86_400;

/// The duration that `text` names, if it is one of fixed length and at most ten years.
pub(super) fn parse(text: &str) -> Option<TimeDelta> {
    let body = text.strip_prefix('P')?;
    let (days, clock) = match body.split_once('T') {
        Some((_, "")) => return None,
        Some((days, clock)) => (days, clock),
        None => (body, ""),
    };
    if body.is_empty() {
        return None;
    }
    let whole = sum(days, &[('W', 604_800), ('D', 86_400)])?;
    let part = sum(clock, &[('H', 3_600), ('M', 60), ('S', 1)])?;
    let seconds = whole.checked_add(part).filter(|seconds| *seconds <= LONGEST_SECONDS)?;
    TimeDelta::try_seconds(seconds)
}

/// Adds up `<number><unit>` parts; each unit at most once, larger ones first.
fn sum(mut text: &str, units: &[(char, i64)]) -> Option<i64> {
    let mut total: i64 = 0;
    for (unit, seconds) in units {
        let Some((number, rest)) = text.split_once(*unit) else {
            continue;
        };
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        total = total.checked_add(number.parse::<i64>().ok()?.checked_mul(*seconds)?)?;
        text = rest;
    }
    text.is_empty().then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_fixed_length_are_read() {
        let read = |text: &str| parse(text).map(|delta| delta.num_seconds());

        assert_eq!(read("PT0S"), Some(0));
        assert_eq!(read("PT48H"), Some(48 * 3_600));
        assert_eq!(read("P7D"), Some(7 * 86_400));
        assert_eq!(read("P2W"), Some(14 * 86_400));
        assert_eq!(read("P1DT2H3M4S"), Some(86_400 + 7_200 + 180 + 4));
        assert_eq!(read("P3650D"), Some(LONGEST_SECONDS));
    }

    #[test]
    fn anything_else_is_no_duration() {
        for text in [
            "",
            "P",
            "PT",
            "P1DT",
            "48H",
            "P1M",
            "P1Y",
            "PT1.5H",
            "PT-1H",
            "PT+1H",
            "P-1D",
            "PT1M1H",
            "PT1H1H",
            "P1H",
            "PT1D",
            " PT1H",
            "pt1h",
            "PT",
            "PTH",
            "P3651D",
            "PT99999999999999999999S",
            "P9223372036854775807W",
            "forty hours",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
