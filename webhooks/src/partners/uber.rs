//! Uber Direct: `event.delivery_status`, signed by `x-uber-signature`.
//!
//! Hexadecimal HMAC-SHA256 over the raw body, without a time: a replay is caught by the event's id and the graph. Not
//! settled, and so refused: the older header `x-postmates-signature`. Where the reason of a cancellation stands is
//! documented as `undeliverable_reason`; `cancellation_reason` was observed by others and is read too. Every callback
//! repeats the customer's 4-digit code: bodies are stored encrypted and never shown whole.

use waybill_domain::FailureReason as Why;

use super::document::Document;
use super::reason::{BY_MERCHANT, BY_PARTNER, Party, RETURNED, Reason, UNKNOWN, look_up};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

pub(super) struct Uber;

const REASONS: &[(&str, Reason)] = &[
    ("MERCHANT_CANCEL", BY_MERCHANT),
    ("cancelled_by_merchant_api", BY_MERCHANT),
    (
        "cannot_access_customer_location",
        Reason(Why::AccessRestricted, Party::Recipient),
    ),
    (
        "cannot_find_customer_address",
        Reason(Why::AddressInvalid, Party::Recipient),
    ),
    ("couriers_busy", Reason(Why::NoCourier, Party::Partner)),
    (
        "customer_id_check_failed",
        Reason(Why::VerificationFailed, Party::Recipient),
    ),
    (
        "customer_not_available",
        Reason(Why::RecipientUnavailable, Party::Recipient),
    ),
    (
        "customer_rejected_order",
        Reason(Why::RecipientRefused, Party::Recipient),
    ),
    (
        "customer_unavailable",
        Reason(Why::RecipientUnavailable, Party::Recipient),
    ),
    (
        "excessive_wait_time",
        Reason(Why::RecipientUnavailable, Party::Recipient),
    ),
    ("merchant_closed", Reason(Why::PickupFailed, Party::Merchant)),
    ("merchant_refused", Reason(Why::PickupFailed, Party::Merchant)),
    (
        "no_secure_location_to_dropoff",
        Reason(Why::NoSafePlace, Party::Recipient),
    ),
    ("pin_match_issue", Reason(Why::VerificationFailed, Party::Recipient)),
    ("recipient_age", Reason(Why::VerificationFailed, Party::Recipient)),
    ("recipient_id", Reason(Why::VerificationFailed, Party::Recipient)),
    (
        "recipient_intoxicated",
        Reason(Why::VerificationFailed, Party::Recipient),
    ),
    ("restaurant_closed", Reason(Why::PickupFailed, Party::Merchant)),
    ("unable_to_find_pickup", Reason(Why::PickupFailed, Party::Courier)),
    ("wrong_address", Reason(Why::AddressInvalid, Party::Recipient)),
];

impl Dialect for Uber {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        Material::read_text(text)
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        let signature = request.hex_header("x-uber-signature", "")?;
        Ok(Claim::sha256_of_body(request.body, signature))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let id = Document::read(body).ok()?.word("id").ok()?.to_owned();
        Some(EventId::Given(id))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        let (status, meaning, raw) = match document.word("kind")? {
            "event.delivery_status" => {
                let status = document.word("status")?;
                let raw = match document.text("data.undeliverable_reason")? {
                    Some(raw) => Some(raw),
                    None => document.text("data.cancellation_reason")?,
                };
                (status, mean(status, raw)?, raw)
            }
            word @ ("event.courier_update" | "event.refund_request") => (word, PROGRESS, None),
            other => return Err(Unmapped::unknown("unknown-type", "kind", other)),
        };
        let delivery = document.word("delivery_id")?.to_owned();
        Ok(PartnerReport::new(meaning, status, raw)
            .referring_to(document.text("data.external_id")?)
            .booked_as(Some(delivery.clone()))
            .numbered(Some(delivery))
            .at(document.instant("created")))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = mean(&seen.status, seen.reason.as_deref())?;
        Ok(PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

fn mean(status: &str, raw: Option<&str>) -> Result<Meaning, Unmapped> {
    Ok(match status {
        "pending" | "pickup" => PROGRESS,
        "pickup_complete" | "dropoff" => PICKED_UP,
        "delivered" => DELIVERED,
        "returned" => failed(RETURNED),
        "canceled" => match (raw, look_up(REASONS, raw.unwrap_or_default())) {
            (None, _) => cancelled(BY_PARTNER),
            (Some(_), UNKNOWN) => cancelled(UNKNOWN),
            // What the customer or the door caused is news even while we are cancelling.
            (Some(_), reason @ Reason(_, Party::Recipient)) => failed(reason),
            (Some(_), reason) => cancelled(reason),
        },
        other => return Err(Unmapped::unknown("unknown-status", "status", other)),
    })
}
