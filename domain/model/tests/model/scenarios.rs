//! Stories of one ordering, each walked whole: every order of steps, every crash, everything told again.

use waybill_domain::Role;

use crate::bug::Bug;
use crate::facts::{Fact, Graphs};
use crate::invariants::Sight::{
    self, BornOnSecond, ComesAgain, FirstLivesOn, LeftToRelay, Losing, Parked, Recognised, SetAside, Settled, Succeeded,
};
use crate::system::System;

/// A story and its bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scenario {
    /// As docs/model.md calls it.
    pub(crate) name: &'static str,
    /// What has happened before the walk begins, one after the other and undisturbed.
    pub(crate) before: &'static [Fact],
    /// What is told in the walk, in any order.
    pub(crate) facts: &'static [Fact],
    /// How many of them are told again.
    pub(crate) again: u8,
    /// Whether version 2 is activated, and version 1 retired, at some moment.
    pub(crate) rollout: bool,
    /// What must happen on some way.
    pub(crate) shows: &'static [Sight],
}

impl Scenario {
    pub(crate) fn system(&self, bug: Option<Bug>) -> System {
        System {
            graphs: Graphs::shipped(),
            facts: self.before.iter().chain(self.facts).cloned().collect(),
            before: self.before.len(),
            again: self.again,
            rollout: self.rollout,
            shows: self.shows,
            bug,
        }
    }
}

const PAID: Fact = Fact::paid("paid", "evt_1", "pay_1");
const PAID_IN_ANOTHER_FORM: Fact = Fact::paid("paid, in another form", "evt_2", "pay_1");
const PAID_TWICE: Fact = Fact::paid("paid a second time", "evt_3", "pay_2");
const PAID_OTHERWISE: Fact = Fact::paid("paid, same key, other content", "evt_1", "pay_2");
const PICKED_UP: Fact = Fact::event_with(
    "picked up",
    "PARTNER_PICKED_UP",
    Role::DeliveryPartner,
    &[("partner_order_number", "P-17")],
);
const PICKED_UP_LATE: Fact = Fact::event_with(
    "picked up, late",
    "PARTNER_PICKED_UP",
    Role::DeliveryPartner,
    &[("partner_order_number", "P-17")],
);
const DELIVERED: Fact = Fact::event("delivered", "PARTNER_DELIVERED", Role::DeliveryPartner);
const DISPATCHED: Fact = Fact::event("dispatched", "PARTNER_DISPATCHED", Role::DeliveryPartner);
const FAILED: Fact = Fact::event_with(
    "failed",
    "PARTNER_FAILED",
    Role::DeliveryPartner,
    &[("failure_reason", "LOST")],
);
const FAILED_WITHOUT_REASON: Fact = Fact::event("failed, no reason", "PARTNER_FAILED", Role::DeliveryPartner);
const CONFIRMED: Fact = Fact::event("confirmed", "CUSTOMER_CONFIRMED", Role::Customer);
const CANCELLED: Fact = Fact::event_with(
    "cancelled",
    "CANCELLED",
    Role::Operator,
    &[("cancel_reason", "OPERATOR_DECISION")],
);
const ARRANGED: Fact = Fact::event("arranged anew", "REDELIVERY_ARRANGED", Role::Operator);
const ARRANGED_BY_ANOTHER: Fact = Fact::event("arranged anew by another", "REDELIVERY_ARRANGED", Role::Operator);

