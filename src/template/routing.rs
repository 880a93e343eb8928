//! Routing: which versions of a machine live, and which new orders are born with.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use waybill_domain::{GraphVersion, OrderId};

use super::fault::{Fault, TemplateRule};
use super::node::Node;

/// The routing document of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// Which machine.
    pub machine: String,
    /// Counted from 1; a higher one replaces a lower one.
    pub revision: u32,
    /// Versions that orders may still be on.
    pub live: Vec<GraphVersion>,
    /// Versions that new orders are born with; the weights sum up to 100.
    pub active: Vec<Share>,
}

/// A version's share of new orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// Which version.
    pub version: GraphVersion,
    /// Per cent.
    pub weight: u32,
}

impl Routing {
    /// All new orders on one version; for a machine that has no other.
    pub(super) fn sole(machine: &str, version: GraphVersion) -> Self {
        let active = vec![Share { version, weight: 100 }];
        Self {
            machine: machine.to_owned(),
            revision: 1,
            live: vec![version],
            active,
        }
    }

    /// The version that an order is born with: by its id, so that a repeated creation chooses alike.
    pub fn choose(&self, order_id: OrderId) -> GraphVersion {
        choose(&self.active, order_id).expect("the weights of a checked routing sum up to 100")
    }

    pub(super) fn check(&self, published: &BTreeSet<GraphVersion>, body: &Node) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut refuse = |path: &[&str], rule: TemplateRule, message: String| {
            faults.push(Fault::new(body.locate(path), rule, message))
        };
        if self.revision == 0 {
            refuse(
                &["revision"],
                TemplateRule::RoutingRevision,
                "revision is 0, expected a number from 1".to_owned(),
            );
        }
        let mut live = BTreeSet::new();
        for (place, version) in self.live.iter().enumerate() {
            let path = ["live", &place.to_string()];
            if !published.contains(version) {
                refuse(
                    &path,
                    TemplateRule::RoutingVersionUnknown,
                    format!("version {version} of {} is not in this template", self.machine),
                );
            }
            if !live.insert(*version) {
                refuse(
                    &path,
                    TemplateRule::RoutingVersionTwice,
                    format!("version {version} is named twice"),
                );
            }
        }
        let mut active = BTreeSet::new();
        for (place, share) in self.active.iter().enumerate() {
            let path = ["active", &place.to_string(), "version"];
            if !live.contains(&share.version) {
                let message = format!("version {} is active but not live", share.version);
                refuse(&path, TemplateRule::ActiveNotLive, message);
            }
            if !active.insert(share.version) {
                let message = format!("version {} is named twice", share.version);
                refuse(&path, TemplateRule::RoutingVersionTwice, message);
            }
        }
        let sum: u64 = self.active.iter().map(|share| u64::from(share.weight)).sum();
        if !(1..=2).contains(&self.active.len()) {
            let message = format!("{} versions are active, expected one or two", self.active.len());
            refuse(&["active"], TemplateRule::TooManyActive, message);
        }
        if sum != 100 {
            refuse(
                &["active"],
                TemplateRule::WeightsNotHundred,
                format!("the weights sum up to {sum}, expected 100"),
            );
        }
        faults
    }
}

/// The version that an order is born with, by its id; none if the weights do not sum up to 100.
pub fn choose(shares: &[Share], order_id: OrderId) -> Option<GraphVersion> {
    let digest = Sha256::digest(order_id.to_string());
    // The whole digest modulo 100, byte by byte.
    let place = digest
        .iter()
        .fold(0_u32, |rest, byte| (rest * 256 + u32::from(*byte)) % 100);
    let mut end = 0;
    let share = shares.iter().find(|share| {
        end += share.weight;
        place < end
    });
    share.map(|share| share.version)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn canary() -> Routing {
        let active = vec![
            Share {
                version: GraphVersion(1),
                weight: 90,
            },
            Share {
                version: GraphVersion(2),
                weight: 10,
            },
        ];
        Routing {
            machine: "delivery-order".to_owned(),
            revision: 2,
            live: vec![GraphVersion(1), GraphVersion(2)],
            active,
        }
    }

    #[test]
    fn shares_of_new_orders_are_those_of_the_routing() {
        let chosen = (0..20_000_u128).map(|number| canary().choose(OrderId(Uuid::from_u128(number))));

        let second = chosen.filter(|version| *version == GraphVersion(2)).count();

        assert!((1_800..2_200).contains(&second), "{second} of 20000");
    }

    #[test]
    fn the_choice_is_the_digest_modulo_a_hundred() {
        // Computed elsewhere: the digests end in 30, 48, 94 and 99.
        for (number, version) in [(5, 1), (4, 1), (11, 2), (20, 2)] {
            assert_eq!(
                canary().choose(OrderId(Uuid::from_u128(number))),
                GraphVersion(version),
                "{number}"
            );
        }
    }
}
