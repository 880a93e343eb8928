//! Asks the delivery partner what became of a booking whose answer got lost.

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::patience::after_partner_error;
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::{Finish, Work};

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

/// Running twice adopts once: it only asks.
async fn reconcile(effects: &Effects, work: &Work) -> Finish {
    let order = &work.order;
    if order.partner_booking_id.is_some() {
        return Finish::Done;
    }
    let partner = match effects.partner_of(order) {
        Ok(partner) => partner,
        Err(finish) => return finish,
    };
    match partner.find(order.order_id).await {
        Ok(Some(found)) => Finish::Booked(found.booking),
        Ok(None) => Finish::Done,
        Err(error) => after_partner_error(work, &error),
    }
}
