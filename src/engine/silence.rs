//! Deliveries that nobody hears of any more: the partner is asked, and what it says is taken like a callback.

use std::collections::BTreeSet;

use bytes::Bytes;
use chrono::TimeDelta;
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};
use waybill_domain::{Actor, Event, OrderId, Refusal, Role};
use waybill_tasks::orders::Seen;
use waybill_webhooks::{Adapter, Callback as Received};

use super::core::MACHINE;
use super::{Engine, EngineError};
use crate::store::record::Callback;

/// So long a partner may say nothing of a delivery that it has.
const SILENCE: TimeDelta = TimeDelta::hours(2);

/// The mark, among what is kept of a callback's headers, of one that was asked for. No partner can send it: of its
/// headers only a few names are kept, and this is none of them.
const ASKED: (&str, &str) = ("waybill-asked", "true");

impl Engine {
    /// Has the partner asked about orders that fell silent; answers of how many, or what was in the way of one of them. Safe at any
    /// time: an order is asked about once in two hours, and not again when that has failed.
    pub async fn ask_about_silent(&self, limit: i64) -> Result<usize, EngineError> {
        let states = self.awaiting_partner();
        let silent = self.core.store.silent_orders(&states, SILENCE, limit).await?;
        let asked = join_all(silent.iter().map(|order| self.reconcile(*order, false))).await;
        asked.into_iter().try_for_each(|asked| asked.map(drop))?;
        Ok(silent.len())
    }

    /// The states, of any version, that a partner's word leads out of.
    fn awaiting_partner(&self) -> BTreeSet<String> {
        let graphs = self.core.store.graphs(MACHINE);
        let states = graphs.iter().flat_map(|graph| graph.states());
        let awaited = states.filter(|state| {
            let mut edges = state.edges.values();
            edges.any(|edge| edge.actors.contains(&Role::DeliveryPartner))
        });
        awaited.map(|state| state.name.to_string()).collect()
    }

    /// Stores what the partner said when it was asked, if it is news.
    pub(super) async fn take_seen(&self, order: OrderId, seen: &Seen) -> Result<(), EngineError> {
        let told = waybill_webhooks::Seen {
            booking_id: seen.booking_id.clone(),
            status: seen.status.clone(),
            reason: seen.reason.clone(),
            partner_order_number: seen.partner_order_number.clone(),
        };
        if !self.is_news(order, &seen.partner, &told).await? {
            return Ok(());
        }
        let body = serde_json::to_vec(&told).expect("texts are JSON");
        let sha256: [u8; 32] = Sha256::digest(&body).into();
        let received = Received {
            partner: seen.partner.clone(),
            event_id: format!("asked:{order}:{}", hex::encode(&sha256[..12])),
            key_id: "asked".to_owned(),
            signed_at: None,
            headers: vec![(ASKED.0.to_owned(), ASKED.1.to_owned())],
            body: Bytes::from(body),
            sha256,
        };
        let stored = waybill_webhooks::Inbox::store(self, received).await;
        stored
            .map(drop)
            .map_err(|error| EngineError::Refused(error.to_string()))
    }

    /// Whether it would move the order, or is for an operator to see. What is known already makes no row each time.
    async fn is_news(&self, id: OrderId, partner: &str, seen: &waybill_webhooks::Seen) -> Result<bool, EngineError> {
        let Some(stored) = self.core.store.order(id).await? else {
            return Ok(false);
        };
        let order = &stored.loaded.order;
        let adapter = self.adapter_of(partner);
        let graph = self.graph_of(&stored.loaded.machine, order.graph_version).await?;
        let (Ok(report), Some(graph)) = (adapter.interpret(seen), graph) else {
            return Ok(true);
        };
        let Some(name) = report.kind.event() else {
            return Ok(false);
        };
        let now = self.core.store.now().await?;
        let event = Event {
            name,
            key: String::new(),
            actor: Actor {
                role: Role::DeliveryPartner,
                id: partner.to_owned(),
            },
            fields: report.fields,
            inferred: false,
            occurred_at: now,
        };
        let refused = order.decide(&graph, event, now).err();
        Ok(!matches!(
            refused,
            Some(Refusal::Duplicate { .. } | Refusal::Stale { .. })
        ))
    }

    pub(super) fn adapter_of(&self, partner: &str) -> Adapter {
        let adapters = &self.core.outside.adapters;
        adapters.get(partner).copied().unwrap_or(Adapter::Standard)
    }
}

/// Whether this callback was asked for: its body is what was seen, not what a partner sent.
pub(super) fn was_asked_for(callback: &Callback) -> bool {
    let mark = serde_json::json!([[ASKED.0, ASKED.1]]);
    callback.headers == mark
}
