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
mod strategy;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::orders::{OrderRecord, Work};
use routing::Routing;
use settings::Price;
use strategy::Offer;

pub use client::{Cancelled, Operation, PartnerClient};
pub use contract::{BookingRequest, Found, Parcel};
pub use dialect::Rebooking;
pub use error::PartnerError;
pub use settings::{Invalid, PartnerSettings, PartnersSettings, Rule};
pub use strategy::{Quote, StrategyName};

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

    /// Whom the rules of the partners file ask next about this order: by the strategy of the first rule that fits, one that was
    /// not asked before. None where no rule fits, or nobody is left. `booking` is what a partner is asked to quote for.
    pub async fn choose(
        &self,
        work: &Work,
        refused: Option<&str>,
        booking: impl Fn(&PartnerClient) -> BookingRequest,
    ) -> Option<&Arc<PartnerClient>> {
        let (rule, left) = self.left(work, refused)?;
        let strategy = rule.strategy.strategy();
        if !strategy.wants_quotes() || left.len() < 2 {
            return left.first().copied();
        }
        let quotes = left
            .iter()
            .map(|client| self.quote(client, &work.order, booking(client)));
        let quotes = join_all(quotes).await;
        let offers = left.iter().zip(quotes);
        let offers: Vec<_> = offers
            .map(|(client, quote)| Offer {
                partner: client.name(),
                quote,
            })
            .collect();
        let chosen = strategy.choose(&offers).map(|offer| offer.partner);
        chosen.map_or(left.first().copied(), |name| self.get(name))
    }

    /// Whether the rules name another partner for this order, one that was not asked before.
    pub fn has_other(&self, work: &Work, partner: &str) -> bool {
        self.left(work, Some(partner)).is_some_and(|(_, left)| !left.is_empty())
    }

    fn left(&self, work: &Work, refused: Option<&str>) -> Option<(&Rule, Vec<&Arc<PartnerClient>>)> {
        let rule = self.routing.of(&work.order)?;
        let asked = |name: &str| refused == Some(name) || work.asked.iter().any(|known| known == name);
        let left = rule.partners.iter().filter(|name| !asked(name));
        Some((rule, left.filter_map(|name| self.get(name)).collect()))
    }

    /// What it takes: by its answer where it can be asked, else by its price list.
    async fn quote(&self, client: &PartnerClient, order: &OrderRecord, booking: BookingRequest) -> Option<Quote> {
        match client.quote(&booking).await {
            Ok(quote) => Some(quote),
            // Who refuses to quote would refuse the booking.
            Err(PartnerError::Rejected { .. }) => None,
            Err(_) => Price::find(client.prices(), order),
        }
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
