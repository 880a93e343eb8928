//! A booking whose answer got lost, and of which only a person can find out whether the partner has it: what was found there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;
use uuid::Uuid;
use waybill_domain::{Actor, Event, Fields, OrderId, Outcome, Role};
use waybill_tasks::orders::Booking;

use super::core::Core;
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::{Case, Effect, EffectState};
use crate::store::{Needs, Unit, effect_id};

/// The effect that books.
pub(super) const BOOK: &str = "book_delivery_partner";
/// The effect that calls off.
pub(super) const CANCEL: &str = "cancel_delivery_partner";

/// What an operator saw at the partner's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundBooking {
    /// The partner's id of the delivery; none where the partner has none, so that it is booked again.
    pub booking_id: Option<String>,
    /// How it was found out.
    pub note: String,
    /// Who looked.
    pub operator: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum BookingAnswer {
    /// The order has the booking, or is booked again; the case is closed.
    Done(Box<Case>),
    /// Somebody else has the case.
    Taken(Box<Case>),
    /// The case is not about a booking whose answer got lost, or the order has another booking by now.
    NotLost,
    /// The partner's delivery is that of another order.
    OfAnother(OrderId),
    /// There is no such case.
    NotFound,
}

impl Engine {
    /// Takes what an operator found at the partner's about the booking that the case is about. Safe to send twice.
    pub async fn settle_booking(&self, case_id: Uuid, found: FoundBooking) -> Result<BookingAnswer, EngineError> {
        let store = &self.core.store;
        let Some(case) = store.case(case_id).await? else {
            return Ok(BookingAnswer::NotFound);
        };
        let Some((effect, order)) = lost(&case) else {
            return Ok(BookingAnswer::NotLost);
        };
        let partner = store.order(order).await?.and_then(|stored| stored.record.partner);
        let partner = partner.unwrap_or_else(|| self.core.outside.default_partner.clone());
        if let Some(id) = &found.booking_id
            && let Some(owner) = store.order_of_partner(&partner, id).await?
            && owner != order
        {
            return Ok(BookingAnswer::OfAnother(owner));
        }
        let settle = Settle {
            core: self.core.clone(),
            case_id,
            effect,
            order,
            partner,
            found,
        };
        Ok(self.committer.submit(settle).await?)
    }
}

/// The effect and the order of a case about a booking that failed.
fn lost(case: &Case) -> Option<(Uuid, OrderId)> {
    let detail = |name: &str| case.detail.get(name).and_then(Json::as_str);
    let effect = detail("effect_id")?.parse().ok()?;
    (detail("effect") == Some(BOOK)).then_some((effect, case.order_id?))
}

struct Settle {
    core: Arc<Core>,
    case_id: Uuid,
    effect: Uuid,
    order: OrderId,
    partner: String,
    found: FoundBooking,
}

impl Command for Settle {
    type Answer = BookingAnswer;

