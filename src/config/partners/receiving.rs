//! Who may knock at the partners' door: `receiving` in the partners file, and `addresses` of a partner.

use std::num::NonZeroU32;

use ipnet::IpNet;
use serde::Deserialize;
use serde_json::{Map, Value};
use waybill_webhooks::Doors;
use waybill_webhooks::doors::{CALLBACKS_PER_MINUTE, Limits, Proxies, REJECTIONS_PER_MINUTE};

use super::fault::{self, Fault};

/// More than people do, and a mail scanner of a whole firm.
const VISITS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6000).expect("it is not zero");

/// Where callbacks come from, and how many of them may be wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receiving {
    /// Networks of our own proxies: only they are believed about whom a request comes from.
    pub trusted_proxies: Vec<IpNet>,
    /// Callbacks of one address (of one /64 in IPv6) that may fail verification in a minute (120); then it is not listened to
    /// for a while.
    pub rejections_per_minute: NonZeroU32,
    /// Callbacks of one partner that are taken in a minute (600,000); one too many is answered 429 with `Retry-After`, and is
    /// to be sent again.
    pub callbacks_per_minute: NonZeroU32,
    /// Requests of one address (of one /64 in IPv6) to the customers' and couriers' pages in a minute (6000).
    pub visits_per_minute: NonZeroU32,
}

impl Default for Receiving {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            rejections_per_minute: REJECTIONS_PER_MINUTE,
            callbacks_per_minute: CALLBACKS_PER_MINUTE,
            visits_per_minute: VISITS_PER_MINUTE,
        }
    }
}

impl Receiving {
    /// Taken out: whoever calls partners does not know it.
    pub(super) fn take(document: &mut Value) -> Result<Self, Fault> {
        let given = document.as_object_mut().and_then(|file| file.remove("receiving"));
        given.map_or_else(|| Ok(Self::default()), |given| fault::deserialize(given, "receiving"))
    }

    /// The doors that the receiver has.
    pub fn doors(&self) -> Doors {
        let limits = Limits {
            rejections: self.rejections_per_minute,
            callbacks: self.callbacks_per_minute,
        };
        Doors::new(self.proxies(), limits)
    }

    /// Our own proxies.
    pub fn proxies(&self) -> Proxies {
        Proxies::new(self.trusted_proxies.clone())
    }
}

/// Networks such as `192.0.2.0/24`, or single addresses; none where nothing is said.
pub(super) fn take_networks(entry: &mut Map<String, Value>, name: &str, place: &str) -> Result<Vec<IpNet>, Fault> {
    let Some(given) = entry.remove(name) else {
        return Ok(Vec::new());
    };
    let place = format!("{place}.{name}");
    let texts: Vec<String> = fault::deserialize(given, &place)?;
    let networks = texts.iter().enumerate().map(|(index, text)| {
        let single = || text.parse().map(|address: std::net::IpAddr| IpNet::from(address));
        text.parse().or_else(|_| single()).map_err(|_| {
            let expected = "an address, or a network such as 192.0.2.0/24";
            Fault::new(format!("{place}[{index}]"), super::super::error::quote(text), expected)
        })
    });
    networks.collect()
}
