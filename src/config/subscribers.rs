//! `WAYBILL_WEBHOOK_NETWORKS`, `WAYBILL_WEBHOOK_TIMEOUT_SECONDS`.

use std::time::Duration;

use super::SettingsError;
use super::reader::{Reader, Value};
use crate::outgoing::Network;

/// How subscribers of outgoing webhooks are reached.
#[derive(Debug, Clone)]
pub struct Subscribers {
    /// Networks beside the public internet that they may be in; there plain HTTP and any port are allowed too.
    pub networks: Vec<Network>,
    /// How long one may take to answer.
    pub timeout: Duration,
}

pub(super) fn read(reader: &mut Reader) -> Result<Subscribers, SettingsError> {
    let networks: Option<Networks> = reader.read_described("WAYBILL_WEBHOOK_NETWORKS", "the public internet only")?;
    let Seconds(timeout) = reader.read_or("WAYBILL_WEBHOOK_TIMEOUT_SECONDS", "15")?;
    Ok(Subscribers {
        networks: networks.map_or_else(Vec::new, |Networks(networks)| networks),
        timeout: Duration::from_secs(timeout),
    })
}

struct Networks(Vec<Network>);

impl Value for Networks {
    const EXPECTED: &'static str = "networks with commas between, such as 10.1.0.0/16,fd00:1::/32";

    fn parse(text: &str) -> Option<Self> {
        let networks: Option<Vec<_>> = text.split(',').map(|part| Network::parse(part.trim())).collect();
        networks.map(Self)
    }

    fn show(&self) -> String {
        let networks: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        networks.join(",")
    }
}

struct Seconds(u64);

impl Value for Seconds {
    const EXPECTED: &'static str = "whole seconds from 1 to 30";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|seconds| (1..=30).contains(seconds)).map(Self)
    }

    fn show(&self) -> String {
        self.0.to_string()
    }
}