    fn needs(&self) -> Needs {
        Needs {
            cases: BTreeSet::from([self.case_id]),
            effects: BTreeSet::from([self.effect]),
            orders: BTreeSet::from([self.order]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> BookingAnswer {
        let Some(case) = unit.cases.get(&self.case_id) else {
            return BookingAnswer::NotFound;
        };
        let known = unit
            .orders
            .get(&self.order)
            .and_then(|loaded| loaded.record.as_ref())
            .map(|record| &record.partner_booking_id);
        if case.closed_by.as_ref() == Some(&self.found.operator) && known == Some(&self.found.booking_id) {
            return BookingAnswer::Done(Box::new(case.clone()));
        }
        let others = |who: &Option<String>| who.as_ref().is_some_and(|who| *who != self.found.operator);
        if case.closed_at.is_some() || others(&case.claimed_by) {
            return BookingAnswer::Taken(Box::new(case.clone()));
        }
        let failed = unit
            .effects
            .get(&self.effect)
            .is_some_and(|effect| effect.state == EffectState::Failed);
        if !failed || known.is_none_or(Option::is_some) {
            return BookingAnswer::NotLost;
        }
        match &self.found.booking_id {
            Some(id) => self.adopt(unit, id),
            None => self.book_again(unit),
        }
        self.close(unit)
    }
}

impl Settle {
    /// The order has it from now on; the partner is asked at once what has become of it meanwhile.
    fn adopt(&self, unit: &mut Unit, id: &str) {
        let booking = Booking {
            partner: self.partner.clone(),
            id: id.to_owned(),
            tracking_url: None,
        };
        let event = self.event(unit, "PARTNER_BOOKED");
        let noted = self.core.booked(unit, self.order, &booking, event);
        let (now, live) = (unit.now, unit.orders[&self.order].is_live());
        if let Some(effect) = unit.effects.get_mut(&self.effect) {
            effect.state = EffectState::Done;
            effect.finished_at = Some(now);
            unit.writes.changed_effects.insert(self.effect);
        }
        if let Some(noted) = noted.filter(|_| live) {
            let name = "reconcile_partner";
            let at = Some((self.order, noted.revision.0));
            let effect = Effect::requested(effect_id(self.order, noted.revision.0, name), at, name, unit.now);
            self.core.request(unit, effect);
        }
    }

    /// The partner has nothing: the same effect again, as if it had never been tried.
    fn book_again(&self, unit: &mut Unit) {
        let event = self.event(unit, "BOOKING_NOT_FOUND");
        self.core.note(unit, self.order, event);
        let now = unit.now;
        if let Some(effect) = unit.effects.get_mut(&self.effect) {
            effect.state = EffectState::Requested;
            effect.due_at = now;
            effect.finished_at = None;
            effect.attempts = 0;
            effect.cause = Some(format!("{} has not booked, says {}", self.partner, self.found.operator));
            unit.writes.changed_effects.insert(self.effect);
        }
    }

    fn event(&self, unit: &Unit, name: &str) -> Event {
        Event {
            name: name.into(),
            key: format!("case:{}", self.case_id),
            actor: Actor {
                role: Role::Operator,
                id: self.found.operator.clone(),
            },
            fields: Fields::from([("operator_note".into(), self.found.note.clone().into())]),
            inferred: false,
            occurred_at: unit.now,
        }
    }

    fn close(&self, unit: &mut Unit) -> BookingAnswer {
        let now = unit.now;
        let Some(case) = unit.cases.get_mut(&self.case_id) else {
            return BookingAnswer::NotFound;
        };
        case.closed_by = Some(self.found.operator.clone());
        case.closed_at = Some(now);
        case.note = Some(self.found.note.clone());
        unit.writes.changed_cases.insert(self.case_id);
        BookingAnswer::Done(Box::new(case.clone()))
    }
}

impl Core {
    /// The partner has the delivery: noted with its order. If nobody wants it any more, it is called off again.
    pub(super) fn booked(
        &self,
        unit: &mut Unit,
        order: OrderId,
        booking: &Booking,
        mut event: Event,
    ) -> Option<waybill_domain::Transition> {
        let loaded = unit.orders.get_mut(&order)?;
        let cancelled = loaded.outcome == Some(Outcome::Cancelled);
        let record = loaded.record.as_mut()?;
        if record.partner_booking_id.as_ref() == Some(&booking.id) {
            let known = record.tracking_url.take();
            record.tracking_url = known.or_else(|| booking.tracking_url.clone());
            return None;
        }
        record.partner = Some(booking.partner.clone());
        record.partner_booking_id = Some(booking.id.clone());
        record.tracking_url = booking.tracking_url.clone();
        event
            .fields
            .insert("partner_booking_id".into(), booking.id.clone().into());
        if let Some(url) = &booking.tracking_url {
            event.fields.insert("tracking_url".into(), url.clone().into());
        }
        let noted = self.note(unit, order, event)?;
        if cancelled {
            let at = Some((order, noted.revision.0));
            let effect = Effect::requested(effect_id(order, noted.revision.0, CANCEL), at, CANCEL, unit.now);
            self.request(unit, effect);
        }
        Some(noted)
    }
}
