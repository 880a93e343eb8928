//! Payments: what was told of them, and what follows.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use waybill_domain::{
    Actor, CancelReason, Edge, Event, EventName, Fields, Graph, OrderId, Outcome, Refusal, Role, StateName,
};

use super::core::{Core, MACHINE};
use super::delivery::{CREATED, is_collected};
use super::{Engine, EngineError, new_order_id};
use crate::store::committer::Command;
use crate::store::record::{InboxRow, Payment, PaymentState, Record};
use crate::store::{Needs, Place, Unit, digest};

/// The inbox's name for what is told of payments.
const SOURCE: &str = "payment";

/// A refund that moves nothing.
const REFUNDED: &str = "PAYMENT_REFUNDED";

/// An ordering was paid for.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each field is named and described in interfaces: payment events"
)]
pub struct Paid {
    /// Key of the event: its id, or `source` and `id` of a CloudEvent.
    pub key: String,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: String,
    pub ordering_id: String,
    pub customer_id: String,
    pub locale: String,
    pub amount: Amount,
    /// Where the physical lines are picked up and delivered; present where there are any.
    pub addresses: Option<Addresses>,
    /// The physical lines, as they were told.
    pub physical_items: Vec<Json>,
    /// The whole `data`, whose digest tells whether a key was used for something else.
    pub data: Json,
}

/// Where a delivery starts and ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Addresses {
    /// The shop.
    pub pickup: Json,
    /// The customer.
    pub dropoff: Json,
}

/// Money, in minor units of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// Such as cents.
    pub minor_units: i64,
    /// ISO 4217.
    pub currency: String,
}

/// A payment was given back, whole or in part.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "each field is named and described in interfaces: payment events"
)]
pub struct Refunded {
    pub key: String,
    pub occurred_at: DateTime<Utc>,
    pub payment_id: String,
    pub ordering_id: String,
    pub amount: Amount,
    pub data: Json,
}

/// What follows from what was told of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// A delivery order was created.
    Created(OrderId),
    /// The delivery order was cancelled.
    Cancelled(OrderId),
    /// Recorded; nothing is to be delivered, or an operator has a case.
    Recorded,
    /// Told before.
    Duplicate,
    /// The key was used before for something else.
    KeyConflict,
}

impl Engine {
    /// An ordering was paid for: creates its delivery order, once.
    pub async fn paid(&self, paid: Paid) -> Result<Followed, EngineError> {
        Ok(self
            .committer
            .submit(TakePayment {
                core: self.core.clone(),
                paid,
                id: new_order_id(),
            })
            .await?)
    }

    /// A payment was given back. All of it cancels the delivery order if nobody has picked it up, and prevents it if it is not
    /// there yet; a part is an operator's.
    pub async fn refunded(&self, refunded: Refunded) -> Result<Followed, EngineError> {
        let mut live = self.core.store.live_order(&refunded.ordering_id).await?;
        loop {
            let command = TakeRefund {
                core: self.core.clone(),
                refunded: refunded.clone(),
                live,
            };
            match self.committer.submit(command).await? {
                Ok(followed) => return Ok(followed),
                Err(Meanwhile(other)) => live = other,
            }
        }
    }
}

/// Whether this key was told before: with the same content, or with another one.
fn told_before(unit: &Unit, key: &str, content: &[u8]) -> Option<Followed> {
    let row = unit.inbox.get(&(SOURCE, key.to_owned()))?;
    Some(if row.payload_hash == content {
        Followed::Duplicate
    } else {
        Followed::KeyConflict
    })
}

fn told(key: &str, content: Vec<u8>, order: Option<(OrderId, i64)>, outcome: &str) -> InboxRow {
    InboxRow {
        source: SOURCE,
        key: key.to_owned(),
        order_id: order.map(|(id, _)| id),
        sequence: order.map(|(_, sequence)| sequence),
        outcome: outcome.to_owned(),
        payload_hash: content,
    }
}

struct TakePayment {
    core: Arc<Core>,
    paid: Paid,
    id: OrderId,
}

impl Command for TakePayment {
    type Answer = Followed;

