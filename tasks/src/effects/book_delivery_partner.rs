//! Asks the delivery partner to collect the books.

use serde::Deserialize;
use serde_json::Value;
use waybill_domain::{Actor, FailureReason, FieldName, Role};

use super::patience::{MOST_ATTEMPTS, after_partner_error};
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::{Finish, Reported, Work};
use crate::partner::{BookingRequest, Parcel, PartnerClient, PartnerError};

/// As much of a partner's text as the graph's field takes.
const LONGEST_RAW: usize = 500;

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct BookDeliveryPartner(EffectArgs);

impl Task<Effects> for BookDeliveryPartner {
    const NAME: &'static str = "waybill.book_delivery_partner";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        let finish = book(effects, &work).await;
        effects.finish(&work, finish).await
    }
}

/// Running twice books once: the partner takes the order's id as idempotency key, and whoever cannot know how an
/// earlier attempt ended looks the delivery up before anything is sent again.
async fn book(effects: &Effects, work: &Work) -> Finish {
    let order = &work.order;
    if order.state != "CREATED" || order.partner_booking_id.is_some() {
        return Finish::Done;
    }
    let partner = match effects.partner_of(order) {
        Ok(partner) => partner,
        Err(finish) => return finish,
    };
    if work.attempts > 0 {
        match partner.find(order.order_id).await {
            Ok(Some(found)) => return Finish::Booked(found.booking),
            // The last attempt was long ago: what the partner does not know now, it was never told.
            Ok(None) if work.attempts >= MOST_ATTEMPTS => return booking_failed(),
            Ok(None) => (),
            Err(error) => return after_partner_error(work, &error),
        }
    }
    match partner.book(&request(effects, partner, work)).await {
        Ok(booking) => Finish::Booked(booking),
        Err(PartnerError::Rejected { code, text }) => rejected(partner, &code, &text),
        Err(error @ PartnerError::Ambiguous(_)) => match partner.find(order.order_id).await {
            Ok(Some(found)) => Finish::Booked(found.booking),
            // It may still arrive: not found is no proof this early.
            Ok(None) | Err(_) => after_partner_error(work, &error),
        },
        Err(error) => after_partner_error(work, &error),
    }
}

fn request(effects: &Effects, partner: &PartnerClient, work: &Work) -> BookingRequest {
    let order = &work.order;
    BookingRequest {
        reference: order.order_id,
        pickup: order.pickup.clone(),
        dropoff: order.dropoff.clone(),
        parcels: vec![Parcel {
            items: order.items.clone(),
        }],
        callback_url: format!(
            "{}/webhooks/{}",
            effects.callback_base.trim_end_matches('/'),
            partner.name()
        ),
    }
}

fn rejected(partner: &PartnerClient, code: &str, text: &str) -> Finish {
    let raw: String = format!("{code} {text}").trim().chars().take(LONGEST_RAW).collect();
    let actor = Actor {
        role: Role::DeliveryPartner,
        id: partner.name().to_owned(),
    };
    let fields = [
        ("failure_reason", reason_for(code).as_str()),
        ("failure_raw", raw.as_str()),
    ];
    event("PARTNER_REJECTED", actor, &fields)
}

fn booking_failed() -> Finish {
    let actor = Actor {
        role: Role::Service,
        id: "waybill".to_owned(),
    };
    event(
        "BOOKING_FAILED",
        actor,
        &[("failure_reason", FailureReason::PartnerUnavailable.as_str())],
    )
}

fn event(name: &str, actor: Actor, fields: &[(&str, &str)]) -> Finish {
    let fields = fields
        .iter()
        .map(|(name, value)| (FieldName::from(*name), (*value).into()))
        .collect();
    Finish::Event(Box::new(Reported {
        event: name.into(),
        actor,
        fields,
    }))
}

/// The partner's word, where it is one of ours or well known; the raw text is kept anyway.
fn reason_for(code: &str) -> FailureReason {
    match code {
        "address_undeliverable" | "address_invalid" | "unknown_location" => FailureReason::AddressInvalid,
        "couriers_busy" | "no_courier" | "no_supply" => FailureReason::NoCourier,
        _ => FailureReason::parse(&code.to_ascii_uppercase()).unwrap_or(FailureReason::PartnerRejected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partners_word_is_translated_and_an_unknown_one_is_a_rejection() {
        let cases = [
            ("address_undeliverable", FailureReason::AddressInvalid),
            ("package_mismatch", FailureReason::PackageMismatch),
            ("NO_COURIER", FailureReason::NoCourier),
            ("422", FailureReason::PartnerRejected),
            ("", FailureReason::PartnerRejected),
        ];

        for (code, reason) in cases {
            assert_eq!(reason_for(code), reason, "{code}");
        }
    }
}
