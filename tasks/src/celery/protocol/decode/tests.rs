use chrono::{TimeZone as _, Utc};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::celery::message::Properties;
use crate::celery::protocol::{Compression, MAX_BODY, Signature, TimeLimit};

/// As Python sends it: countdown, expires, limits, a shadow name, a header of its own.
fn from_python() -> Message {
    let text = |text: &str| HeaderValue::from(text);
    let headers = [
        ("lang", text("py")),
        ("task", text("tasks.add")),
        ("id", text("1111")),
        ("shadow", text("alias")),
        ("eta", text("2026-11-20T11:37:08.284473+00:00")),
        ("expires", text("2026-11-20T12:38:08.284473+01:00")),
        ("group", text("g")),
        ("group_index", HeaderValue::Int(7)),
        ("retries", HeaderValue::Int(2)),
        (
            "timelimit",
            HeaderValue::List(vec![HeaderValue::Int(30), HeaderValue::Float(20.5)]),
        ),
        ("root_id", text("1111")),
        ("parent_id", HeaderValue::Null),
        ("origin", text("gen24334@vm")),
        ("ignore_result", HeaderValue::Bool(true)),
        ("stamped_headers", HeaderValue::List(vec![text("mystamp")])),
        (
            "stamps",
            HeaderValue::Table(Headers::from([("mystamp".to_owned(), text("v1"))])),
        ),
        ("x-custom", text("abc")),
    ];
    Message {
        exchange: String::new(),
        routing_key: "celery".to_owned(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            correlation_id: Some("1111".to_owned()),
            reply_to: Some("replies".to_owned()),
            priority: Some(5),
            ..Properties::default()
        },
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        body: br#"[[2,3],{"z":1},{"callbacks":[{"task":"t"}],"errbacks":null,"chain":null,"chord":null}]"#.to_vec(),
    }
}

#[test]
fn a_message_from_python_is_read_whole() {
    let request = Request::decode(&from_python()).unwrap();

    assert_eq!(
        (request.task.as_str(), request.id.as_str(), request.retries),
        ("tasks.add", "1111", 2)
    );
    assert_eq!(
        (request.args, request.kwargs["z"].clone()),
        (vec![json!(2), json!(3)], json!(1))
    );
    assert_eq!(request.embed.callbacks, json!([{"task": "t"}]));
    assert_eq!(request.eta.unwrap().timestamp_micros() % 1_000_000, 284_473);
    assert_eq!(
        request.expires.unwrap().timestamp(),
        Utc.with_ymd_and_hms(2026, 11, 20, 11, 38, 8).unwrap().timestamp()
    );
    let limits = TimeLimit {
        hard: Some(30.0),
        soft: Some(20.5),
    };
    assert_eq!((request.timelimit, request.ignore_result), (limits, Some(true)));
    assert_eq!(
        (request.reply_to.as_deref(), request.correlation_id.as_deref()),
        (Some("replies"), Some("1111"))
    );
    assert_eq!(
        (request.group, request.group_index, request.parent_id),
        (Some("g".to_owned()), Some(7), None)
    );
    assert_eq!((request.shadow.as_deref(), request.priority), (Some("alias"), Some(5)));
    assert_eq!(
        (request.stamped_headers, request.stamps.len()),
        (vec!["mystamp".to_owned()], 1)
    );
    assert_eq!(request.headers.keys().collect::<Vec<_>>(), ["lang", "x-custom"]);
}

#[test]
fn what_we_send_we_read() {
    let eta = Utc.with_ymd_and_hms(2026, 11, 20, 11, 0, 0).unwrap();
    let signature = Signature::new("oms.delivery_update")
        .id("the-id")
        .queue("oms")
        .eta(eta)
        .ignore_result(true);
    let message = signature
        .kwargs(json!({"sequence": 3}))
        .child_of("p", "r")
        .header("traceparent", "00-a")
        .into_message();

    let request = Request::decode(&message).unwrap();

    assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("", "oms"));
    assert_eq!(message.properties.message_id.as_deref(), Some("the-id"));
    assert_eq!(
        (request.id.as_str(), request.kwargs["sequence"].clone()),
        ("the-id", json!(3))
    );
    assert_eq!(
        (request.parent_id.as_deref(), request.root_id.as_deref()),
        (Some("p"), Some("r"))
    );
    assert_eq!((request.eta, request.ignore_result), (Some(eta), Some(true)));
    assert_eq!(request.kwargsrepr.as_deref(), Some("{'sequence': 3}"));
    assert_eq!(request.argsrepr.as_deref(), Some("()"));
    assert_eq!(request.headers["traceparent"].as_text(), Some("00-a"));
    let names: Vec<_> = message.headers.keys().map(String::as_str).collect();
    let expected = "argsrepr eta expires group group_index id ignore_result kwargsrepr lang origin parent_id \
                    replaced_task_nesting retries root_id shadow stamped_headers stamps task timelimit traceparent";
    assert_eq!(names.join(" "), expected);
    assert!(
        request
            .origin
            .unwrap()
            .starts_with(&format!("gen{}@", std::process::id()))
    );
}

