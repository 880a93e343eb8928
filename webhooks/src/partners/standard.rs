//! Our own contract: `{"type", "timestamp", "data": {"reference", "partner_order_number", "failure_reason", "note"}}`,
//! signed as Standard Webhooks say.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use waybill_domain::{FailureReason, FieldValue, Fields};

use super::{Dialect, EventId, PartnerReport, ReportKind, Seen, Unmapped, json};
use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::{Rejection, read_standard};

/// What is kept of a reason that we do not know.
const MAX_RAW_REASON: usize = 500;

pub(super) struct Standard;

impl Dialect for Standard {
    fn read_key(&self, text: &str) -> Result<Material, BadKey> {
        Material::read_standard(text)
    }

    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        read_standard(request)
    }

    /// The id is a header.
    fn identify(&self, _body: &[u8]) -> Option<EventId> {
        None
    }

    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        translate(body)
    }

    /// The statuses of `GET /v1/deliveries`.
    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        let meaning = match &*seen.status {
            "booked" | "accepted" | "created" => return Ok(progress(&seen.status).seen(seen)),
            status => find_meaning(&format!("delivery.{status}"))
                .ok_or_else(|| Unmapped::unknown("unknown-status", "status", status))?,
        };
        let reason = seen.reason.clone().map(Value::String);
        Ok(report(&meaning, &seen.status, None, reason.as_ref()).seen(seen))
    }
}

fn progress(word: &str) -> PartnerReport {
    PartnerReport::new((ReportKind::Progress, None, false), word, None)
}

/// What each type of callback means.
struct Meaning {
    kind: ReportKind,
    cancelled: bool,
    /// The reason where the partner gives none; `None` where the event has no reason.
    reason: Option<FailureReason>,
}

fn find_meaning(name: &str) -> Option<Meaning> {
    use FailureReason::{CancelledByPartner, PartnerRejected, Unknown};
    use ReportKind::{Delivered, Failed, PickedUp, Rejected};
    let (kind, cancelled, reason) = match name {
        "delivery.picked_up" => (PickedUp, false, None),
        "delivery.delivered" => (Delivered, false, None),
        "delivery.failed" => (Failed, false, Some(Unknown)),
        "delivery.cancelled" => (Failed, true, Some(CancelledByPartner)),
        "delivery.rejected" => (Rejected, false, Some(PartnerRejected)),
        _ => return None,
    };
    Some(Meaning {
        kind,
        cancelled,
        reason,
    })
}

fn report(meaning: &Meaning, word: &str, number: Option<&str>, reason: Option<&Value>) -> PartnerReport {
    PartnerReport {
        cancelled: meaning.cancelled,
        fields: collect_fields(meaning, number, reason),
        partner_order_number: number.map(str::to_owned),
        ..PartnerReport::new((meaning.kind, None, false), word, None)
    }
}

/// Says what a callback in our contract reports.
fn translate(body: &[u8]) -> Result<PartnerReport, Unmapped> {
    let Value::Object(envelope) = json::read(body)? else {
        return Err(unmapped("wrong-type", "", "the body is not an object"));
    };
    let name = read_text(&envelope, "type", "type")?.ok_or_else(|| unmapped("missing-type", "type", "no type"))?;
    let meaning = find_meaning(name).ok_or_else(|| Unmapped::unknown("unknown-type", "type", name))?;
    let data = match envelope.get("data") {
        Some(Value::Object(data)) => data,
        Some(_) => return Err(unmapped("wrong-type", "data", "not an object")),
        None => return Err(unmapped("missing-reference", "data", "no data")),
    };
    let reference = read_text(data, "reference", "data.reference")?;
    let number = read_text(data, "partner_order_number", "data.partner_order_number")?;
    if reference.is_none() && number.is_none() {
        return Err(unmapped(
            "missing-reference",
            "data.reference",
            "neither reference nor partner_order_number",
        ));
    }
    Ok(PartnerReport {
        reference: reference.map(str::to_owned),
        occurred_at: envelope.get("timestamp").and_then(read_instant),
        ..report(&meaning, name, number, data.get("failure_reason"))
    })
}

