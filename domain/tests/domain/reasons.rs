//! The closed lists, the small words, and that the shipped graph uses the same.

use waybill_domain::{
    CancelReason, EffectName, EventName, FailureReason, FieldName, FieldType, FieldValue, GraphVersion, Kind,
    MachineName, OrderId, Outcome, Revision, Role, StateName,
};

use crate::support::shipped;

fn words_of(field: &str) -> Vec<String> {
    match &shipped().fields()[field].kind {
        FieldType::Words(words) => words.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_shipped_graph_knows_every_failure_reason() {
    let reasons: Vec<String> = FailureReason::ALL.iter().map(ToString::to_string).collect();

    assert_eq!(words_of("failure_reason"), reasons);
    assert_eq!(reasons.len(), 27);
}

#[test]
fn the_shipped_graph_knows_every_cancel_reason() {
    let reasons: Vec<String> = CancelReason::ALL.iter().map(ToString::to_string).collect();

    assert_eq!(words_of("cancel_reason"), reasons);
}

#[test]
fn reasons_are_read_as_they_are_written() {
    for reason in FailureReason::ALL {
        assert_eq!(FailureReason::parse(reason.as_str()), Some(*reason));
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
    for reason in CancelReason::ALL {
        assert_eq!(CancelReason::parse(reason.as_str()), Some(*reason));
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
    }
    assert_eq!(FailureReason::parse("BAD_LUCK"), None);
    assert_eq!(CancelReason::parse("customer_request"), None);
}

#[test]
fn words_are_read_as_they_are_written() {
    for role in Role::ALL {
        assert_eq!(Role::parse(&role.to_string()), Some(role));
        assert_eq!(serde_json::to_value(role).unwrap(), role.as_str());
    }
    for kind in Kind::ALL {
        assert_eq!(Kind::parse(&kind.to_string()), Some(kind));
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
    for outcome in Outcome::ALL {
        assert_eq!(Outcome::parse(&outcome.to_string()), Some(outcome));
        assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
    }
    assert_eq!(
        (Role::parse("boss"), Kind::parse("done"), Outcome::parse("")),
        (None, None, None)
    );
}

#[test]
fn names_are_plain_text_in_json_and_messages() {
    let state = StateName::from("CREATED".to_owned());

    assert_eq!(serde_json::to_string(&state).unwrap(), "\"CREATED\"");
    assert_eq!(serde_json::from_str::<StateName>("\"CREATED\"").unwrap(), state);
    assert_eq!(format!("{state} {state:?}"), "CREATED CREATED");
    assert!(state == *"CREATED" && state == "CREATED" && state != "PICKED_UP");
    let others = [
        EventName::from("A").to_string(),
        FieldName::from("a").to_string(),
        EffectName::from("b").to_string(),
        MachineName::from("c").to_string(),
    ];
    assert_eq!(others, ["A", "a", "b", "c"]);
}

#[test]
fn numbers_and_ids_are_read_as_they_are_written() {
    let id: OrderId = "0192f0a0-0000-7000-8000-000000000001".parse().unwrap();

    assert_eq!(id.to_string(), "0192f0a0-0000-7000-8000-000000000001");
    assert!("17".parse::<OrderId>().is_err());
    assert_eq!(
        (GraphVersion(3).to_string(), Revision(4).next().to_string()),
        ("3".to_owned(), "5".to_owned())
    );
}

#[test]
fn a_value_is_what_json_says() {
    let read = |text: &str| serde_json::from_str::<FieldValue>(text).unwrap();

    assert_eq!(read("true"), FieldValue::Flag(true));
    assert_eq!(read("17"), FieldValue::Integer(17));
    assert_eq!(read("\"17\""), FieldValue::from("17".to_owned()));
    assert_eq!(
        (read("\"x\"").as_text(), read("1").as_text(), read("false").as_text()),
        (Some("x"), None, None)
    );
}
