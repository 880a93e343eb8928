//! Asks the delivery partner not to collect what was booked.

use serde::Deserialize;
use serde_json::Value;

use super::patience::{MOST_ATTEMPTS, after_partner_error, not_found};
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::{Finish, Work};
use crate::partner::{Cancelled, PartnerError};

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct CancelDeliveryPartner(EffectArgs);

impl Task<Effects> for CancelDeliveryPartner {
    const NAME: &'static str = "waybill.cancel_delivery_partner";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        let finish = cancel(effects, &work).await;
        effects.finish(&work, finish).await
    }
}

/// Running twice cancels once: the partner takes a second cancellation as done.
async fn cancel(effects: &Effects, work: &Work) -> Finish {
    match try_to_cancel(effects, work).await {
        Ok(finish) => finish,
        Err(error @ PartnerError::Rejected { .. }) => Finish::Failed {
            cause: error.to_string(),
        },
        Err(error) => after_partner_error(work, &error),
    }
}

async fn try_to_cancel(effects: &Effects, work: &Work) -> Result<Finish, PartnerError> {
    let order = &work.order;
    let partner = match effects.partner_of(order) {
        Ok(partner) => partner,
        Err(finish) => return Ok(finish),
    };
    // Nothing is there that was refused, that failed there, or that was never sent.
    let may_be_booked = work.booking_unknown && order.failure_reason.is_none();
    let booking_id = match &order.partner_booking_id {
        Some(id) => id.clone(),
        None if !partner.rebooking().looks_up() && !may_be_booked => return Ok(Finish::Done),
        // No booking is recorded, but one may have been made whose answer got lost.
        None => match partner.find(order.order_id).await? {
            Some(found) => found.booking.id,
            // What was sent may still arrive, and would be paid for.
            None if may_be_booked && work.attempts < MOST_ATTEMPTS => {
                return Ok(after_partner_error(work, &not_found()));
            }
            None => return Ok(Finish::Done),
        },
    };
    match partner.cancel(&booking_id).await? {
        Cancelled::Done => Ok(Finish::Done),
        // It had failed before it was cancelled, or another delivery takes over: the operator who decided so knew where the goods are.
        Cancelled::TooLate if order.failure_reason.is_some() || order.successor_id.is_some() => Ok(Finish::Done),
        Cancelled::TooLate => {
            let cause = format!("goods at large: {} has picked up delivery {booking_id}", partner.name());
            Ok(Finish::Failed { cause })
        }
    }
}