/// What the event brings. A missing number is no matter of translation: the graph asks for it.
fn collect_fields(meaning: &Meaning, number: Option<&str>, reason: Option<&Value>) -> Fields {
    let mut fields = Fields::new();
    if let (ReportKind::PickedUp, Some(number)) = (meaning.kind, number) {
        fields.insert("partner_order_number".into(), FieldValue::from(number));
    }
    if let Some(without_reason) = meaning.reason {
        let (reason, raw) = read_reason(reason, without_reason);
        fields.insert("failure_reason".into(), FieldValue::from(reason.as_str()));
        if let Some(raw) = raw {
            fields.insert("failure_raw".into(), FieldValue::from(raw));
        }
    }
    fields
}

/// The reason, and the partner's own words where we do not know them. Never a refusal: the failure itself is the news.
fn read_reason(given: Option<&Value>, without_reason: FailureReason) -> (FailureReason, Option<String>) {
    let raw = match given {
        None | Some(Value::Null) => return (without_reason, None),
        Some(Value::String(text)) if text.trim().is_empty() => return (without_reason, None),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(other) => other.to_string(),
    };
    match FailureReason::parse(&raw) {
        Some(reason) => (reason, None),
        None => (FailureReason::Unknown, Some(shorten(&raw, MAX_RAW_REASON))),
    }
}

/// A text that is there and not empty. Control characters have no place in a number or a reference.
fn read_text<'a>(object: &'a Map<String, Value>, key: &str, place: &str) -> Result<Option<&'a str>, Unmapped> {
    match object.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.chars().any(char::is_control) => {
            Err(unmapped("wrong-type", place, "has control characters"))
        }
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(unmapped("wrong-type", place, "not a text")),
    }
}

/// The partner's time, if it is one. It is told, never relied on, so a wrong one is no reason to lose the news.
fn read_instant(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?)
        .ok()
        .map(|instant| instant.with_timezone(&Utc))
}

/// At most so many characters, and none that a terminal or a database would stumble over.
fn shorten(text: &str, most: usize) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(most)
        .collect()
}

