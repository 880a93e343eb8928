//! Shippo: `track_updated`, sent to an address with a token of ours in it.
//!
//! Not settled by what Shippo publishes, and so refused: its signature header, which exists only on request. What it
//! documents instead is a secret in the callback's address, so its key is `whtok_…` and we are called at
//! `/webhooks/<name>?token=…`. It gives no event id and warns that its callbacks are not idempotent: the id is derived.

use waybill_domain::FailureReason as Why;

use super::document::Document;
use super::reason::{Party, RETURNED, Reason, UNKNOWN, look_up};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

pub(super) struct Shippo;

/// By the code of the substatus, where the status is one of failure.
const REASONS: &[(&str, Reason)] = &[
    ("package_disposed", Reason(Why::Damaged, Party::Partner)),
    ("package_lost", Reason(Why::Lost, Party::Partner)),
    ("package_unclaimed", Reason(Why::Unclaimed, Party::Recipient)),
    ("return_to_sender", RETURNED),
];

impl Dialect for Shippo {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        Material::read_token(text)
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        Ok(Claim::shown(request.body, request.token()?.as_bytes()))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let document = Document::read(body).ok()?;
        let number = document.word("data.tracking_number").ok()?;
        let status = document.word("data.tracking_status.status").ok()?;
        let at = document
            .text("data.tracking_status.status_date")
            .ok()?
            .unwrap_or_default();
        Some(EventId::Described(format!("{number}/{status}/{at}")))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        match document.word("event")? {
            "track_updated" => (),
            other => return Err(Unmapped::unknown("unknown-type", "event", other)),
        }
        let status = document.word("data.tracking_status.status")?;
        let code = document.text("data.tracking_status.substatus.code")?;
        Ok(PartnerReport::new(mean(status, code)?, status, code)
            .referring_to(document.text("data.metadata")?)
            .booked_as(document.id("data.transaction")?)
            .numbered(Some(document.word("data.tracking_number")?.to_owned()))
            .at(document.instant("data.tracking_status.status_date")))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = mean(&seen.status, seen.reason.as_deref())?;
        Ok(PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

fn mean(status: &str, code: Option<&str>) -> Result<Meaning, Unmapped> {
    let reason = look_up(REASONS, code.unwrap_or_default());
    Ok(match status {
        "UNKNOWN" | "PRE_TRANSIT" => PROGRESS,
        "TRANSIT" => PICKED_UP,
        "DELIVERED" => DELIVERED,
        "RETURNED" if reason == UNKNOWN => failed(RETURNED),
        "RETURNED" | "FAILURE" => failed(reason),
        other => {
            return Err(Unmapped::unknown(
                "unknown-status",
                "data.tracking_status.status",
                other,
            ));
        }
    })
}
