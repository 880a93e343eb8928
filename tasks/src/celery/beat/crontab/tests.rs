//! Fields are read as Celery reads them; ticks are those of a model that looks at every minute.

use std::collections::BTreeMap;

use chrono::{NaiveDateTime, TimeDelta, Timelike as _};
use proptest::prelude::*;

use super::*;

fn numbers(field: &Field, text: &str) -> Vec<u32> {
    field.read(text).unwrap().into_iter().collect()
}

#[test]
fn fields_are_read_as_celery_reads_them() {
    assert_eq!(numbers(&MINUTE, "*/15"), [0, 15, 30, 45]);
    assert_eq!(
        numbers(&MINUTE, "1,13,30-32,50-59/2"),
        [1, 13, 30, 31, 32, 50, 52, 54, 56, 58]
    );
    assert_eq!(numbers(&HOUR, "22-2"), [0, 1, 2, 22, 23]);
    assert_eq!(numbers(&HOUR, "0,8-17/2"), [0, 8, 10, 12, 14, 16]);
    assert_eq!(numbers(&DAY_OF_MONTH, "*/3"), [1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31]);
    assert_eq!(numbers(&MONTH, "2-12/2"), [2, 4, 6, 8, 10, 12]);
    assert_eq!(numbers(&MONTH, "jan-March,december"), [1, 2, 3, 12]);
    assert_eq!(numbers(&DAY_OF_WEEK, "mon-fri"), [1, 2, 3, 4, 5]);
    assert_eq!(numbers(&DAY_OF_WEEK, "sat-Sunday"), [0, 6]);
}

#[test]
fn what_is_no_crontab_is_told() {
    for text in [
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "*/0 * * * *",
        "5/10 * * * *",
        "-1 * * * *",
        ", * * * *",
        "* * * * jan",
        "x * * * *",
    ] {
        assert!(
            matches!(Crontab::parse(text), Err(CrontabError::Field { .. })),
            "{text}"
        );
    }
    assert_eq!(Crontab::parse("* * * *"), Err(CrontabError::Fields(4)));
    assert!(matches!(
        Crontab::parse("0 0 30,31 2 *"),
        Err(CrontabError::Never { .. })
    ));
}

fn next(crontab: &str, after: &str, zone: Tz) -> String {
    let tick = Crontab::parse(crontab)
        .unwrap()
        .next(after.parse().unwrap(), zone)
        .unwrap();
    tick.format("%Y-%m-%dT%H:%MZ").to_string()
}

#[test]
fn a_skipped_time_is_read_as_if_the_clock_had_gone_on_and_one_that_comes_twice_is_taken_first() {
    let berlin = chrono_tz::Europe::Berlin;

    // 02:00 to 03:00 on 29 March 2026 are not there.
    assert_eq!(next("30 2 * * *", "2026-03-28T12:00:00Z", berlin), "2026-03-29T01:30Z");
    assert_eq!(next("30 2 * * *", "2026-03-29T01:30:00Z", berlin), "2026-03-30T00:30Z");
    assert_eq!(next("0 * * * *", "2026-03-29T00:00:00Z", berlin), "2026-03-29T01:00Z");
    assert_eq!(next("0 * * * *", "2026-03-29T01:00:00Z", berlin), "2026-03-29T02:00Z");
    // 02:00 to 03:00 on 25 October 2026 come twice.
    assert_eq!(next("30 2 * * *", "2026-10-25T00:00:00Z", berlin), "2026-10-25T00:30Z");
    assert_eq!(next("30 2 * * *", "2026-10-25T00:30:00Z", berlin), "2026-10-26T01:30Z");
    assert_eq!(next("30 * * * *", "2026-10-25T00:30:00Z", berlin), "2026-10-25T01:30Z");
}

#[test]
fn rare_days_are_found() {
    assert_eq!(
        next("0 0 29 2 mon", "2026-01-01T00:00:00Z", Tz::UTC),
        "2044-02-29T00:00Z"
    );
    assert_eq!(next("0 0 29 2 *", "2096-03-01T00:00:00Z", Tz::UTC), "2104-02-29T00:00Z");
}

/// Every tick in a window, by looking at every minute of it.
fn model(crontab: &Crontab, zone: Tz, from: DateTime<Utc>, minutes: i64) -> BTreeSet<DateTime<Utc>> {
    let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let fits = |at: NaiveDateTime| {
        crontab.minutes.contains(&at.minute())
            && crontab.hours.contains(&at.hour())
            && crontab.days_of_month.contains(&at.day())
            && crontab.months.contains(&at.month())
            && crontab.days_of_week.contains(&at.weekday().num_days_from_sunday())
    };
    let any_hour = (0..24).all(|hour| crontab.hours.contains(&hour));
    let mut seen: BTreeMap<NaiveDateTime, ()> = BTreeMap::new();
    let mut ticks = BTreeSet::new();
    for minute in 0..minutes {
        let at = from + TimeDelta::minutes(minute);
        let (before, now) = (local(at - TimeDelta::minutes(1)), local(at));
        // Minutes that the clock jumps over, with the offset before.
        let mut skipped = before + TimeDelta::minutes(1);
        while skipped < now {
            if fits(skipped) {
                ticks.insert(at + (skipped - (before + TimeDelta::minutes(1))));
            }
            skipped += TimeDelta::minutes(1);
        }
        let again = seen.insert(now, ()).is_some();
        if fits(now) && (!again || any_hour) {
            ticks.insert(at);
        }
    }
    ticks
}

fn field(most: u32, least: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        2 => (2..=most).prop_map(|step| format!("*/{step}")),
        2 => (least..=most).prop_map(|number| number.to_string()),
        2 => (least..=most, least..=most).prop_map(|(from, to)| format!("{from}-{to}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn ticks_are_those_of_the_model(
        minute in field(59, 0),
        hour in field(23, 0),
        day_of_week in field(6, 0),
        zone in prop::sample::select(vec![
            Tz::UTC, chrono_tz::Europe::Berlin, chrono_tz::America::New_York, chrono_tz::Australia::Lord_Howe,
            chrono_tz::America::Sao_Paulo, chrono_tz::Pacific::Apia,
        ]),
        start in prop::sample::select(vec![
            "2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z", "2026-03-07T12:00:00Z", "2026-10-31T12:00:00Z", "2026-04-04T00:00:00Z",
            "2026-10-03T00:00:00Z", "2017-10-14T12:00:00Z", "2018-02-17T12:00:00Z", "2011-12-29T00:00:00Z",
        ]),
    ) {
        let crontab = Crontab::of(&minute, &hour, &day_of_week, "*", "*").unwrap();
        let start: DateTime<Utc> = start.parse().unwrap();
        // Beyond the window on both sides, so that its ends are no special cases.
        let expected = model(&crontab, zone, start - TimeDelta::days(3), 8 * 24 * 60);

        let mut found = Vec::new();
        let mut at = start;
        while let Some(tick) = crontab.next(at, zone).filter(|tick| *tick < start + TimeDelta::days(2)) {
            prop_assert_eq!(crontab.latest(tick, zone), Some(tick));
            prop_assert_eq!(crontab.latest(tick + TimeDelta::seconds(59), zone), Some(tick));
            found.push(tick);
            at = tick;
            if found.len() > 400 {
                break;
            }
        }

        let expected: Vec<_> = expected.into_iter().filter(|tick| *tick > start && *tick < start + TimeDelta::days(2)).take(found.len().max(1)).collect();
        if found.len() <= 400 {
            prop_assert_eq!(found, expected);
        } else {
            prop_assert_eq!(&found[..], &expected[..]);
        }
    }
}
