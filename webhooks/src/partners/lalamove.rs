//! Lalamove: `ORDER_STATUS_CHANGED` and its companions, signed inside the body.
//!
//! Not settled by what Lalamove publishes: how a callback is signed. Third parties agree on HMAC-SHA256 over the time,
//! `POST`, our path and the JSON of `data`; that is verified over the bytes of `data` as they came, so that another way
//! of writing it fails closed. Who cannot use it takes a token in the address (`whtok_…`, `/webhooks/<name>?token=…`).
//! `eventId` and `eventType` are not among the signed bytes: what is reported is read from `data` alone, and the id of
//! an event is derived from the body. An order that Lalamove replaced by another is an operator's matter.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::document::{Document, read_unix};
use super::reason::{BY_PARTNER, NO_COURIER};
use super::report::{DELIVERED, Meaning, PICKED_UP, PROGRESS, cancelled, failed};
use super::{Dialect, EventId, PartnerReport, Seen, Unmapped};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

pub(super) struct Lalamove;

/// What the signature is about. The rest of the envelope is not signed.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    timestamp: &'a RawValue,
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Dialect for Lalamove {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        if text.starts_with("whtok_") {
            Material::read_token(text)
        } else {
            Material::read_text(text)
        }
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        if let Ok(token) = request.token() {
            return Ok(Claim {
                token: Some(Sha256::digest(token).into()),
                ..Claim::of_body(request.body)
            });
        }
        let envelope = serde_json::from_slice::<Envelope<'a>>(request.body);
        let envelope = envelope.map_err(|_| Rejection::Malformed("signature"))?;
        let signature = hex::decode(&*envelope.signature).map_err(|_| Rejection::Malformed("signature"))?;
        let timestamp = envelope.timestamp.get().trim_matches('"');
        let signed_at = timestamp.parse().ok().and_then(read_unix);
        let parts = [
            timestamp,
            "\r\n",
            request.method.as_str(),
            "\r\n",
            request.path,
            "\r\n\r\n",
            envelope.data.get(),
        ];
        Ok(Claim {
            signed: parts
                .into_iter()
                .map(|part| Cow::Owned(part.as_bytes().to_vec()))
                .collect(),
            sha256: vec![signature],
            signed_at: Some(signed_at.ok_or(Rejection::Malformed("timestamp"))?),
            ..Claim::default()
        })
    }

    fn identify(&self, body: &[u8]) -> Option<EventId> {
        let document = Document::read(body).ok()?;
        let order = document.id("data.order.orderId").ok()??;
        let status = document.text("data.order.status").ok()?.unwrap_or("-");
        Some(EventId::Described(format!("{order}/{status}")))
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        let document = Document::read(body)?;
        let kind = document.word("eventType")?;
        let (status, meaning) = match kind {
            "ORDER_STATUS_CHANGED" => {
                let status = document.word("data.order.status")?;
                (status, mean(status)?)
            }
            "ORDER_CREATED"
            | "DRIVER_ASSIGNED"
            | "ORDER_AMOUNT_CHANGED"
            | "ORDER_EDITED"
            | "POD_STATUS_CHANGED"
            | "POP_STATUS_CHANGED"
            | "DELIVERY_CODE_STATUS_CHANGED" => (kind, PROGRESS),
            other => return Err(Unmapped::unknown("unknown-type", "eventType", other)),
        };
        let order = document.id("data.order.orderId")?;
        let order = order.ok_or_else(|| Unmapped::unknown("missing-field", "data.order.orderId", ""))?;
        Ok(PartnerReport::new(meaning, status, None)
            .booked_as(Some(order.clone()))
            .numbered(Some(order))
            .at(document.unix("timestamp")))
    }

    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        Ok(PartnerReport::new(mean(&seen.status)?, &seen.status, seen.reason.as_deref()).seen(seen))
    }
}

fn mean(status: &str) -> Result<Meaning, Unmapped> {
    Ok(match status {
        // A driver who gives an order back puts it here again: nothing was picked up.
        "ASSIGNING_DRIVER" | "ON_GOING" => PROGRESS,
        "PICKED_UP" => PICKED_UP,
        "COMPLETED" => DELIVERED,
        "CANCELED" => cancelled(BY_PARTNER),
        "REJECTED" | "EXPIRED" => failed(NO_COURIER),
        other => return Err(Unmapped::unknown("unknown-status", "data.order.status", other)),
    })
}
