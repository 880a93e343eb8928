//! Celery's crontab: five fields that must all fit, in a time zone.
//!
//! What a zone's clock does twice a year is defined so: a local time that is skipped is read with the offset before the gap,
//! as if the clock had gone on; of a local time that comes twice the first is taken, and the second too where the hour is any
//! hour, so that what runs every quarter of an hour goes on doing so.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike as _, Days, MappedLocalTime, NaiveDate, Offset as _, TimeZone as _, Utc};
use chrono_tz::{GapInfo, Tz};

/// The fields, each the numbers that fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crontab {
    minutes: BTreeSet<u32>,
    hours: BTreeSet<u32>,
    /// 0 is Sunday.
    days_of_week: BTreeSet<u32>,
    days_of_month: BTreeSet<u32>,
    months: BTreeSet<u32>,
}

/// Why a crontab is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CrontabError {
    /// There are not five fields.
    #[error("expected five fields (minute hour day_of_month month_of_year day_of_week), found {0}")]
    Fields(usize),
    /// A field cannot be read.
    #[error("{field}: {text:?} is no list of numbers, ranges and steps from {least} to {most}")]
    Field {
        /// Which.
        field: &'static str,
        /// What stands there.
        text: String,
        /// The least number.
        least: u32,
        /// The greatest.
        most: u32,
    },
    /// No day is like that.
    #[error("no day of month {days} is in months {months}")]
    Never {
        /// The days.
        days: String,
        /// The months.
        months: String,
    },
}

/// A field: its name, its least and greatest number, and words for some.
struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    words: &'static [&'static str],
    first_word: u32,
}

const MINUTE: Field = Field::numbers("minute", 0, 59);
const HOUR: Field = Field::numbers("hour", 0, 23);
const DAY_OF_MONTH: Field = Field::numbers("day_of_month", 1, 31);
const MONTH: Field = Field {
    name: "month_of_year",
    least: 1,
    most: 12,
    words: &[
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ],
    first_word: 1,
};
const DAY_OF_WEEK: Field = Field {
    name: "day_of_week",
    least: 0,
    most: 6,
    words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    first_word: 0,
};

/// How many days are looked at: 29 February on a given weekday comes again after forty years at most.
const DAYS_AT_MOST: usize = 366 * 41;

impl Crontab {
    /// As in a crontab: `minute hour day_of_month month_of_year day_of_week`.
    pub fn parse(text: &str) -> Result<Self, CrontabError> {
        let fields: Vec<&str> = text.split_ascii_whitespace().collect();
        let [minute, hour, day_of_month, month, day_of_week] = fields[..] else {
            return Err(CrontabError::Fields(fields.len()));
        };
        Self::of(minute, hour, day_of_week, day_of_month, month)
    }