    fn needs(&self) -> Needs {
        Needs {
            inbox: vec![(SOURCE, self.paid.key.clone())],
            orderings: BTreeSet::from([self.paid.ordering_id.clone()]),
            payments: BTreeSet::from([self.paid.payment_id.clone()]),
            births: BTreeSet::from([MACHINE.into()]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Followed {
        let paid = &self.paid;
        let content = digest(&json!(["payment.succeeded", paid.data]));
        if let Some(answer) = told_before(unit, &paid.key, &content) {
            return answer;
        }
        let record = |unit: &mut Unit, order, outcome: &str| {
            unit.writes.inbox.push(told(&paid.key, content.clone(), order, outcome))
        };
        let refunded = match unit.payments.get(&paid.payment_id) {
            None => None,
            Some(known) if known.state != PaymentState::Prevented => {
                record(unit, None, "duplicate");
                return Followed::Duplicate;
            }
            Some(known)
                if known.currency == paid.amount.currency && known.refunded_units >= paid.amount.minor_units =>
            {
                record(unit, None, "prevented");
                return Followed::Duplicate;
            }
            Some(known) => Some(known.clone()),
        };
        let ordering = unit.orderings.get(&paid.ordering_id).cloned().unwrap_or_default();
        let state = match (&paid.addresses, ordering.live_order_id) {
            (None, _) => PaymentState::Seen,
            (Some(_), Some(_)) => PaymentState::Second,
            (Some(_), None) => PaymentState::Ordered,
        };
        unit.writes
            .orderings
            .insert(paid.ordering_id.clone(), Some(paid.customer_id.clone()));
        unit.writes.payments.push(Payment {
            payment_id: paid.payment_id.clone(),
            ordering_id: paid.ordering_id.clone(),
            event_key: paid.key.clone(),
            state,
            minor_units: paid.amount.minor_units,
            currency: paid.amount.currency.clone(),
            refunded_units: refunded
                .as_ref()
                .filter(|refunded| refunded.currency == paid.amount.currency)
                .map_or(0, |refunded| refunded.refunded_units),
        });
        match (&paid.addresses, ordering.live_order_id) {
            (None, _) => {
                record(unit, None, "nothing-to-deliver");
                Followed::Recorded
            }
            (Some(_), Some(live)) => {
                let detail = json!({ "ordering_id": paid.ordering_id, "payment_id": paid.payment_id, "live_delivery_order_id": live });
                let subject = format!("second-payment:{}", paid.payment_id);
                self.core
                    .open_case(unit, "second-payment", subject, Some(live), "SECOND_PAYMENT", detail);
                record(unit, None, "second-payment");
                Followed::Recorded
            }
            (Some(addresses), None) => {
                let event = Event {
                    name: CREATED.into(),
                    key: format!("payment:{}", paid.key),
                    actor: Actor {
                        role: Role::PaymentService,
                        id: "payments".to_owned(),
                    },
                    fields: Fields::new(),
                    inferred: false,
                    occurred_at: paid.occurred_at,
                };
                let taken = Some(self.record(addresses, ordering.attempts + 1));
                let birth = self.core.give_birth(unit, &MACHINE.into(), self.id, event, taken);
                if let (Some(_), Some(refunded)) = (&birth, refunded) {
                    self.refunded_before(refunded).tell_operator(unit, self.id, false, None);
                }
                record(unit, birth.map(|birth| (self.id, birth.revision.0)), "created");
                Followed::Created(self.id)
            }
        }
    }
}

impl TakePayment {
    /// What was given back before the payment was told, as if it were told now. Of several refunds it is the sum, by the key of the first.
    fn refunded_before(&self, refunded: Payment) -> TakeRefund {
        TakeRefund {
            core: self.core.clone(),
            refunded: Refunded {
                key: refunded.event_key,
                occurred_at: self.paid.occurred_at,
                payment_id: refunded.payment_id,
                ordering_id: refunded.ordering_id,
                amount: Amount {
                    minor_units: refunded.refunded_units,
                    currency: refunded.currency,
                },
                data: Json::Null,
            },
            live: Some(self.id),
        }
    }

    fn record(&self, addresses: &Addresses, attempt: i64) -> Record {
        let row = self.id.to_string();
        let seal = |column, value| {
            self.core.store.seal(
                Place {
                    table: "delivery_orders",
                    column,
                    row: &row,
                },
                value,
            )
        };
        Record {
            ordering_id: self.paid.ordering_id.clone(),
            customer_id: self.paid.customer_id.clone(),
            payment_id: self.paid.payment_id.clone(),
            attempt,
            predecessor_id: None,
            successor_id: None,
            partner: Some(self.core.outside.default_partner.clone()),
            partner_booking_id: None,
            partner_order_number: None,
            tracking_url: None,
            failure_reason: None,
            failed: false,
            outcome: None,
            confirmed_by: None,
            locale: self.paid.locale.clone(),
            items: Json::Array(self.paid.physical_items.clone()),
            pickup: seal("pickup", &addresses.pickup),
            dropoff: seal("dropoff", &addresses.dropoff),
            live: true,
        }
    }
}

/// The event by which whoever tells of payments calls an order off: out of this state where one leads, else out of another one.
fn calling_off(graph: &Graph, state: &StateName) -> Option<EventName> {
    let is_called_off = |edge: &&Edge| {
        let outcome = graph.state(edge.to.as_str()).and_then(|end| end.outcome);
        edge.actors.contains(&Role::PaymentService) && outcome == Some(Outcome::Cancelled)
    };
    let here = graph.state(state.as_str()).into_iter();
    let mut edges = here.chain(graph.states()).flat_map(|state| state.edges.values());
    edges.find(is_called_off).map(|edge| edge.event.clone())
}

/// The ordering has got another live order since it was read.
struct Meanwhile(Option<OrderId>);

struct TakeRefund {
    core: Arc<Core>,
    refunded: Refunded,
    /// The ordering's live order, as it was read before; checked again under lock.
    live: Option<OrderId>,
}

impl Command for TakeRefund {
    type Answer = Result<Followed, Meanwhile>;

    fn needs(&self) -> Needs {
        Needs {
            inbox: vec![(SOURCE, self.refunded.key.clone())],
            orderings: BTreeSet::from([self.refunded.ordering_id.clone()]),
            payments: BTreeSet::from([self.refunded.payment_id.clone()]),
            orders: self.live.into_iter().collect(),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Result<Followed, Meanwhile> {
        let refunded = &self.refunded;
        let content = digest(&json!(["payment.refunded", refunded.data]));
        if let Some(answer) = told_before(unit, &refunded.key, &content) {
            return Ok(answer);
        }
        let live = unit
            .orderings
            .get(&refunded.ordering_id)
            .and_then(|ordering| ordering.live_order_id);
        if live != self.live {
            return Err(Meanwhile(live));
        }
        let (followed, order, outcome) = self.follow(unit);
        unit.writes.inbox.push(told(&refunded.key, content, order, outcome));
        Ok(followed)
    }
}

impl TakeRefund {
    fn follow(&self, unit: &mut Unit) -> (Followed, Option<(OrderId, i64)>, &'static str) {
        let refunded = &self.refunded;
        let Some(payment) = unit.payments.get(&refunded.payment_id).cloned() else {
            // The refund came before its payment: what is left here keeps that payment from making an order, if this is all of it.
            unit.writes
                .orderings
                .entry(refunded.ordering_id.clone())
                .or_insert(None);
            unit.writes.payments.push(Payment {
                payment_id: refunded.payment_id.clone(),
                ordering_id: refunded.ordering_id.clone(),
                event_key: refunded.key.clone(),
                state: PaymentState::Prevented,
                minor_units: refunded.amount.minor_units,
                currency: refunded.amount.currency.clone(),
                refunded_units: refunded.amount.minor_units,
            });
            return (Followed::Recorded, None, "prevented");
        };
        let refunded_units = payment.refunded_units.saturating_add(refunded.amount.minor_units);
        // How much was paid is not known before the payment is.
        let is_paid = payment.state != PaymentState::Prevented;
        let full = is_paid && refunded.amount.currency == payment.currency && refunded_units >= payment.minor_units;
        let state = if full { PaymentState::Refunded } else { payment.state };
        unit.writes.payments.push(Payment {
            refunded_units,
            state,
            ..payment.clone()
        });
        if payment.state != PaymentState::Ordered {
            return (Followed::Recorded, None, "recorded");
        }
        let order = self.live.filter(|id| {
            unit.orders
                .get(id)
                .and_then(|it| it.record.as_ref())
                .is_some_and(|record| record.payment_id == payment.payment_id && record.live)
        });
        let Some(id) = order else {
            let detail = json!({ "payment_id": payment.payment_id, "ordering_id": payment.ordering_id, "full": full });
            let subject = format!("refund:{}", refunded.key);
            self.core
                .open_case(unit, "refund-after-end", subject, None, "REFUND_AFTER_END", detail);
            return (Followed::Recorded, None, "case");
        };
        let order = &unit.orders[&id].order;
        let graph = self.core.graph_in(unit, id);
        let is_collected = |state| graph.as_deref().is_some_and(|graph| is_collected(graph, state));
        let picked_up = order.visited.iter().any(is_collected);
        let call_off = graph.as_deref().and_then(|graph| calling_off(graph, &order.state));
        let refusal = match call_off.filter(|_| full && !picked_up) {
            Some(call_off) => {
                let reason = ("cancel_reason".into(), CancelReason::PaymentReversed.as_str().into());
                let event = self.event(call_off, Fields::from([reason]));
                match self.core.apply(unit, id, event, &Json::Null) {
                    Ok(applied) => {
                        let sequence = applied.transitions.last().map_or(0, |last| last.revision.0);
                        return (Followed::Cancelled(id), Some((id, sequence)), "cancelled");
                    }
                    Err(refusal) => Some(refusal),
                }
            }
            None => None,
        };
        self.tell_operator(unit, id, full, refusal.as_ref());
        (Followed::Recorded, None, "case")
    }

    fn event(&self, name: EventName, fields: Fields) -> Event {
        Event {
            name,
            key: format!("refund:{}", self.refunded.key),
            actor: Actor {
                role: Role::PaymentService,
                id: "payments".to_owned(),
            },
            fields,
            inferred: false,
            occurred_at: self.refunded.occurred_at,
        }
    }

    /// A refund that does not cancel is noted, and an operator decides.
    fn tell_operator(&self, unit: &mut Unit, id: OrderId, full: bool, refusal: Option<&Refusal>) {
        let kind = if full { "refund-after-pickup" } else { "partial-refund" };
        self.core.note(unit, id, self.event(REFUNDED.into(), Fields::new()));
        let amount = &self.refunded.amount;
        let detail = json!({
            "payment_id": self.refunded.payment_id,
            "amount": { "minor_units": amount.minor_units, "currency": amount.currency },
            "refusal": refusal.map(ToString::to_string),
        });
        let reason = kind.to_uppercase().replace('-', "_");
        self.core.open_case(
            unit,
            kind,
            format!("refund:{}", self.refunded.key),
            Some(id),
            &reason,
            detail,
        );
    }
}
