//! Every partner's language against its folder of fixtures, and every way of signing against vectors.

mod signing;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};
use waybill_domain::FieldValue;

use super::*;

/// One line of a partner's `table.json`: a body, what is changed in it, and what it says.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    file: String,
    #[serde(default)]
    set: Map<String, Value>,
    /// A kind of report, or the code of what is not understood.
    says: String,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    raw: Option<String>,
    #[serde(default)]
    cancelled: bool,
    /// What the id is, or what it starts with where it ends in a slash.
    id: Option<String>,
    #[serde(default, deserialize_with = "given")]
    booking: Option<Option<String>>,
    number: Option<String>,
    #[serde(default, deserialize_with = "given")]
    reference: Option<Option<String>>,
    at: Option<String>,
}

/// Tells `null` from nothing.
fn given<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(source).map(Some)
}

fn folder(adapter: Adapter) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/partners")
        .join(adapter.as_str())
}

fn body(adapter: Adapter, row: &Row) -> Vec<u8> {
    let text = fs::read_to_string(folder(adapter).join(format!("{}.json", row.file))).unwrap();
    let mut body: Value = serde_json::from_str(&text).unwrap();
    for (path, value) in &row.set {
        let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
        let parents = parents.split('.').filter(|key| !key.is_empty());
        let parent = parents.fold(&mut body, |value, key| &mut value[key]);
        parent[last] = value.clone();
    }
    body.to_string().into_bytes()
}

fn check(adapter: Adapter, row: &Row) {
    let body = body(adapter, row);
    let report = match adapter.translate(&body) {
        Ok(report) => report,
        Err(unmapped) => return assert_eq!(unmapped.code, row.says, "{adapter:?} {row:?}"),
    };
    let text = |name: &str| report.fields.get(name).and_then(FieldValue::as_text).map(str::to_owned);
    assert_eq!(format!("{:?}", report.kind), row.says, "{adapter:?} {row:?}");
    assert_eq!(text("failure_reason"), row.reason, "{adapter:?} {row:?}");
    assert_eq!(text("failure_raw"), row.raw, "{adapter:?} {row:?}");
    assert_eq!(report.cancelled, row.cancelled, "{adapter:?} {row:?}");
    if report.kind == ReportKind::PickedUp {
        assert_eq!(text("partner_order_number"), report.partner_order_number, "{row:?}");
    }
    if let Some(booking) = &row.booking {
        assert_eq!(&report.booking_id, booking, "{adapter:?} {row:?}");
    }
    if let Some(reference) = &row.reference {
        assert_eq!(&report.reference, reference, "{adapter:?} {row:?}");
    }
    if row.number.is_some() {
        assert_eq!(report.partner_order_number, row.number, "{adapter:?} {row:?}");
    }
    if let Some(at) = &row.at {
        let expected = chrono::DateTime::parse_from_rfc3339(at).unwrap();
        assert_eq!(report.occurred_at.unwrap(), expected, "{adapter:?} {row:?}");
    }
    if let Some(id) = &row.id {
        match adapter.identify(&body) {
            Some(EventId::Given(given)) => assert_eq!(given, *id, "{adapter:?}"),
            Some(EventId::Described(words)) => assert_eq!(format!("{words}/"), *id, "{adapter:?}"),
            None => panic!("{adapter:?} does not tell events apart"),
        }
    }
}

#[test]
fn every_partner_says_what_its_table_says() {
    for adapter in Adapter::ALL.iter().copied() {
        let table = fs::read_to_string(folder(adapter).join("table.json")).unwrap();
        let rows: Vec<Row> = serde_json::from_str(&table).unwrap();
        assert!(rows.len() >= 10, "{adapter:?}");

        for row in &rows {
            check(adapter, row);
        }
    }
}

#[test]
fn nobodys_words_are_shown_unless_they_are_words() {
    let row = |set: Value| Row {
        set: set.as_object().unwrap().clone(),
        ..serde_json::from_str(r#"{"file": "status", "says": ""}"#).unwrap()
    };
    let leak = "A. Reader, Kastanienallee 7; code 4711";

    for set in [
        serde_json::json!({"status": leak}),
        serde_json::json!({"kind": leak}),
        serde_json::json!({"kind": "x".repeat(200)}),
    ] {
        let unmapped = Adapter::Uber.translate(&body(Adapter::Uber, &row(set))).unwrap_err();

        assert!(!unmapped.to_string().contains("4711"), "{unmapped}");
        assert!(unmapped.to_string().len() < 200, "{unmapped}");
    }
}

#[test]
fn every_partner_understands_what_it_is_seen_to_say() {
    for (adapter, status, reason, kind) in [
        (Adapter::Standard, "booked", None, ReportKind::Progress),
        (Adapter::Standard, "picked_up", None, ReportKind::PickedUp),
        (Adapter::Standard, "failed", Some("LOST"), ReportKind::Failed),
        (
            Adapter::AfterShip,
            "Exception",
            Some("Exception_013"),
            ReportKind::Failed,
        ),
        (Adapter::DoorDash, "delivered", None, ReportKind::Delivered),
        (Adapter::EasyPost, "failure", Some("lost"), ReportKind::Failed),
        (Adapter::Lalamove, "PICKED_UP", None, ReportKind::PickedUp),
        (Adapter::Onfleet, "3", None, ReportKind::Delivered),
        (Adapter::Onfleet, "3:failed", Some("GONE"), ReportKind::Failed),
        (Adapter::Sendcloud, "Parcel en route", None, ReportKind::PickedUp),
        (Adapter::Shippo, "FAILURE", Some("package_lost"), ReportKind::Failed),
        (Adapter::Stuart, "cancelled", Some("no_supply"), ReportKind::Failed),
        (
            Adapter::Uber,
            "canceled",
            Some("customer_unavailable"),
            ReportKind::Failed,
        ),
    ] {
        let seen = Seen {
            booking_id: "b-1".to_owned(),
            status: status.to_owned(),
            reason: reason.map(str::to_owned),
            partner_order_number: None,
        };

        let report = adapter.interpret(&seen).unwrap();

        assert_eq!(report.kind, kind, "{adapter:?}");
        assert_eq!(report.booking_id.as_deref(), Some("b-1"), "{adapter:?}");
        let unknown = Seen {
            status: "no such status".to_owned(),
            ..seen
        };
        assert_eq!(
            adapter.interpret(&unknown).unwrap_err().code,
            "unknown-status",
            "{adapter:?}"
        );
    }
}

#[test]
fn an_adapter_is_found_by_its_name() {
    for adapter in Adapter::ALL {
        assert_eq!(Adapter::parse(adapter.as_str()), Some(*adapter));
    }
    assert_eq!(Adapter::parse("Uber"), None);
}

proptest::proptest! {
    #[test]
    fn whatever_comes_no_language_panics(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        for adapter in Adapter::ALL {
            let _ = (adapter.translate(&body), adapter.identify(&body));
        }
    }
}