    /// In the order of Celery's `crontab(…)`.
    pub fn of(
        minute: &str,
        hour: &str,
        day_of_week: &str,
        day_of_month: &str,
        month_of_year: &str,
    ) -> Result<Self, CrontabError> {
        let crontab = Self {
            minutes: MINUTE.read(minute)?,
            hours: HOUR.read(hour)?,
            days_of_week: DAY_OF_WEEK.read(day_of_week)?,
            days_of_month: DAY_OF_MONTH.read(day_of_month)?,
            months: MONTH.read(month_of_year)?,
        };
        let longest = |month: &u32| match month {
            2 => 29,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let ever = crontab
            .months
            .iter()
            .any(|month| crontab.days_of_month.iter().any(|day| *day <= longest(month)));
        if ever {
            return Ok(crontab);
        }
        let (days, months) = (day_of_month.to_owned(), month_of_year.to_owned());
        Err(CrontabError::Never { days, months })
    }

    /// The first tick after an instant.
    pub fn next(&self, after: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let from = zone
            .from_utc_datetime(&after.naive_utc())
            .date_naive()
            .checked_sub_days(Days::new(1))?;
        self.search(
            from.iter_days(),
            zone,
            |ticks| ticks.into_iter().filter(|tick| *tick > after).min(),
            Ord::min,
        )
    }

    /// The last tick that is not after an instant.
    pub fn latest(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let from = zone
            .from_utc_datetime(&now.naive_utc())
            .date_naive()
            .checked_add_days(Days::new(1))?;
        let back = std::iter::successors(Some(from), NaiveDate::pred_opt);
        self.search(
            back,
            zone,
            |ticks| ticks.into_iter().filter(|tick| *tick <= now).max(),
            Ord::max,
        )
    }

    /// Looks through days for the best tick, and into the day after it: a skipped time may be read into the next day.
    fn search(
        &self,
        days: impl Iterator<Item = NaiveDate>,
        zone: Tz,
        pick: impl Fn(Vec<DateTime<Utc>>) -> Option<DateTime<Utc>>,
        better: impl Fn(DateTime<Utc>, DateTime<Utc>) -> DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let mut found: Option<DateTime<Utc>> = None;
        for day in days.take(DAYS_AT_MOST) {
            let before = found;
            if let Some(tick) = self.fits(day).then(|| pick(self.ticks(day, zone))).flatten() {
                found = Some(found.map_or(tick, |known| better(known, tick)));
            }
            if before.is_some() {
                break;
            }
        }
        found
    }

    fn fits(&self, day: NaiveDate) -> bool {
        self.months.contains(&day.month())
            && self.days_of_month.contains(&day.day())
            && self.days_of_week.contains(&day.weekday().num_days_from_sunday())
    }

    /// The ticks of a local day.
    fn ticks(&self, day: NaiveDate, zone: Tz) -> Vec<DateTime<Utc>> {
        let any_hour = self.hours.len() == 24;
        let mut ticks = Vec::new();
        for hour in &self.hours {
            for minute in &self.minutes {
                let Some(local) = day.and_hms_opt(*hour, *minute, 0) else {
                    continue;
                };
                match zone.from_local_datetime(&local) {
                    MappedLocalTime::Single(tick) => ticks.push(tick.to_utc()),
                    MappedLocalTime::Ambiguous(first, second) => {
                        ticks.push(first.to_utc());
                        ticks.extend(any_hour.then(|| second.to_utc()));
                    }
                    MappedLocalTime::None => {
                        let gap = GapInfo::new(&local, &zone).and_then(|gap| gap.begin);
                        ticks.extend(
                            gap.and_then(|(_, offset)| local.checked_sub_offset(offset.fix()))
                                .map(|utc| utc.and_utc()),
                        );
                    }
                }
            }
        }
        ticks
    }
}

impl Field {
    const fn numbers(name: &'static str, least: u32, most: u32) -> Self {
        Self {
            name,
            least,
            most,
            words: &[],
            first_word: 0,
        }
    }

    fn read(&self, text: &str) -> Result<BTreeSet<u32>, CrontabError> {
        let mut numbers = BTreeSet::new();
        for part in text.split(',') {
            let part = self.part(part.trim()).ok_or_else(|| CrontabError::Field {
                field: self.name,
                text: text.to_owned(),
                least: self.least,
                most: self.most,
            })?;
            numbers.extend(part);
        }
        Ok(numbers)
    }

    /// `*`, `*/n`, `a`, `a-b` (around the end if b is less), `a-b/n`.
    fn part(&self, part: &str) -> Option<Vec<u32>> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, Some(step.parse::<usize>().ok().filter(|step| *step > 0)?)),
            None => (part, None),
        };
        let numbers: Vec<u32> = match range.split_once('-') {
            None if range == "*" => (self.least..=self.most).collect(),
            // Celery knows no step from a number on.
            None if step.is_some() => return None,
            None => vec![self.number(range)?],
            Some((from, to)) => match (self.number(from)?, self.number(to)?) {
                (from, to) if to < from => (from..=self.most).chain(self.least..=to).collect(),
                (from, to) => (from..=to).collect(),
            },
        };
        Some(numbers.into_iter().step_by(step.unwrap_or(1)).collect())
    }

    fn number(&self, text: &str) -> Option<u32> {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text
                .parse()
                .ok()
                .filter(|number| (self.least..=self.most).contains(number));
        }
        // Celery goes by the first three letters.
        let short = text.get(..3)?.to_ascii_lowercase();
        let place = self.words.iter().position(|word| *word == short)?;
        Some(self.first_word + u32::try_from(place).ok()?)
    }
}

#[cfg(test)]
mod tests;
