//! Payloads as they may be looked at: what happened and to which thing, and nothing of people. A PIN for the door, a name,
//! an address or a telephone number is never shown by chance.
//!
//! Shown is what is known to be harmless, and everything else is hidden: partners put new fields into payloads, and nobody
//! is asked before.

use serde_json::{Map, Value as Json};

/// Stands for what is hidden.
const HIDDEN: &str = "(hidden)";

/// The longest word that is shown.
const MAX_WORD: usize = 128;

/// Fields that name a thing or say what happened to it, in lower case and without separators.
const PLAIN: [&str; 54] = [
    "attempt",
    "callbackid",
    "cancellationreason",
    "created",
    "createdat",
    "currency",
    "customerid",
    "datacontenttype",
    "deliveryid",
    "deliveryorderid",
    "effectid",
    "eta",
    "event",
    "eventid",
    "eventname",
    "eventtype",
    "expires",
    "externalid",
    "externaldeliveryid",
    "failurereason",
    "format",
    "group",
    "id",
    "kind",
    "lang",
    "livemode",
    "minorunits",
    "mode",
    "object",
    "occurredat",
    "orderid",
    "orderingid",
    "parentid",
    "partnerordernumber",
    "paymentid",
    "quantity",
    "reason",
    "reasoncode",
    "reference",
    "retries",
    "rootid",
    "sequence",
    "sku",
    "source",
    "specversion",
    "state",
    "status",
    "statuscode",
    "statusdetail",
    "substatus",
    "task",
    "taskid",
    "timestamp",
    "type",
];

/// A payload with everything hidden that is not known to be harmless; nothing where it is no JSON.
pub(crate) fn payload(bytes: &[u8]) -> Option<Json> {
    serde_json::from_slice(bytes).ok().map(|whole| value(whole, false))
}

/// The same for JSON that was read.
pub(crate) fn json(whole: Json) -> Json {
    value(whole, false)
}

fn value(whole: Json, plain: bool) -> Json {
    match whole {
        Json::Object(fields) => Json::Object(fields.into_iter().map(field).collect::<Map<_, _>>()),
        Json::Array(items) => items.into_iter().map(|item| value(item, plain)).collect(),
        Json::Null | Json::Bool(_) => whole,
        Json::Number(_) if plain => whole,
        Json::String(ref text) if plain && is_word(text) => whole,
        Json::Number(_) | Json::String(_) => HIDDEN.into(),
    }
}

fn field((name, whole): (String, Json)) -> (String, Json) {
    let shown = if is_name(&name) { name } else { HIDDEN.to_owned() };
    let letters = shown.chars().filter(char::is_ascii_alphanumeric);
    let plain = letters.map(|letter| letter.to_ascii_lowercase()).collect::<String>();
    (shown, value(whole, PLAIN.contains(&plain.as_str())))
}

/// One word: free text has spaces, and may say anything.
fn is_word(text: &str) -> bool {
    text.len() <= MAX_WORD && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// What a program calls a field. Some use what people gave them for names.
fn is_name(name: &str) -> bool {
    let fitting = |letter: char| letter.is_ascii_alphanumeric() || "_-.:".contains(letter);
    name.len() <= 64 && name.chars().all(fitting) && name.chars().filter(char::is_ascii_digit).count() < 4
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_happened_is_shown_and_people_are_not() {
        let whole = json!({
            "id": "evt_1", "kind": "event.delivery_status", "status": "dropoff", "live_mode": true,
            "data": {
                "deliveryId": "del_1", "reason": "left at the door, PIN 4711", "tip": 150,
                "dropoff": {"name": "A. Reader", "phone_number": "+4930000000", "location": {"lat": 52.5}},
                "verification_requirements": {"pincode": {"enabled": true, "value": "4711"}},
                "codes": ["4711", 4711], "+4930000000": "home",
            },
        });

        assert_eq!(
            json(whole),
            json!({
                "id": "evt_1", "kind": "event.delivery_status", "status": "dropoff", "live_mode": true,
                "data": {
                    "deliveryId": "del_1", "reason": HIDDEN, "tip": HIDDEN,
                    "dropoff": {"name": HIDDEN, "phone_number": HIDDEN, "location": {"lat": HIDDEN}},
                    "verification_requirements": {"pincode": {"enabled": true, "value": HIDDEN}},
                    "codes": [HIDDEN, HIDDEN], HIDDEN: HIDDEN,
                },
            })
        );
    }

    #[test]
    fn what_is_no_json_is_not_shown_at_all() {
        assert_eq!(payload(b"pin=4711"), None);
        assert_eq!(payload(b"\xff"), None);
        assert_eq!(payload(b"\"4711\""), Some(HIDDEN.into()));
    }

    #[test]
    fn the_names_are_sorted_so_that_none_is_there_twice() {
        assert!(PLAIN.is_sorted_by(|a, b| a != b), "{PLAIN:?}");
        assert!(
            PLAIN
                .iter()
                .all(|name| name.chars().all(|letter| letter.is_ascii_lowercase()))
        );
    }
}
