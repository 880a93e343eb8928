//! EasyPost: `tracker.created` and `tracker.updated`, signed by `X-Hmac-Signature`.
//!
//! Settled by EasyPost's own fixtures: HMAC-SHA256 in hexadecimal over the raw body, keyed with the secret in Unicode
//! form NFKD, after `hmac-sha256-hex=`. Not settled, and so refused: the second scheme (`x-hmac-signature-v2`), which
//! only third parties describe. The signed bytes hold no time, so a replay is caught by the event's id and the graph.

use unicode_normalization::UnicodeNormalization as _;
use waybill_domain::FailureReason as Why;

use super::document::Document;
use super::reason::{BY_PARTNER, Party, RETURNED, Reason, UNKNOWN, look_up};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material, check_length};
use crate::signature::Rejection;

pub(super) struct EasyPost;

/// By `status_detail`, where the status is one of failure.
const REASONS: &[(&str, Reason)] = &[
    ("address_correction", Reason(Why::AddressInvalid, Party::Recipient)),
    ("cancelled", BY_PARTNER),
    ("damaged", Reason(Why::Damaged, Party::Courier)),
    ("expired", Reason(Why::Unclaimed, Party::Recipient)),
    ("lost", Reason(Why::Lost, Party::Partner)),
    ("missorted", Reason(Why::Misrouted, Party::Partner)),
    ("refused", Reason(Why::RecipientRefused, Party::Recipient)),
    ("return", RETURNED),
    ("weather_delay", Reason(Why::WeatherOrForceMajeure, Party::Nobody)),
];

impl Dialect for EasyPost {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        check_length(text)?;
        Ok(normalised(text))
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        let signature = request.hex_header("x-hmac-signature", "hmac-sha256-hex=")?;
        Ok(Claim::sha256_of_body(request.body, signature))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let id = Document::read(body).ok()?.word("id").ok()?.to_owned();
        Some(EventId::Given(id))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        match document.word("description")? {
            "tracker.created" | "tracker.updated" => (),
            other => return Err(Unmapped::unknown("unknown-type", "description", other)),
        }
        let status = document.word("result.status")?;
        let detail = document.text("result.status_detail")?;
        let meaning = mean(status, detail)?;
        Ok(PartnerReport::new(meaning, status, detail)
            .booked_as(document.id("result.shipment_id")?)
            .numbered(Some(document.word("result.tracking_code")?.to_owned()))
            .at(document.instant("result.updated_at")))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = mean(&seen.status, seen.reason.as_deref())?;
        Ok(PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

/// The secret as EasyPost uses it.
pub(super) fn normalised(text: &str) -> Material {
    let bytes: String = text.nfkd().collect();
    Material::Sha256(bytes.into_bytes().into())
}

fn mean(status: &str, detail: Option<&str>) -> Result<Meaning, Unmapped> {
    let reason = look_up(REASONS, detail.unwrap_or_default());
    Ok(match status {
        "unknown" | "pre_transit" => PROGRESS,
        "in_transit" | "out_for_delivery" | "available_for_pickup" => PICKED_UP,
        "delivered" => DELIVERED,
        "return_to_sender" => failed(RETURNED),
        "failure" => failed(reason),
        "error" if reason == UNKNOWN => failed(Reason(Why::PartnerTechnical, Party::Partner)),
        "error" => failed(reason),
        "cancelled" => cancelled(BY_PARTNER),
        other => return Err(Unmapped::unknown("unknown-status", "result.status", other)),
    })
}