/// The stories that every run of the tests walks to their end.
pub(crate) const WHOLE: [Scenario; 9] = [
    Scenario {
        name: "paid, told again",
        before: &[],
        facts: &[PAID],
        again: 1,
        rollout: true,
        shows: &[Settled, Recognised, ComesAgain, LeftToRelay, FirstLivesOn, BornOnSecond],
    },
    Scenario {
        name: "paid, told in two forms",
        before: &[],
        facts: &[PAID, PAID_IN_ANOTHER_FORM],
        again: 0,
        rollout: true,
        shows: &[Settled, Recognised, ComesAgain, LeftToRelay, FirstLivesOn, BornOnSecond],
    },
    Scenario {
        name: "paid twice",
        before: &[],
        facts: &[PAID, PAID_TWICE],
        again: 0,
        rollout: false,
        shows: &[Settled, Recognised, ComesAgain, LeftToRelay],
    },
    Scenario {
        name: "a key used twice",
        before: &[PAID],
        facts: &[PAID_OTHERWISE],
        again: 1,
        rollout: true,
        shows: &[Settled, SetAside, FirstLivesOn],
    },
    Scenario {
        name: "picked up or never",
        before: &[],
        facts: &[PAID, PICKED_UP],
        again: 0,
        rollout: false,
        shows: &[Settled, Losing, Recognised, ComesAgain, LeftToRelay],
    },
    Scenario {
        name: "delivered before it is picked up",
        before: &[PAID],
        facts: &[DELIVERED],
        again: 1,
        rollout: false,
        shows: &[Settled, Losing, Parked, ComesAgain],
    },
    Scenario {
        name: "picked up and failed",
        before: &[PAID],
        facts: &[PICKED_UP, FAILED],
        again: 0,
        rollout: false,
        shows: &[Settled, Losing, Recognised, ComesAgain],
    },
    Scenario {
        name: "confirmed and failed without a reason",
        before: &[PAID, PICKED_UP, DELIVERED],
        facts: &[CONFIRMED, FAILED_WITHOUT_REASON],
        again: 1,
        rollout: false,
        shows: &[Settled, Losing, Recognised],
    },
    Scenario {
        name: "an operator arranges a new order",
        before: &[PAID, FAILED],
        facts: &[ARRANGED],
        again: 0,
        rollout: true,
        shows: &[Settled, Succeeded, ComesAgain],
    },
];

/// Stories that are only walked to find a fault.
pub(crate) const FOR_FAULTS: [Scenario; 3] = [
    Scenario {
        name: "picked up, told late under another key",
        before: &[PAID, PICKED_UP, DELIVERED],
        facts: &[PICKED_UP_LATE],
        again: 0,
        rollout: false,
        shows: &[],
    },
    Scenario {
        name: "an event of version 2 alone",
        before: &[PAID, PICKED_UP],
        facts: &[DISPATCHED],
        again: 0,
        rollout: true,
        shows: &[],
    },
    Scenario {
        name: "failed without a reason",
        before: &[PAID],
        facts: &[FAILED_WITHOUT_REASON],
        again: 0,
        rollout: false,
        shows: &[],
    },
];

/// Stories that are walked to their end on request, and a part of the way otherwise.
pub(crate) const DEEP: [Scenario; 5] = [
    Scenario {
        name: "delivered, then picked up",
        before: &[PAID],
        facts: &[DELIVERED, PICKED_UP],
        again: 0,
        rollout: false,
        shows: &[],
    },
    Scenario {
        name: "two operators arrange a new order",
        before: &[PAID, FAILED],
        facts: &[ARRANGED, ARRANGED_BY_ANOTHER],
        again: 0,
        rollout: true,
        shows: &[],
    },
    Scenario {
        name: "delivered too early",
        before: &[],
        facts: &[PAID, DELIVERED],
        again: 0,
        rollout: true,
        shows: &[],
    },
    Scenario {
        name: "cancelled, confirmed or failed",
        before: &[PAID, PICKED_UP, DELIVERED],
        facts: &[CONFIRMED, CANCELLED, FAILED_WITHOUT_REASON],
        again: 0,
        rollout: true,
        shows: &[],
    },
    Scenario {
        name: "from payment to delivery",
        before: &[],
        facts: &[PAID, PICKED_UP, DELIVERED],
        again: 1,
        rollout: true,
        shows: &[],
    },
];