#[test]
fn a_compressed_body_is_read_like_any_other() {
    for compression in [
        "zlib",
        "application/x-bz2",
        "application/x-lzma",
        "application/x-brotli",
        "application/zstd",
    ] {
        let mut message = from_python();
        message.body = Compression::named(compression)
            .unwrap()
            .compress(&message.body)
            .unwrap();
        set(&mut message, "compression", compression.into());

        assert_eq!(
            Request::decode(&message).unwrap().args,
            [json!(2), json!(3)],
            "{compression}"
        );
    }
}

#[test]
fn other_content_types_than_json_are_read_on_request_only() {
    let all = Accept {
        yaml: true,
        msgpack: true,
    };
    for (content_type, body) in [
        (
            "application/x-yaml",
            b"- [2, 3]\n- {}\n- {callbacks: null}\n".as_slice(),
        ),
        ("application/x-msgpack", b"\x93\x92\x02\x03\x80\x80"),
    ] {
        let mut message = from_python();
        message.body = body.to_vec();
        message.properties.content_type = Some(content_type.to_owned());

        assert_eq!(Request::decode_as(&message, all).unwrap().args, [json!(2), json!(3)]);
        assert_eq!(
            Request::decode(&message).unwrap_err().reason,
            "unsupported-content-type"
        );
    }
}

fn version_one(body: Value) -> Message {
    Message {
        headers: Headers::new(),
        body: body.to_string().into_bytes(),
        ..from_python()
    }
}

#[test]
fn protocol_one_is_read_with_and_without_an_id() {
    let body = json!({"task": "t", "id": "1", "args": [1], "kwargs": {"a": 2}, "retries": 3, "eta": "2026-11-20T11:00:00",
        "timelimit": [5, null], "taskset": "g", "utc": true, "callbacks": null, "chord": {"task": "c"}});

    let request = Request::decode(&version_one(body)).unwrap();
    assert_eq!(
        (request.id.as_str(), request.retries, request.group.as_deref()),
        ("1", 3, Some("g"))
    );
    assert_eq!(request.eta, Some(Utc.with_ymd_and_hms(2026, 11, 20, 11, 0, 0).unwrap()));
    assert_eq!(request.embed.chord, json!({"task": "c"}));

    let nameless = version_one(json!({"task": "t"}));
    let ids = [&nameless, &nameless].map(|message| Request::decode(message).unwrap().id);
    assert!(ids[0] == ids[1] && ids[0].len() == 36);
}

#[test]
fn a_mix_of_both_protocols_is_read_and_headers_win() {
    let mut message = from_python();
    message.headers.remove("id");
    message.body = json!({"id": "b", "args": [1], "kwargs": {}, "retries": 9, "group": "g"})
        .to_string()
        .into_bytes();

    let request = Request::decode(&message).unwrap();

    assert_eq!(
        (request.id.as_str(), request.retries, request.group.as_deref()),
        ("b", 2, Some("g"))
    );
    assert_eq!(request.args, [json!(1)]);
}

type Spoil = fn(&mut Message);

