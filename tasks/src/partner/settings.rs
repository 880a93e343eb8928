//! The partners file as far as calling partners goes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::breaker::BreakerSettings;
use super::strategy::StrategyName;

/// The partners file: every partner by name, and which of them takes an order that names none.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnersSettings {
    /// The partners by name.
    pub partners: BTreeMap<String, PartnerSettings>,
    /// The name of the one that takes an order that names none.
    pub default: String,
    /// Who takes an order instead, by where it goes: the first rule that fits.
    #[serde(default)]
    pub routing: Vec<Rule>,
}

/// Which partners take an order, and which orders those are. What a rule leaves out fits every order.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Countries of the drop-off (ISO 3166-1 alpha-2).
    pub countries: Vec<String>,
    /// What the postal code of the drop-off begins with.
    pub postal_codes: Vec<String>,
    /// So many pieces at most.
    pub pieces_at_most: Option<u64>,
    /// What was paid for the ordering.
    pub price_class: Option<PriceClass>,
    /// Their names. Where the one that was asked is known not to have booked, another is asked.
    pub partners: Vec<String>,
    /// Which of them is asked first, and which next.
    pub strategy: StrategyName,
}

/// Orderings by what was paid for them, in the smallest unit of the currency.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceClass {
    /// ISO 4217, in capitals.
    pub currency: String,
    /// From this amount on (0).
    #[serde(default)]
    pub at_least: i64,
    /// Up to this amount, without it.
    #[serde(default)]
    pub below: Option<i64>,
}

/// What a partner takes, by its price list: for a partner that cannot be asked.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Countries of the drop-off (ISO 3166-1 alpha-2); all where none is named.
    #[serde(default)]
    pub countries: Vec<String>,
    /// So many pieces at most.
    #[serde(default)]
    pub pieces_at_most: Option<u64>,
    /// The price, in the smallest unit of the currency.
    pub minor_units: i64,
    /// ISO 4217, in capitals.
    pub currency: String,
    /// How long it takes to the door (`minutes`).
    #[serde(default, rename = "minutes", deserialize_with = "minutes")]
    pub takes: Option<Duration>,
}

/// One partner. What the file leaves out keeps its default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartnerSettings {
    /// Which contract it speaks.
    pub adapter: Adapter,
    /// Where its API is; the paths of its language are appended.
    pub base_url: String,
    /// With what we prove who we are.
    #[serde(default)]
    pub credentials: Credentials,
    /// What its callbacks are signed with: read by the webhooks, not here.
    #[serde(default)]
    pub secrets: IgnoredAny,
    /// What its contract allows us per second; nothing said, nothing limited.
    #[serde(default)]
    pub rate: Option<RateSettings>,
    /// When to stop calling it.
    #[serde(default)]
    pub breaker: BreakerSettings,
    /// How many calls may be under way.
    #[serde(default)]
    pub bulkhead: BulkheadSettings,
    /// How long to wait for it.
    #[serde(default)]
    pub timeouts: TimeoutSettings,
    /// How long an order waits for it, while its breaker is open or nobody is free, before the next of its rule is asked
    /// (`patience_ms`, 10 min).
    #[serde(default = "ten_minutes", rename = "patience_ms", deserialize_with = "milliseconds")]
    pub patience: Duration,
    /// Its price list, for rules that choose by quotes: where it can be asked for a quote, the answer counts.
    #[serde(default)]
    pub prices: Vec<Price>,
    /// What its language wants to know beside: a market, a service, a parcel's measures.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl PartnerSettings {
    /// A partner of the standard contract at `base_url`, everything else by default.
    pub fn standard(base_url: impl Into<String>) -> Self {
        Self {
            adapter: Adapter::Standard,
            base_url: base_url.into(),
            credentials: Credentials::default(),
            secrets: IgnoredAny,
            rate: None,
            breaker: BreakerSettings::default(),
            bulkhead: BulkheadSettings::default(),
            timeouts: TimeoutSettings::default(),
            patience: ten_minutes(),
            prices: Vec::new(),
            options: BTreeMap::new(),
        }
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }
}

fn ten_minutes() -> Duration {
    Duration::from_secs(600)
}

