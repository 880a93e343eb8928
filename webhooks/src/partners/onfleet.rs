//! Onfleet: triggers of tasks, signed by `X-Onfleet-Signature`.
//!
//! Hexadecimal HMAC-SHA512 over the raw body, keyed with the bytes that the secret spells in hexadecimal. A callback
//! has no id: one is derived from task, trigger and time. The reasons of a failed task are a list that each
//! organisation makes for itself: the code is kept, and the reason is unknown. An address is validated by
//! `GET …?check=`, which the route echoes.

use super::document::Document;
use super::reason::{BY_PARTNER, UNKNOWN};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material, check_length};
use crate::signature::Rejection;

pub(super) struct Onfleet;

const REASON: &str = "data.task.completionDetails.failureReason";

impl Dialect for Onfleet {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        check_length(text)?;
        let bytes = hex::decode(text).map_err(|_| BadKey::Hex)?;
        Ok(Material::Sha512(bytes.into()))
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        let signature = request.hex_header("x-onfleet-signature", "")?;
        Ok(Claim {
            sha512: vec![signature],
            ..Claim::of_body(request.body)
        })
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let document = Document::read(body).ok()?;
        let task = document.word("taskId").ok()?;
        let trigger = document.number("triggerId")?;
        let time = document.number("time")?;
        Some(EventId::Described(format!("{task}/{trigger}/{time}")))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        let trigger = document
            .id("triggerId")?
            .ok_or_else(|| Unmapped::unknown("missing-field", "triggerId", ""))?;
        let raw = document.text(REASON)?;
        let success = document.flag("data.task.completionDetails.success");
        let (word, meaning) = match &*trigger {
            "0" => ("taskStarted", PICKED_UP),
            "3" if success == Some(false) => ("taskCompleted", failed(UNKNOWN)),
            "3" => ("taskCompleted", DELIVERED),
            "4" => ("taskFailed", failed(UNKNOWN)),
            "6" => ("taskCreated", PROGRESS),
            "7" => ("taskUpdated", PROGRESS),
            "8" => ("taskDeleted", cancelled(BY_PARTNER)),
            "9" => ("taskAssigned", PROGRESS),
            other => return Err(Unmapped::unknown("unknown-type", "triggerId", other)),
        };
        let task = document.word("taskId")?.to_owned();
        Ok(PartnerReport::new(meaning, word, raw)
            .booked_as(Some(task.clone()))
            .numbered(Some(task))
            .at(document.unix("time")))
    }

    /// The states of a task, and whether a completed one succeeded: `3:failed` where it did not.
    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning: Meaning = match &*seen.status {
            "0" | "1" => PROGRESS,
            "2" => PICKED_UP,
            "3" => DELIVERED,
            "3:failed" => failed(UNKNOWN),
            other => return Err(Unmapped::unknown("unknown-status", "state", other)),
        };
        Ok(PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}
