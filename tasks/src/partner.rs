//! The delivery partners: how to call one without being hurt by it, and without booking anything twice.

pub mod breaker;
pub mod client;
pub mod contract;
pub mod error;
pub mod settings;

mod adapters;
mod address;
mod auth;
mod budget;
mod bulkhead;
mod dialect;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use client::{Cancelled, Operation, PartnerClient};
pub use contract::{BookingRequest, Found, Parcel};
pub use dialect::Rebooking;
pub use error::PartnerError;
pub use settings::{Invalid, PartnerSettings, PartnersSettings};

/// Every configured partner, and the one that takes an order that names none.
#[derive(Debug)]
pub struct Partners {
    clients: BTreeMap<String, Arc<PartnerClient>>,
    default: Arc<PartnerClient>,
}

/// The breaker of one operation of one partner, for `status`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerStatus {
    /// The partner's name.
    pub partner: String,
    /// Which operation.
    pub operation: Operation,
    /// How its breaker is.
    pub breaker: breaker::Snapshot,
}

impl Partners {
    /// The partners of a checked file. Needs a process-wide TLS provider.
    pub fn new(settings: &PartnersSettings) -> Result<Self, Invalid> {
        let mut clients = BTreeMap::new();
        for (name, partner) in &settings.partners {
            let client = PartnerClient::new(name, partner).map_err(|invalid| invalid.of_partner(name))?;
            clients.insert(name.clone(), Arc::new(client));
        }
        let default = clients.get(&settings.default).cloned();
        let default = default.ok_or_else(|| Invalid::new("default", "the name of one of the partners"))?;
        Ok(Self { clients, default })
    }

    /// The one that takes an order that names none.
    pub fn default_partner(&self) -> &Arc<PartnerClient> {
        &self.default
    }

    /// The partner of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<PartnerClient>> {
        self.clients.get(name)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<PartnerClient>> {
        self.clients.values()
    }

    /// Every breaker of every partner.
    pub fn status(&self) -> Vec<BreakerStatus> {
        self.iter().flat_map(|client| client.status()).collect()
    }
}
