//! What the machine `delivery-order` has beside its instances: a record that follows its states, and rules of its own.

use serde_json::Value as Json;
use waybill_domain::{Graph, OrderId, Outcome, Role, State, StateName, Transition};
use waybill_webhooks::ReportKind;

use super::core::{Core, text};
use crate::store::record::Record;
use crate::store::{Place, Unit};

/// The event by which a delivery order comes into being.
pub(super) const CREATED: &str = "DELIVERY_ORDER_CREATED";

/// What the record learns from entering a state.
pub(super) fn enter(record: &mut Record, state: &State, transition: &Transition) {
    if state.requires.iter().any(|field| *field == "failure_reason") {
        record.failed = true;
    }
    record.failure_reason = record
        .failure_reason
        .take()
        .or_else(|| text(&transition.fields, "failure_reason"));
    if record.partner_order_number.is_none() {
        record.partner_order_number = text(&transition.fields, "partner_order_number");
    }
    if let Some(outcome) = state.outcome {
        record.outcome = Some(outcome.as_str().to_owned());
        record.live = false;
    }
    if state.outcome == Some(Outcome::Success) {
        record.confirmed_by = Some(confirmed_by(transition.actor.role).to_owned());
    }
}

/// Whether the partner has the parcel from that state on: the report of a pick-up leads there.
pub(super) fn is_collected(graph: &Graph, state: &StateName) -> bool {
    let picked_up = ReportKind::PickedUp.event();
    picked_up.is_some_and(|event| graph.edges(event.as_str()).any(|(_, edge)| edge.to == *state))
}

fn confirmed_by(role: Role) -> &'static str {
    match role {
        Role::Customer | Role::Service => "customer",
        Role::System | Role::PaymentService | Role::DeliveryPartner => "system",
        Role::Operator => "operator",
    }
}

impl Core {
    /// Whether another live order of the same partner has this number. The command must need the number.
    pub(super) fn is_taken(unit: &Unit, id: OrderId, number: &str) -> bool {
        let partner = unit
            .orders
            .get(&id)
            .and_then(|loaded| loaded.record.as_ref()?.partner.clone());
        let owner = partner.and_then(|partner| unit.numbers.get(&(partner, number.to_owned())));
        owner.is_some_and(|owner| *owner != id)
    }

    /// The record of the new order for the same ordering, linked both ways; none where the old one is no delivery order.
    pub(super) fn succeeding_record(
        &self,
        unit: &mut Unit,
        old: OrderId,
        new: OrderId,
        extra: &Json,
    ) -> Option<Record> {
        let (old_place, new_place) = (old.to_string(), new.to_string());
        let place = |column, row| Place {
            table: "delivery_orders",
            column,
            row,
        };
        let predecessor = unit.orders.get_mut(&old)?.record.as_mut()?;
        predecessor.successor_id = Some(new);
        let record = predecessor.clone();
        let crypt = &self.store;
        let reseal = |column, blob: &[u8]| {
            let plain = crypt.unseal(place(column, &old_place), blob).unwrap_or(Json::Null);
            crypt.seal(place(column, &new_place), &plain)
        };
        let dropoff = match extra.get("dropoff") {
            Some(dropoff) if dropoff.is_object() => crypt.seal(place("dropoff", &new_place), dropoff),
            _ => reseal("dropoff", &record.dropoff),
        };
        let partner = extra.get("partner").and_then(Json::as_str).map(str::to_owned);
        Some(Record {
            attempt: record.attempt + 1,
            predecessor_id: Some(old),
            successor_id: None,
            // Named by nobody, it is for the rules of the partners file.
            partner,
            partner_booking_id: None,
            partner_order_number: None,
            tracking_url: None,
            failure_reason: None,
            failed: false,
            outcome: None,
            confirmed_by: None,
            pickup: reseal("pickup", &record.pickup),
            dropoff,
            live: true,
            ..record
        })
    }
}