/// Which language a partner speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Adapter {
    /// Our own contract.
    Standard,
    /// AfterShip, which only tracks.
    Aftership,
    /// DoorDash Drive.
    Doordash,
    /// EasyPost.
    Easypost,
    /// Lalamove.
    Lalamove,
    /// Onfleet.
    Onfleet,
    /// Sendcloud.
    Sendcloud,
    /// Shippo.
    Shippo,
    /// Stuart.
    Stuart,
    /// Uber Direct.
    Uber,
}

/// With what we prove who we are to a partner. Which of them it wants is its language's matter.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Credentials {
    /// A bearer token.
    pub bearer: Option<SecretString>,
    /// A file that holds the bearer token.
    pub bearer_file: Option<PathBuf>,
    /// An API key, or the id of a client.
    pub key: Option<SecretString>,
    /// A file that holds it.
    pub key_file: Option<PathBuf>,
    /// The secret that belongs to the key.
    pub secret: Option<SecretString>,
    /// A file that holds it.
    pub secret_file: Option<PathBuf>,
    /// Who we are there: a customer's or developer's id, which is no secret.
    pub account: Option<String>,
    /// Where tokens are fetched, if not where the partner usually has them.
    pub token_url: Option<String>,
}

impl Credentials {
    pub(super) fn bearer(&self) -> Result<Option<SecretString>, Invalid> {
        read_secret(&self.bearer, &self.bearer_file, "credentials.bearer_file")
    }

    pub(super) fn key(&self, field: &str) -> Result<SecretString, Invalid> {
        read_secret(&self.key, &self.key_file, "credentials.key_file")?
            .ok_or_else(|| Invalid::new(field, "the key that the partner has given us"))
    }

    pub(super) fn secret(&self, field: &str) -> Result<SecretString, Invalid> {
        read_secret(&self.secret, &self.secret_file, "credentials.secret_file")?
            .ok_or_else(|| Invalid::new(field, "the secret that belongs to the key"))
    }
}

fn read_secret(
    value: &Option<SecretString>,
    file: &Option<PathBuf>,
    field: &str,
) -> Result<Option<SecretString>, Invalid> {
    let Some(path) = file else {
        return Ok(value.clone());
    };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Invalid::new(field, format!("a readable file ({error})")))?;
    Ok(Some(text.trim().into()))
}

/// What a partner's contract allows us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateSettings {
    /// Calls per second in the long run.
    pub per_second: u32,
    /// Calls at once after a pause; as many as per second if left out.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// How many calls to a partner may be under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BulkheadSettings {
    /// At the same time (16).
    pub calls: usize,
    /// And waiting for their turn (32).
    pub waiting: usize,
    /// How long one waits for its turn (`wait_ms`, 200 ms).
    #[serde(rename = "wait_ms", deserialize_with = "milliseconds")]
    pub wait: Duration,
}

impl Default for BulkheadSettings {
    fn default() -> Self {
        Self {
            calls: 16,
            waiting: 32,
            wait: Duration::from_millis(200),
        }
    }
}

/// How long to wait for a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutSettings {
    /// For a connection (`connect_ms`, 1 s).
    #[serde(rename = "connect_ms", deserialize_with = "milliseconds")]
    pub connect: Duration,
    /// For the next byte (`read_ms`, 3 s).
    #[serde(rename = "read_ms", deserialize_with = "milliseconds")]
    pub read: Duration,
    /// For one try as a whole (`try_ms`, 3 s).
    #[serde(rename = "try_ms", deserialize_with = "milliseconds")]
    pub per_try: Duration,
}

impl Default for TimeoutSettings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            read: Duration::from_secs(3),
            per_try: Duration::from_secs(3),
        }
    }
}

/// A setting of a partner that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{field} must be {expected}")]
pub struct Invalid {
    /// Which setting.
    pub field: String,
    /// What is expected of it.
    pub expected: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            expected: expected.into(),
        }
    }

    pub(crate) fn of_partner(self, name: &str) -> Self {
        Self {
            field: format!("partners.{name}.{}", self.field),
            ..self
        }
    }
}

fn minutes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let minutes = Option::<u32>::deserialize(deserializer)?;
    Ok(minutes.map(|minutes| Duration::from_secs(u64::from(minutes) * 60)))
}

pub(crate) fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}
