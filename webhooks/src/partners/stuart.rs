//! Stuart: updates of deliveries, sent to an address with a token of ours in it.
//!
//! Not settled by what Stuart publishes, and so refused: any signature (third parties assume one). Its key is
//! `whtok_…`, and we are called at `/webhooks/<name>?token=…`. The envelope `{event, type, data}` and the statuses of a
//! delivery are as several integrations read them; the reasons of a cancellation are Stuart's own list, which may have
//! grown. Only updates of deliveries move an order: those of jobs and drivers tell nothing that a delivery does not.

use waybill_domain::FailureReason as Why;

use super::document::Document;
use super::reason::{BY_PARTNER, NO_COURIER, Party, Reason, UNKNOWN, look_up};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

pub(super) struct Stuart;

const REASONS: &[(&str, Reason)] = &[
    ("address_error", Reason(Why::AddressInvalid, Party::Recipient)),
    ("courier_issue", Reason(Why::CourierIncident, Party::Courier)),
    (
        "customer_cancellation_requested",
        Reason(Why::CancelledByCustomer, Party::Merchant),
    ),
    ("duplicate_package", Reason(Why::PackageMismatch, Party::Merchant)),
    (
        "end-customer_refused_package",
        Reason(Why::RecipientRefused, Party::Recipient),
    ),
    (
        "end-customer_unreachable",
        Reason(Why::RecipientUnavailable, Party::Recipient),
    ),
    ("incorrect_package", Reason(Why::PackageMismatch, Party::Merchant)),
    ("no_supply", NO_COURIER),
    ("package_damaged", Reason(Why::Damaged, Party::Courier)),
    ("package_not_ready", Reason(Why::PickupFailed, Party::Merchant)),
    ("pu_closed", Reason(Why::PickupFailed, Party::Merchant)),
    ("technical_issue", Reason(Why::PartnerTechnical, Party::Partner)),
    ("wrong_transport_type", Reason(Why::PackageMismatch, Party::Merchant)),
    ("wrong_weight", Reason(Why::PackageMismatch, Party::Merchant)),
];

impl Dialect for Stuart {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        Material::read_token(text)
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        Ok(Claim::shown(request.body, request.token()?.as_bytes()))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let document = Document::read(body).ok()?;
        let event = document.word("event").ok()?;
        let id = document.id("data.id").ok()??;
        let status = document.text("data.status").ok()?.unwrap_or("-");
        Some(EventId::Described(format!("{event}/{id}/{status}")))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        let (status, meaning, raw) = match document.word("event")? {
            "delivery" => {
                let status = document.word("data.status")?;
                let raw = document.text("data.cancellation.reasonKey")?;
                (status, mean(status, raw)?, raw)
            }
            event @ ("job" | "driver") => (event, PROGRESS, None),
            other => return Err(Unmapped::unknown("unknown-type", "event", other)),
        };
        let id = document.id("data.id")?;
        Ok(PartnerReport::new(meaning, status, raw)
            .referring_to(document.text("data.clientReference")?)
            .numbered(id))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = mean(&seen.status, seen.reason.as_deref())?;
        Ok(PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

fn mean(status: &str, raw: Option<&str>) -> Result<Meaning, Unmapped> {
    Ok(match status {
        "pending" | "picking" | "almost_picking" | "waiting_at_pickup" => PROGRESS,
        "delivering" | "almost_delivering" | "waiting_at_dropoff" => PICKED_UP,
        "delivered" => DELIVERED,
        "cancelled" => match (raw, look_up(REASONS, raw.unwrap_or_default())) {
            (None, _) => cancelled(BY_PARTNER),
            (Some(_), UNKNOWN) => cancelled(UNKNOWN),
            (Some(_), reason @ Reason(_, Party::Recipient)) => failed(reason),
            (Some(_), reason) => cancelled(reason),
        },
        other => return Err(Unmapped::unknown("unknown-status", "data.status", other)),
    })
}