/// Every row of what stops or confuses a Python worker, and some more.
const SPOILT: &[(&str, &str, Spoil)] = &[
    ("body-two-elements", "body", |message| {
        message.body = b"[[1,2],{}]".to_vec()
    }),
    ("body-wrong-length", "body", |message| message.body = b"[]".to_vec()),
    ("body-wrong-length", "body", |message| {
        message.body = b"[[],{},{},{}]".to_vec()
    }),
    ("body-not-list", "body", |message| message.body = b"5".to_vec()),
    ("body-not-list", "body", |message| message.body = b"{}".to_vec()),
    ("body-empty", "body", |message| message.body.clear()),
    ("body-not-json", "body[0] (line 1, column 1)", |message| {
        message.body = b"[".to_vec()
    }),
    ("body-not-json", "body[0] (line 1, column 2)", |message| {
        message.body = b"[oops".to_vec()
    }),
    ("body-not-json", "body[0][0] (line 1, column 3)", |message| {
        message.body = b"[[NaN],{},{}]".to_vec()
    }),
    ("body-not-json", "body[1].a (line 1, column 17)", |message| {
        message.body = br#"[[],{"a":"\ud800"},{}]"#.to_vec()
    }),
    ("body-not-utf8", "body (byte 3)", |message| {
        message.body = b"[[\"\xff\"],{},{}]".to_vec()
    }),
    ("integer-too-large", "body (byte 2)", |message| {
        message.body = b"[[99999999999999999999],{},{}]".to_vec()
    }),
    ("nested-too-deep", "body", |message| message.body = vec![b'['; 100_000]),
    ("body-too-large", "body", |message| {
        message.body = vec![b' '; MAX_BODY + 1]
    }),
    ("args-not-list", "body[0]", |message| {
        message.body = b"[5,{},{}]".to_vec()
    }),
    ("args-not-list", "body[0]", |message| {
        message.body = b"[null,{},{}]".to_vec()
    }),
    ("kwargs-not-object", "body[1]", |message| {
        message.body = b"[[],[],{}]".to_vec()
    }),
    ("embed-not-object", "body[2]", |message| {
        message.body = b"[[],{},[]]".to_vec()
    }),
    ("bad-embed", "body[2].callbacks", |message| {
        message.body = br#"[[],{},{"callbacks":["x"]}]"#.to_vec()
    }),
    ("bad-embed", "body[2].chord", |message| {
        message.body = br#"[[],{},{"chord":[]}]"#.to_vec()
    }),
    ("missing-id", "headers.id", |message| drop(message.headers.remove("id"))),
    ("missing-id", "headers.id", |message| set(message, "id", "".into())),
    ("bad-id", "headers.id", |message| {
        set(message, "id", HeaderValue::Int(5))
    }),
    ("bad-id", "headers.id", |message| {
        set(message, "id", HeaderValue::Bytes(vec![0xff]))
    }),
    ("bad-task", "headers.task", |message| {
        set(message, "task", HeaderValue::Int(5))
    }),
    ("bad-task", "headers.task", |message| set(message, "task", "".into())),
    ("bad-timelimit", "headers.timelimit", |message| {
        set(message, "timelimit", HeaderValue::Int(5))
    }),
    ("bad-timelimit", "headers.timelimit", |message| {
        set(message, "timelimit", HeaderValue::List(vec![]))
    }),
    ("bad-timelimit", "headers.timelimit[1]", |message| {
        set(
            message,
            "timelimit",
            HeaderValue::List(vec![HeaderValue::Null, "9".into()]),
        );
    }),
    ("bad-timelimit", "headers.timelimit[0]", |message| {
        set(
            message,
            "timelimit",
            HeaderValue::List(vec![HeaderValue::Float(f64::NAN), HeaderValue::Null]),
        );
    }),
    ("bad-eta", "headers.eta", |message| set(message, "eta", "soon".into())),
    ("bad-eta", "headers.eta", |message| {
        set(message, "eta", HeaderValue::Int(5))
    }),
    ("bad-expires", "headers.expires", |message| {
        set(message, "expires", "2026-13-01T00:00:00".into())
    }),
    ("bad-retries", "headers.retries", |message| {
        set(message, "retries", HeaderValue::Int(-1))
    }),
    ("bad-retries", "headers.retries", |message| {
        set(message, "retries", HeaderValue::Int(i64::MAX))
    }),
    ("bad-retries", "headers.retries", |message| {
        set(message, "retries", "1".into())
    }),
    ("bad-header", "headers.ignore_result", |message| {
        set(message, "ignore_result", "yes".into())
    }),
    ("bad-header", "headers.group", |message| {
        set(message, "group", HeaderValue::Int(5))
    }),
    ("unsupported-content-type", "properties.content_type", |message| {
        content_type(message, Some("text/plain"))
    }),
    ("unsupported-content-type", "properties.content_type", |message| {
        content_type(message, None)
    }),
    ("unsupported-content-type", "properties.content_type", |message| {
        content_type(message, Some("application/x-python-serialize"));
    }),
    (
        "unsupported-content-encoding",
        "properties.content_encoding",
        |message| {
            message.properties.content_encoding = Some("binary".to_owned());
        },
    ),
    ("unknown-compression", "headers.compression", |message| {
        set(message, "compression", "application/x-rar".into())
    }),
    ("unknown-compression", "headers.compression", |message| {
        set(message, "compression", HeaderValue::Int(5))
    }),
    ("bad-compression", "body", |message| {
        set(message, "compression", "application/x-gzip".into())
    }),
    ("body-too-large", "body", |message| {
        set(message, "compression", "application/x-gzip".into());
        message.body = Compression::Zlib.compress(&vec![b' '; MAX_BODY + 1]).unwrap();
    }),
    ("bad-header", "headers.group_index", |message| {
        set(message, "group_index", "1".into())
    }),
    ("bad-header", "headers.stamped_headers", |message| {
        set(message, "stamped_headers", "x".into())
    }),
    ("bad-header", "headers.stamps", |message| {
        set(message, "stamps", HeaderValue::Bool(true))
    }),
    ("unknown-message", "headers.task", |message| {
        drop(message.headers.remove("task"))
    }),
    ("unknown-message", "body.task", |message| {
        message.headers.clear();
        message.body = b"{\"event_id\": \"evt_1\"}".to_vec();
    }),
    ("bad-task", "body.task", |message| {
        message.headers.clear();
        message.body = b"{\"task\": 5}".to_vec();
    }),
    ("args-not-list", "body.args", |message| {
        message.headers.clear();
        message.body = b"{\"task\": \"t\", \"args\": {}}".to_vec();
    }),
    ("bad-eta", "body.eta", |message| {
        message.headers.clear();
        message.body = b"{\"task\": \"t\", \"eta\": {}}".to_vec();
    }),
];

