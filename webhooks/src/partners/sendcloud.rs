//! Sendcloud: `parcel_status_changed`, signed by `Sendcloud-Signature`.
//!
//! Hexadecimal HMAC-SHA256 over the raw body, as Sendcloud's own description shows it. The signed bytes hold a time of
//! the status and none of the attempt, and arrive in any order: the graph decides. The numbers of its statuses are not
//! in what it publishes with its webhooks; the messages are what is read here, and one that is not known is kept and
//! shown. `Exception` says too little to move an order.

use waybill_domain::FailureReason as Why;

use super::document::Document;
use super::reason::{BY_MERCHANT, BY_PARTNER, Party, RETURNED, Reason, UNKNOWN};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, ReportKind, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

pub(super) struct Sendcloud;

const NOT_ANNOUNCED: Meaning = (
    ReportKind::Rejected,
    Some(Reason(Why::PartnerRejected, Party::Partner)),
    false,
);

/// What each message means, in small letters.
const MESSAGES: &[(&str, Meaning)] = &[
    ("address invalid", failed(Reason(Why::AddressInvalid, Party::Recipient))),
    ("announced", PROGRESS),
    ("announced: not collected", PROGRESS),
    ("announcement failed", NOT_ANNOUNCED),
    ("at customs", PICKED_UP),
    ("at sorting centre", PICKED_UP),
    ("awaiting customer pickup", PICKED_UP),
    ("being announced", PROGRESS),
    ("being sorted", PICKED_UP),
    ("cancellation requested", PROGRESS),
    ("cancelled", cancelled(BY_MERCHANT)),
    ("cancelled upstream", cancelled(BY_PARTNER)),
    ("delivered", DELIVERED),
    ("delivery address changed", PICKED_UP),
    ("delivery attempt failed", PICKED_UP),
    ("delivery date changed", PICKED_UP),
    ("delivery delayed", PICKED_UP),
    ("delivery method changed", PICKED_UP),
    ("driver en route", PICKED_UP),
    ("en route to sorting center", PICKED_UP),
    ("error collecting", PROGRESS),
    ("no label", PROGRESS),
    ("not sorted", PICKED_UP),
    ("parcel en route", PICKED_UP),
    ("ready to send", PROGRESS),
    (
        "refused by recipient",
        failed(Reason(Why::RecipientRefused, Party::Recipient)),
    ),
    ("returned to sender", failed(RETURNED)),
    ("shipment collected by customer", DELIVERED),
    ("shipment picked up by driver", PICKED_UP),
    ("sorted", PICKED_UP),
    ("submitting cancellation request", PROGRESS),
    ("unable to deliver", failed(UNKNOWN)),
    ("unknown status", PROGRESS),
];

impl Dialect for Sendcloud {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        Material::read_text(text)
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        let signature = request.hex_header("sendcloud-signature", "")?;
        Ok(Claim::sha256_of_body(request.body, signature))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let document = Document::read(body).ok()?;
        let parcel = document.id("parcel.id").ok()??;
        let status = document.id("parcel.status.id").ok()??;
        let time = document.number("timestamp")?;
        Some(EventId::Described(format!("{parcel}/{status}/{time}")))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        match document.word("action")? {
            "parcel_status_changed" => (),
            other => return Err(Unmapped::unknown("unknown-type", "action", other)),
        }
        let message = document.word("parcel.status.message")?;
        let reference = match document.text("parcel.external_shipment_id")? {
            Some(reference) => Some(reference),
            None => document.text("parcel.order_number")?,
        };
        let parcel = document.id("parcel.id")?;
        let number = document.id("parcel.tracking_number")?.or_else(|| parcel.clone());
        let carriers = document.unix("carrier_status_change_timestamp");
        Ok(PartnerReport::new(mean(message)?, message, None)
            .referring_to(reference)
            .booked_as(parcel)
            .numbered(number)
            .at(carriers.or_else(|| document.unix("timestamp"))))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        Ok(PartnerReport::new(mean(&seen.status)?, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

fn mean(message: &str) -> Result<Meaning, Unmapped> {
    let known = MESSAGES.iter().find(|(known, _)| known.eq_ignore_ascii_case(message));
    known
        .map(|(_, meaning)| *meaning)
        .ok_or_else(|| Unmapped::unknown("unknown-status", "parcel.status.message", message))
}
