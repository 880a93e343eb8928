//! DoorDash Drive: `event_name`, with the credentials that we gave it in `Authorization`.
//!
//! DoorDash signs nothing. It sends `Basic` credentials that were agreed upon, which are this partner's keys as
//! `user:password`; its OAuth variant, in which it would fetch tokens from us, is refused. A callback says `event_name`
//! and not `delivery_status`. It has no id: one is derived. The list of its `cancellation_reason` is not published:
//! the code is kept, and the reason is that the partner called it off.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::document::Document;
use super::reason::{BY_PARTNER, RETURNED};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material, check_length};
use crate::signature::Rejection;

const CREDENTIALS: &str = "authorization";

pub(super) struct DoorDash;

impl Dialect for DoorDash {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        check_length(text)?;
        let (user, password) = text.split_once(':').ok_or(BadKey::Credentials)?;
        if user.is_empty() || password.is_empty() {
            return Err(BadKey::Credentials);
        }
        Ok(Material::Token(Sha256::digest(text).into()))
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        let malformed = || Rejection::Malformed(CREDENTIALS);
        let (scheme, encoded) = request.header(CREDENTIALS)?.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(malformed());
        }
        let shown = STANDARD.decode(encoded.trim()).map_err(|_| malformed())?;
        Ok(Claim::shown(request.body, &shown))
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let document = Document::read(body).ok()?;
        let delivery = document.word("external_delivery_id").ok()?;
        let name = document.word("event_name").ok()?;
        let at = document.text("created_at").ok()?.unwrap_or_default();
        Some(EventId::Described(format!("{delivery}/{name}/{at}")))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        let name = document.word("event_name")?;
        let raw = document.text("cancellation_reason")?;
        let delivery = document.word("external_delivery_id")?;
        Ok(PartnerReport::new(mean(name)?, name, raw)
            .referring_to(Some(delivery))
            .booked_as(Some(delivery.to_owned()))
            .numbered(Some(delivery.to_owned()))
            .at(document.instant("created_at")))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = match &*seen.status {
            "created" | "confirmed" | "enroute_to_pickup" | "arrived_at_pickup" => PROGRESS,
            "picked_up" | "enroute_to_dropoff" | "arrived_at_dropoff" => PICKED_UP,
            "delivered" => DELIVERED,
            "cancelled" => cancelled(BY_PARTNER),
            "returned" => failed(RETURNED),
            other => return Err(Unmapped::unknown("unknown-status", "delivery_status", other)),
        };
        let report = PartnerReport::new(meaning, &seen.status, seen.reason.as_deref()).seen(seen);
        Ok(report.referring_to(Some(&seen.booking_id)))
    }
}

fn mean(name: &str) -> Result<Meaning, Unmapped> {
    Ok(match name {
        "DASHER_CONFIRMED"
        | "DASHER_CONFIRMED_PICKUP_ARRIVAL"
        | "DASHER_ENROUTE_TO_PICKUP"
        | "dasher_enroute_to_pickup"
        | "DELIVERY_BATCHED" => PROGRESS,
        "DASHER_PICKED_UP"
        | "DASHER_CONFIRMED_DROPOFF_ARRIVAL"
        | "DASHER_ENROUTE_TO_DROPOFF"
        | "dasher_enroute_to_dropoff" => PICKED_UP,
        "DASHER_DROPPED_OFF" => DELIVERED,
        "DELIVERY_CANCELLED" => cancelled(BY_PARTNER),
        "DELIVERY_RETURN_INITIALIZED" | "DASHER_CONFIRMED_RETURN_ARRIVAL" | "DELIVERY_RETURNED" => failed(RETURNED),
        other => return Err(Unmapped::unknown("unknown-status", "event_name", other)),
    })
}
