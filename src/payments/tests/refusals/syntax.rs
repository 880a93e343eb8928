//! What is no JSON, too much of it, or called something else.

use super::super::{PLAIN, json, message, plain, put};
use super::refused;

#[test]
fn what_is_no_json_is_refused_at_its_line_and_column() {
    let deep = format!("{{\"a\":\n{}{}}}", "[".repeat(64), "]".repeat(64));
    #[rustfmt::skip]
    let bodies: [(&[u8], &str, &str); 21] = [
        (b"", "not-json", "line 1 column 0"),
        (b"payment", "not-json", "line 1 column 1"),
        (b"{\n  \"event_id\" \"evt_1\"}", "not-json", "line 2 column 14"),
        (b"{\"event_id\": \"evt_1\",}", "not-json", "line 1 column 22"),
        (b"{\"event_id\": 'evt_1'}", "not-json", "line 1 column 14"),
        (b"{\"a\": NaN}", "not-json", "line 1 column 7"),
        (b"{\"a\": 01}", "not-json", "line 1 column 8"),
        (b"{\"a\": \"\\ud800\"}", "not-json", "line 1 column 14"),
        (b"{} {}", "not-json", "line 1 column 4"),
        (b"\xef\xbb\xbf{}", "not-json", "line 1 column 1"),
        (b"{\"a\":\n \"\xff\"}", "not-utf8", "line 2 column 3"),
        (b"{\"a\": \"\xc3", "not-utf8", "line 1 column 8"),
        (b"[]", "wrong-type", "body"),
        (b"null", "wrong-type", "body"),
        (deep.as_bytes(), "too-deep", "line 2 column 64"),
        (b"{\"event_id\": \"a\", \"event_id\": \"a\"}", "duplicate-key", "event_id"),
        (b"{\"event_id\": \"a\", \"event\\u005fid\": \"b\"}", "duplicate-key", "event_id"),
        (b"{\"data\": {\"items\": [{}, {\"sku\": 1, \"sku\": 1}]}}", "duplicate-key", "data.items[1].sku"),
        (b"{\"data\": {\"A. Reader\": {\"a@b\": 1, \"a@b\": 1}}}", "duplicate-key", "data.?.?"),
        (b"[{\"id\": 1, \"id\": 2}]", "duplicate-key", "body[0].id"),
        (b"{\"a\": 1e999}", "not-json", "line 1 column 11"),
    ];
    for (body, reason, place) in bodies {
        let malformed = refused(&plain(body));

        let told = String::from_utf8_lossy(body);
        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{told}: {malformed}"
        );
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_parsed() {
    let body = " ".repeat(1_048_577);
    let mut long = json(PLAIN);
    put(&mut long, "/data/note", Some("x".repeat(4_097).into()));
    let long_name = format!("{{\"{}\": 1}}", "x".repeat(4_097));
    // Deep enough to overflow a stack, if anybody recursed.
    let brackets = "[".repeat(1_000_000);
    #[rustfmt::skip]
    let rows = [
        (body, "too-large", "body"),
        (brackets, "too-deep", "line 1 column 65"),
        (long.to_string(), "too-long", "data.?"),
        (long_name, "too-long", "?"),
    ];
    for (body, reason, place) in rows {
        let malformed = refused(&plain(body));

        assert_eq!(
            (malformed.reason, malformed.place.as_str()),
            (reason, place),
            "{malformed}"
        );
    }
}

#[test]
fn other_content_types_and_encodings_are_refused() {
    let other = [
        "text/plain",
        "application/xml",
        "application/x-python-serialize",
        "application/data",
        "application/json; charset=latin-1",
        "application/cloudevents+json; charset=utf-16",
        "application/cloudevents-batch+json",
        "json",
    ];
    for content_type in other {
        let malformed = refused(&message(content_type, PLAIN));

        let found = (malformed.reason, malformed.place.as_str());
        assert_eq!(
            found,
            ("unsupported-content-type", "properties.content_type"),
            "{content_type}"
        );
    }
    for encoding in ["gzip", "binary", "utf-16", "base64"] {
        let mut event = plain(PLAIN);
        event.properties.content_encoding = Some(encoding.to_owned());

        let malformed = refused(&event);

        let found = (malformed.reason, malformed.place.as_str());
        assert_eq!(
            found,
            ("unsupported-content-encoding", "properties.content_encoding"),
            "{encoding}"
        );
        assert_eq!(malformed.detail, format!("expected utf-8 or none, found {encoding}"));
    }
}
