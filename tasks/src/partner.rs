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
mod routing;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::orders::OrderRecord;
use routing::Routing;

pub use client::{Cancelled, Operation, PartnerClient};
pub use contract::{BookingRequest, Found, Parcel};
pub use dialect::Rebooking;
pub use error::PartnerError;
pub use settings::{Invalid, PartnerSettings, PartnersSettings, Rule};

/// Every configured partner, and the one that takes an order that names none.
#[derive(Debug)]
pub struct Partners {
    clients: BTreeMap<String, Arc<PartnerClient>>,
    default: Arc<PartnerClient>,
    routing: Routing,
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
        let routing = Routing::new(settings)?;
        Ok(Self {
            clients,
            default,
            routing,
        })
    }

    /// The one that takes an order that names none.
    pub fn default_partner(&self) -> &Arc<PartnerClient> {
        &self.default
    }

    /// Whom the rules of the partners file ask first about this order; none where no rule fits.
    pub fn first_for(&self, order: &OrderRecord) -> Option<&Arc<PartnerClient>> {
        self.get(self.routing.of(order).first()?)
    }

    /// Whom they ask after this one.
    pub fn next_after(&self, order: &OrderRecord, partner: &str) -> Option<&Arc<PartnerClient>> {
        self.get(self.routing.after(order, partner)?)
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