fn unmapped(code: &'static str, place: &str, detail: &str) -> Unmapped {
    let place = if place.is_empty() { "body" } else { place };
    Unmapped {
        code,
        place: place.to_owned(),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(body: Value) -> PartnerReport {
        translate(body.to_string().as_bytes()).unwrap()
    }

    fn refusal(body: Value) -> (&'static str, String) {
        let unmapped = translate(body.to_string().as_bytes()).unwrap_err();
        (unmapped.code, unmapped.place)
    }

    fn failed(reason: Value) -> Fields {
        report(json!({"type": "delivery.failed", "data": {"reference": "r", "failure_reason": reason}})).fields
    }

    fn text<'a>(fields: &'a Fields, name: &str) -> Option<&'a str> {
        fields.get(name).and_then(FieldValue::as_text)
    }

    #[test]
    fn a_pick_up_brings_the_partners_number() {
        let report = report(json!({
            "type": "delivery.picked_up",
            "timestamp": "2026-11-20T12:00:00+01:00",
            "data": {"reference": "0191c3f0-0000-7000-8000-000000000001", "partner_order_number": "P-1", "extra": [1]},
        }));

        assert_eq!(report.kind, ReportKind::PickedUp);
        assert_eq!(report.kind.event().unwrap(), "PARTNER_PICKED_UP");
        assert_eq!(
            report.reference.as_deref(),
            Some("0191c3f0-0000-7000-8000-000000000001")
        );
        assert_eq!(report.partner_order_number.as_deref(), Some("P-1"));
        assert_eq!(text(&report.fields, "partner_order_number"), Some("P-1"));
        assert_eq!(report.occurred_at.unwrap().to_rfc3339(), "2026-11-20T11:00:00+00:00");
        assert!(!report.cancelled);
    }

    #[test]
    fn a_pick_up_without_number_is_still_a_report() {
        let report = report(json!({"type": "delivery.picked_up", "data": {"reference": "r"}}));

        assert_eq!(report.kind.event().unwrap(), "PARTNER_PICKED_UP");
        assert!(report.fields.is_empty());
    }

    #[test]
    fn each_type_means_its_event() {
        for (name, event, cancelled, reason) in [
            ("delivery.picked_up", "PARTNER_PICKED_UP", false, None),
            ("delivery.delivered", "PARTNER_DELIVERED", false, None),
            ("delivery.failed", "PARTNER_FAILED", false, Some("UNKNOWN")),
            (
                "delivery.cancelled",
                "PARTNER_FAILED",
                true,
                Some("CANCELLED_BY_PARTNER"),
            ),
            ("delivery.rejected", "PARTNER_REJECTED", false, Some("PARTNER_REJECTED")),
        ] {
            let report = report(json!({"type": name, "data": {"reference": "r"}}));

            assert_eq!(report.kind.event().unwrap(), event, "{name}");
            assert_eq!(report.cancelled, cancelled, "{name}");
            assert_eq!(text(&report.fields, "failure_reason"), reason, "{name}");
            assert_eq!(text(&report.fields, "failure_raw"), None, "{name}");
        }
    }

    #[test]
    fn a_known_reason_is_kept() {
        let fields = failed(json!("RECIPIENT_REFUSED"));

        assert_eq!(text(&fields, "failure_reason"), Some("RECIPIENT_REFUSED"));
        assert_eq!(text(&fields, "failure_raw"), None);
    }

    #[test]
    fn an_unknown_reason_becomes_unknown_with_the_partners_words() {
        for (given, raw) in [
            (json!("dog ate it"), "dog ate it".to_owned()),
            (json!("a\u{0}b\nc"), "a b c".to_owned()),
            (json!(42), "42".to_owned()),
            (json!({"code": "X"}), r#"{"code":"X"}"#.to_owned()),
            (json!("ä".repeat(600)), "ä".repeat(500)),
        ] {
            let fields = failed(given);

            assert_eq!(text(&fields, "failure_reason"), Some("UNKNOWN"));
            assert_eq!(text(&fields, "failure_raw"), Some(&*raw));
        }
    }

    #[test]
    fn a_reason_that_says_nothing_is_none() {
        for given in [json!(null), json!(""), json!("  ")] {
            assert_eq!(text(&failed(given), "failure_raw"), None);
        }
    }

    #[test]
    fn the_partners_number_alone_tells_which_order_is_meant() {
        let report = report(json!({"type": "delivery.delivered", "data": {"partner_order_number": "P-1"}}));

        assert_eq!(report.reference, None);
        assert_eq!(report.partner_order_number.as_deref(), Some("P-1"));
        assert!(report.fields.is_empty(), "it was told when it was picked up");
    }

    #[test]
    fn a_time_that_is_none_does_not_lose_the_news() {
        for timestamp in [
            json!("yesterday"),
            json!(1_700_000_000),
            json!("2026-11-20T12:00:00"),
            json!(null),
        ] {
            let report =
                report(json!({"type": "delivery.delivered", "timestamp": timestamp, "data": {"reference": "r"}}));

            assert_eq!(report.occurred_at, None);
        }
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_place() {
        for (body, code, place) in [
            (json!([]), "wrong-type", "body"),
            (json!({}), "missing-type", "type"),
            (json!({"type": ""}), "missing-type", "type"),
            (json!({"type": 1}), "wrong-type", "type"),
            (
                json!({"type": "delivery.eaten", "data": {"reference": "r"}}),
                "unknown-type",
                "type",
            ),
            (
                json!({"type": "DELIVERY.FAILED", "data": {"reference": "r"}}),
                "unknown-type",
                "type",
            ),
            (json!({"type": "delivery.failed"}), "missing-reference", "data"),
            (json!({"type": "delivery.failed", "data": null}), "wrong-type", "data"),
            (
                json!({"type": "delivery.failed", "data": {}}),
                "missing-reference",
                "data.reference",
            ),
            (
                json!({"type": "delivery.failed", "data": {"reference": " "}}),
                "missing-reference",
                "data.reference",
            ),
            (
                json!({"type": "delivery.failed", "data": {"reference": 7}}),
                "wrong-type",
                "data.reference",
            ),
            (
                json!({"type": "delivery.failed", "data": {"reference": "a\u{0}"}}),
                "wrong-type",
                "data.reference",
            ),
            (
                json!({"type": "delivery.picked_up", "data": {"reference": "r", "partner_order_number": 7}}),
                "wrong-type",
                "data.partner_order_number",
            ),
        ] {
            assert_eq!(refusal(body.clone()), (code, place.to_owned()), "{body}");
        }
    }

    #[test]
    fn a_body_that_is_no_json_is_unmapped() {
        assert_eq!(translate(b"type=delivery.failed").unwrap_err().code, "not-json");
    }
}
