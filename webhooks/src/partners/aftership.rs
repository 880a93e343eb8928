//! AfterShip: `tracking_update`, signed by `aftership-hmac-sha256`.
//!
//! AfterShip tracks what others carry: it is never booked. Base64 of HMAC-SHA256 over the raw body; `ts` in the body is
//! the time of sending and is read by nobody here, for it does not have to be believed to be replayed: `event_id` is
//! what makes once of twice. AfterShip asks that its lists be taken as open: an unknown tag is kept and shown. A failed
//! attempt and a hold are no ends.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use waybill_domain::FailureReason as Why;

use super::document::Document;
use super::reason::{BY_PARTNER, Party, RETURNED, Reason, UNKNOWN};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

const SIGNATURE: &str = "aftership-hmac-sha256";

pub(super) struct AfterShip;

impl Dialect for AfterShip {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        Material::read_text(text)
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        let signature = STANDARD.decode(request.header(SIGNATURE)?);
        let signature = signature.map_err(|_| Rejection::Malformed(SIGNATURE))?;
        Ok(Claim::sha256_of_body(request.body, signature))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let id = Document::read(body).ok()?.word("event_id").ok()?.to_owned();
        Some(EventId::Given(id))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        match document.word("event")? {
            "tracking_update" => (),
            other => return Err(Unmapped::unknown("unknown-type", "event", other)),
        }
        let tag = document.word("msg.tag")?;
        let subtag = document.text("msg.subtag")?;
        Ok(PartnerReport::new(mean(tag, subtag)?, tag, subtag)
            .referring_to(document.text("msg.order_number")?)
            .booked_as(document.id("msg.id")?)
            .numbered(Some(document.word("msg.tracking_number")?.to_owned())))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = mean(&seen.status, seen.reason.as_deref())?;
        Ok(PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

fn mean(tag: &str, subtag: Option<&str>) -> Result<Meaning, Unmapped> {
    Ok(match tag {
        "Pending" | "InfoReceived" => PROGRESS,
        "InTransit" | "OutForDelivery" | "AvailableForPickup" | "AttemptFail" => PICKED_UP,
        "Delivered" => DELIVERED,
        "Expired" => failed(UNKNOWN),
        "Exception" => return mean_exception(subtag.unwrap_or_default()),
        other => return Err(Unmapped::unknown("unknown-status", "msg.tag", other)),
    })
}

fn mean_exception(subtag: &str) -> Result<Meaning, Unmapped> {
    Ok(match subtag {
        "Exception_002" => failed(Reason(Why::RecipientMoved, Party::Recipient)),
        "Exception_003" => failed(Reason(Why::RecipientRefused, Party::Recipient)),
        "Exception_007" => failed(Reason(Why::AddressInvalid, Party::Recipient)),
        "Exception_009" => failed(BY_PARTNER),
        "Exception_010" | "Exception_011" => failed(RETURNED),
        "Exception_012" => failed(Reason(Why::Damaged, Party::Courier)),
        "Exception_013" => failed(Reason(Why::Lost, Party::Partner)),
        // Delays, holds, and a customer who has not come yet: the parcel is still on its way.
        "Exception_001" | "Exception_004" | "Exception_005" | "Exception_006" | "Exception_008" | "Exception_016"
        | "Exception_017" | "Exception_018" => PROGRESS,
        other => return Err(Unmapped::unknown("unknown-reason", "msg.subtag", other)),
    })
}
