//! Asks the delivery partner what became of a booking whose answer got lost, or of a delivery that fell silent.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::patience::after_partner_error;
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::{Finish, Seen, Work};
use crate::partner::{PartnerClient, PartnerError};

/// Asked for as an effect, or by anybody for one delivery order; without an order there is nothing to reconcile.
#[derive(Debug, Deserialize)]
pub(super) struct ReconcilePartner {
    effect_id: Option<Uuid>,
    delivery_order_id: Option<OrderId>,
    #[serde(default)]
    sequence: i64,
}

impl Task<Effects> for ReconcilePartner {
    const NAME: &'static str = "waybill.reconcile_partner";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(delivery_order_id) = self.delivery_order_id else {
            return Ok(ended_before());
        };
        let effect_id = match self.effect_id {
            Some(effect_id) => Some(effect_id),
            None => effects.orders.begin_reconciliation(delivery_order_id).await?,
        };
        let Some(effect_id) = effect_id else {
            return Ok(ended_before());
        };
        let args = EffectArgs {
            effect_id,
            delivery_order_id,
            sequence: self.sequence,
        };
        let Some(work) = effects.begin(args).await? else {
            return Ok(ended_before());
        };
        let finish = reconcile(effects, &work).await;
        effects.finish(&work, finish).await
    }
}

/// Running twice adopts once, and tells nothing twice: it only asks.
async fn reconcile(effects: &Effects, work: &Work) -> Finish {
    let partner = match effects.partner_of(&work.order) {
        Ok(partner) => partner,
        Err(finish) => return finish,
    };
    match &work.order.partner_booking_id {
        Some(booking_id) => view(partner, booking_id, work).await,
        // Whoever cannot be asked has been given to an operator when the answer got lost.
        None if !partner.rebooking().looks_up() => Finish::Done,
        None => match partner.find(work.order.order_id).await {
            Ok(Some(found)) => Finish::Booked(found.booking),
            Ok(None) => Finish::Done,
            Err(error) => after_partner_error(work, &error),
        },
    }
}

async fn view(partner: &PartnerClient, booking_id: &str, work: &Work) -> Finish {
    match partner.view(booking_id).await {
        Ok(found) => Finish::Seen(Seen {
            partner: partner.name().to_owned(),
            booking_id: booking_id.to_owned(),
            status: found.status,
            reason: found.reason,
            partner_order_number: found.partner_order_number,
        }),
        Err(PartnerError::Rejected { code, .. }) => Finish::Failed {
            cause: format!("{} does not know delivery {booking_id}: {code}", partner.name()),
        },
        Err(error) => after_partner_error(work, &error),
    }
}
