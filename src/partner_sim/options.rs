//! How the simulated partner behaves; also the arguments of `waybill partner-sim`.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;

use super::dialects::Speaks;
use super::secret::CallbackSecret;

/// How the simulated partner behaves. Shares (`P`) are between 0 and 1.
#[derive(Debug, Clone, Args)]
pub struct SimulatorOptions {
    /// Where to listen; port 0 takes any free one.
    #[arg(long, value_name = "A", default_value = "127.0.0.1:8090")]
    pub addr: SocketAddr,
    /// Which partner it is: how it is asked, what it answers, how it signs, what it calls things.
    #[arg(long, value_enum, value_name = "PARTNER", default_value = "standard")]
    pub speaks: Speaks,
    /// Where it reports to, unless a booking says so.
    #[arg(long, value_name = "URL")]
    pub callback_url: Option<String>,
    /// Same seed, same fate of every reference.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Share of deliveries that fail, at pick-up or at the door.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub fail: f64,
    /// Share of bookings that are refused for good.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub reject: f64,
    /// Share of requests answered by 500 or 503, with nothing done.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub error: f64,
    /// Share of bookings that are made, and then answered by 500.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub error_after_booking: f64,
    /// Share of repeated bookings whose key is forgotten: they are answered 409 with the earlier id, by a partner with keys.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub forget: f64,
    /// Share of callbacks that are never told: only who asks finds out.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub lose: f64,
    /// Share of callbacks whose first answer does not reach the partner, so that it tells them again.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub unheard: f64,
    /// Share of callbacks that are told twice.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub duplicate: f64,
    /// Share of deliveries whose end is told before their pick-up.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub reorder: f64,
    /// Share of callbacks that come with a wrongly signed copy first.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub wrong_signature: f64,
    /// Share of bookings that are not answered within 30 seconds; half of them are made.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub hang: f64,
    /// Share of bookings that are not answered within 30 seconds, and made after the time of four legs.
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share)]
    pub late: f64,
    /// Every request is answered by 503 from START for LENGTH seconds, such as `20+40`.
    #[arg(long, value_name = "START+LENGTH")]
    pub outage: Option<Outage>,
    /// About how long each leg takes, such as `2s` or `500ms`.
    #[arg(long, value_name = "D", default_value = "2s", value_parser = duration)]
    pub walk_delay: Duration,
    /// What callbacks are signed with, in the partner's form: `whsec_` and base64 for `standard`, hexadecimal for `onfleet`.
    #[arg(long, value_name = "S")]
    pub callback_secret: CallbackSecret,
}

impl SimulatorOptions {
    /// A partner on any free port that does everything right.
    pub fn honest(callback_secret: CallbackSecret) -> Self {
        Self {
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            speaks: Speaks::Standard,
            callback_url: None,
            seed: 1,
            fail: 0.0,
            reject: 0.0,
            error: 0.0,
            error_after_booking: 0.0,
            forget: 0.0,
            lose: 0.0,
            unheard: 0.0,
            duplicate: 0.0,
            reorder: 0.0,
            wrong_signature: 0.0,
            hang: 0.0,
            late: 0.0,
            outage: None,
            walk_delay: Duration::from_secs(2),
            callback_secret,
        }
    }
}

/// A time in which the partner is away, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When it begins.
    pub start: Duration,
    /// How long it lasts.
    pub length: Duration,
}

impl Outage {
    pub(super) fn covers(&self, elapsed: Duration) -> bool {
        (self.start..self.start + self.length).contains(&elapsed)
    }
}

impl FromStr for Outage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (start, length) = text
            .split_once('+')
            .ok_or("expected START+LENGTH in seconds, such as 20+40")?;
        Ok(Self {
            start: duration(start)?,
            length: duration(length)?,
        })
    }
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "expected a share between 0 and 1".to_owned())
}

/// `500ms`, `2s`, `1m`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = if let Some(number) = text.strip_suffix("ms") {
        (number, 0.001)
    } else if let Some(number) = text.strip_suffix('s') {
        (number, 1.0)
    } else if let Some(number) = text.strip_suffix('m') {
        (number, 60.0)
    } else {
        (text, 1.0)
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit);
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.ok_or_else(|| format!("{text:?} is no duration: expected one such as 500ms, 2s or 1m"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        options: SimulatorOptions,
    }

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn the_command_line_is_read_as_it_is_documented() {
        let line = format!(
            "partner-sim --addr 127.0.0.1:9 --seed 7 --fail 0.1 --error-after-booking 0.2 --duplicate 0.3 --reorder 0.4 \
             --hang 0.5 --outage 20+40 --walk-delay 500ms --wrong-signature 0.6 --reject 0.7 --error 0.8 \
             --speaks uber --callback-url http://127.0.0.1:8/webhooks/uber --forget 0.9 --lose 0.15 --unheard 0.25 --late 0.35 \
             --callback-secret {SECRET}"
        );

        let options = Command::try_parse_from(line.split_whitespace()).unwrap().options;

        assert_eq!(
            (options.addr.port(), options.seed, options.walk_delay.as_millis()),
            (9, 7, 500)
        );
        assert_eq!(
            (options.fail, options.error_after_booking, options.duplicate),
            (0.1, 0.2, 0.3)
        );
        assert_eq!(
            (options.reorder, options.hang, options.wrong_signature),
            (0.4, 0.5, 0.6)
        );
        assert_eq!((options.reject, options.error, options.late), (0.7, 0.8, 0.35));
        assert_eq!((options.forget, options.lose, options.unheard), (0.9, 0.15, 0.25));
        assert_eq!(
            (options.speaks, options.callback_url.as_deref()),
            (Speaks::Uber, Some("http://127.0.0.1:8/webhooks/uber"))
        );
        assert_eq!(options.outage.map(|outage| outage.length.as_secs()), Some(40));
        assert!(!format!("{options:?}").contains("C2FVs"));
    }

    #[test]
    fn what_is_no_share_and_no_secret_is_refused() {
        for wrong in [
            ["--fail", "1.5"],
            ["--fail", "-1"],
            ["--callback-secret", "short"],
            ["--outage", "20"],
            ["--speaks", "pigeon"],
        ] {
            let line = ["partner-sim", "--callback-secret", SECRET].into_iter().chain(wrong);
            assert!(Command::try_parse_from(line).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        let read = ["500ms", "2s", "1.5s", "1m", "20"].map(|text| duration(text).unwrap().as_millis());

        assert_eq!(read, [500, 2_000, 1_500, 60_000, 20_000]);
        assert!(
            ["", "s", "-1s", "fast", "NaN"]
                .iter()
                .all(|text| duration(text).is_err())
        );
    }

    #[test]
    fn an_outage_begins_at_its_start_and_ends_after_its_length() {
        let outage: Outage = "20+40".parse().unwrap();

        let covered = [19, 20, 59, 60].map(|second| outage.covers(Duration::from_secs(second)));

        assert_eq!(covered, [false, true, true, false]);
        assert!("20".parse::<Outage>().is_err());
    }
}