fn set(message: &mut Message, name: &str, value: HeaderValue) {
    message.headers.insert(name.to_owned(), value);
}

fn content_type(message: &mut Message, content_type: Option<&str>) {
    message.properties.content_type = content_type.map(str::to_owned);
}

#[test]
fn everything_malformed_has_its_reason_and_its_place() {
    for (index, (reason, place, spoil)) in SPOILT.iter().enumerate() {
        let mut message = from_python();
        spoil(&mut message);

        let malformed = Request::decode(&message).unwrap_err();

        let found = (malformed.reason, malformed.place.starts_with(place));
        assert_eq!(found, (*reason, true), "row {index}: {malformed}");
        let expects = malformed.detail.starts_with("expected ") && malformed.detail.contains(", found ");
        assert!(expects, "row {index}: {malformed}");
    }
}

#[test]
fn a_malformed_task_is_still_known_by_name_and_id() {
    let mut message = from_python();
    message.body = b"5".to_vec();
    let malformed = Request::decode(&message).unwrap_err();
    assert_eq!(
        (malformed.task.as_deref(), malformed.task_id.as_deref()),
        (Some("tasks.add"), Some("1111"))
    );

    let malformed = Request::decode(&version_one(json!({"task": "t", "id": "1", "eta": 5}))).unwrap_err();
    assert_eq!(
        (malformed.task.as_deref(), malformed.task_id.as_deref()),
        (Some("t"), Some("1"))
    );
}

fn any_header() -> impl Strategy<Value = HeaderValue> {
    let leaf = prop_oneof![
        Just(HeaderValue::Null),
        any::<bool>().prop_map(HeaderValue::Bool),
        any::<i64>().prop_map(HeaderValue::Int),
        any::<f64>().prop_map(HeaderValue::Float),
        ".{0,20}".prop_map(HeaderValue::Text),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(HeaderValue::Bytes),
        any::<u64>().prop_map(HeaderValue::Timestamp),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::vec(inner, 0..4).prop_map(HeaderValue::List)
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}\",:0-9a-z\\\\ .eE+-]{0,80}".prop_map(String::into_bytes),
        r#"\[\[.{0,10}\],\{("task"|"args"|"a"): ?.{0,10}\},(null|\{\})\]"#.prop_map(String::into_bytes),
        r#"\{"task": ?"t", ?"(args|eta|retries|timelimit|callbacks)": ?.{0,20}\}"#.prop_map(String::into_bytes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]
    #[test]
    fn no_message_makes_the_reader_panic(
        body in any_body(),
        name in "(task|id|eta|expires|retries|timelimit|group|compression|ignore_result|origin)",
        value in any_header(),
        keep in any::<bool>(),
    ) {
        let mut message = from_python();
        message.body = body;
        if !keep {
            message.headers.clear();
        }
        message.headers.insert(name, value);

        if let Err(malformed) = Request::decode(&message) {
            prop_assert!(!malformed.place.is_empty());
        }
    }
}
