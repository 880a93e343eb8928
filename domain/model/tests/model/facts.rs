//! What the world tells: payments, callbacks, answers and decisions, each with a key of its own.

use waybill_domain::{Actor, Event, Fields, Graph, GraphDocument, GraphVersion, Role, Timestamp};

/// One fact. It may arrive more than once, late, and in any order.
#[derive(Debug, Clone)]
pub(crate) struct Fact {
    /// As a trace calls it.
    pub(crate) name: &'static str,
    /// What makes a repetition recognisable. Facts that share a key and have other content contradict each other.
    pub(crate) key: &'static str,
    pub(crate) what: What,
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The ordering was paid for.
    Paid { payment: &'static str },
    /// An event about the delivery order of that attempt; a partner's waits for its turn where it comes early.
    Event {
        attempt: u8,
        event: &'static str,
        role: Role,
        fields: &'static [(&'static str, &'static str)],
    },
}

impl Fact {
    pub(crate) const fn paid(name: &'static str, key: &'static str, payment: &'static str) -> Self {
        let what = What::Paid { payment };
        Self { name, key, what }
    }

    pub(crate) const fn event(name: &'static str, event: &'static str, role: Role) -> Self {
        Self::event_with(name, event, role, &[])
    }

    pub(crate) const fn event_with(
        name: &'static str,
        event: &'static str,
        role: Role,
        fields: &'static [(&'static str, &'static str)],
    ) -> Self {
        let what = What::Event {
            attempt: 1,
            event,
            role,
            fields,
        };
        Self { name, key: name, what }
    }

    /// Whether it waits for its turn: a partner's callbacks do, a person is answered.
    pub(crate) fn is_patient(&self) -> bool {
        let What::Event { role, .. } = &self.what else {
            return false;
        };
        *role == Role::DeliveryPartner
    }
}

/// An event of the domain.
pub(crate) fn event(name: &str, key: &str, role: Role, fields: &[(&str, &str)]) -> Event {
    let fields: Fields = fields
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()))
        .collect();
    Event {
        name: name.into(),
        key: key.to_owned(),
        actor: Actor {
            role,
            id: "somebody".to_owned(),
        },
        fields,
        inferred: false,
        occurred_at: noon(),
    }
}

/// The one moment of the model: in it anything that has a time may be due.
pub(crate) fn noon() -> Timestamp {
    "2026-11-20T12:00:00Z".parse().expect("an instant")
}

/// The two versions of the graph that are published.
#[derive(Debug)]
pub(crate) struct Graphs([Graph; 2]);

impl Graphs {
    /// The shipped version, and one in which a parcel is out for delivery before it is delivered.
    pub(crate) fn shipped() -> Self {
        let text = include_str!("../../../tests/fixtures/delivery-order-v1.json");
        let first: GraphDocument = serde_json::from_str(text).expect("the fixture has the shape of a graph");
        let mut second = first.clone();
        second.version = 2;
        let collected = second
            .states
            .get_mut("PICKED_UP")
            .expect("a state of the shipped graph");
        let mut out = collected.clone();
        out.requires.clear();
        out.on_enter = vec!["notify_customer".to_owned()];
        let mut handed_out = collected.transitions["PARTNER_DELIVERED"].clone();
        handed_out.to = "OUT_FOR_DELIVERY".to_owned();
        collected.transitions.remove("PARTNER_DELIVERED");
        collected
            .transitions
            .insert("PARTNER_DISPATCHED".to_owned(), handed_out);
        second.states.insert("OUT_FOR_DELIVERY".to_owned(), out);
        Self([first, second].map(|document| Graph::check(document).unwrap_or_else(|defects| panic!("{defects:#?}"))))
    }

    pub(crate) fn get(&self, version: GraphVersion) -> &Graph {
        let [first, second] = &self.0;
        if version == first.version() { first } else { second }
    }
}
