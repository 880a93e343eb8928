//! Graphs, orders and events to test with.

use uuid::Uuid;
use waybill_domain::{Actor, DeliveryOrder, Event, Fields, Graph, GraphDocument, OrderId, Role, Timestamp, Transition};

/// The shipped graph as JSON; a test of the application keeps it equal to the template.
pub(crate) const SHIPPED: &str = include_str!("../fixtures/delivery-order-v1.json");

pub(crate) fn shipped_document() -> GraphDocument {
    serde_json::from_str(SHIPPED).expect("the fixture has the shape of a graph")
}

pub(crate) fn shipped() -> Graph {
    Graph::check(shipped_document()).unwrap_or_else(|defects| panic!("{defects:#?}"))
}

/// A small good graph, to be spoiled by tests.
pub(crate) fn small_document() -> GraphDocument {
    let text = r#"{
        "schema": 1, "machine": "delivery-order", "version": 1, "initial": "CREATED",
        "fields": {
            "number": {"type": "string", "max_length": 8},
            "reason": {"type": "enum", "values": ["LOST", "UNKNOWN"]},
            "successor": {"type": "uuid", "source": "engine"}
        },
        "states": {
            "CREATED": {"kind": "active", "on_enter": ["book_delivery_partner"],
                "deadline": {"after": "PT48H", "event": "OVERDUE"},
                "transitions": {
                    "PICKED_UP": {"to": "PICKED_UP", "actors": ["delivery_partner", "operator"]},
                    "OVERDUE": {"to": "PENDING", "actors": ["system"]}}},
            "PICKED_UP": {"kind": "active", "requires": ["number"],
                "transitions": {
                    "DELIVERED": {"to": "DONE", "actors": ["delivery_partner", "operator"]},
                    "FAILED": {"to": "FAILED", "actors": ["delivery_partner", "operator"]}}},
            "FAILED": {"kind": "attention", "requires": ["reason"],
                "deadline": {"after": "PT0S", "event": "ESCALATED"},
                "transitions": {"ESCALATED": {"to": "PENDING", "actors": ["system"]}}},
            "PENDING": {"kind": "attention",
                "transitions": {
                    "RESOLVED": {"to": "DONE", "actors": ["operator"]},
                    "REPLACED": {"to": "REPLACED", "actors": ["operator"]}}},
            "DONE": {"kind": "terminal", "outcome": "success"},
            "REPLACED": {"kind": "terminal", "outcome": "failure", "requires": ["successor"]}
        }
    }"#;
    serde_json::from_str(text).expect("a document")
}

pub(crate) fn noon() -> Timestamp {
    "2026-11-20T12:00:00.123456Z".parse().expect("an instant")
}

pub(crate) fn an_id() -> OrderId {
    OrderId(Uuid::from_u128(7))
}

pub(crate) fn event(name: &str, role: Role) -> Event {
    Event {
        name: name.into(),
        key: format!("{name}-1"),
        actor: Actor {
            role,
            id: "somebody".to_owned(),
        },
        fields: Fields::new(),
        inferred: false,
        occurred_at: noon(),
    }
}

pub(crate) trait With {
    fn with(self, field: &str, value: &str) -> Self;
}

impl With for Event {
    fn with(mut self, field: &str, value: &str) -> Self {
        self.fields.insert(field.into(), value.into());
        self
    }
}

pub(crate) fn a_new_order(graph: &Graph) -> DeliveryOrder {
    DeliveryOrder::born(an_id(), graph, event("PAYMENT_SUCCEEDED", Role::PaymentService), noon()).0
}

/// Decides and applies; the transitions taken.
pub(crate) fn take(order: &mut DeliveryOrder, graph: &Graph, event: Event) -> Vec<Transition> {
    let transitions = order
        .decide(graph, event, noon())
        .unwrap_or_else(|refusal| panic!("{refusal}"));
    for transition in &transitions {
        order.apply(transition);
    }
    transitions
}

pub(crate) fn picked_up() -> Event {
    event("PARTNER_PICKED_UP", Role::DeliveryPartner).with("partner_order_number", "P-17")
}

pub(crate) fn delivered() -> Event {
    event("PARTNER_DELIVERED", Role::DeliveryPartner)
}

pub(crate) fn failed() -> Event {
    event("PARTNER_FAILED", Role::DeliveryPartner).with("failure_reason", "LOST")
}
