//! What stops or silences a Python worker: each such message is kept whole, and whoever waits gets Python's type.

use super::*;
use crate::celery::message::Properties;

type Spoil = fn(&mut Message);

/// The message, the reason it is kept for, and the exception that its sender gets.
const MATRIX: &[(&str, Spoil, &str, Option<&str>)] = &[
    (
        "two elements",
        |it| it.body = b"[[1,2],{}]".to_vec(),
        "body-two-elements",
        Some("builtins.ValueError"),
    ),
    (
        "a number",
        |it| it.body = b"5".to_vec(),
        "body-not-list",
        Some("builtins.TypeError"),
    ),
    (
        "no body",
        |it| it.body.clear(),
        "body-empty",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "no id anywhere",
        |it| {
            it.headers.remove("id");
            it.properties.correlation_id = None;
        },
        "missing-id",
        None,
    ),
    (
        "no id but a correlation id",
        |it| drop(it.headers.remove("id")),
        "missing-id",
        Some("builtins.KeyError"),
    ),
    (
        "a time limit that is no list",
        |it| header(it, "timelimit", HeaderValue::Int(5)),
        "bad-timelimit",
        Some("builtins.TypeError"),
    ),
    (
        "no JSON",
        |it| it.body = b"[[".to_vec(),
        "body-not-json",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "NaN, which Python reads",
        |it| it.body = b"[[NaN],{},{}]".to_vec(),
        "body-not-json",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "a lone surrogate, which Python reads",
        |it| it.body = br#"[["\ud800"],{},{}]"#.to_vec(),
        "body-not-json",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "an integer of more than 64 bits, which Python reads",
        |it| it.body = b"[[18446744073709551616],{},{}]".to_vec(),
        "integer-too-large",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "no UTF-8",
        |it| it.body = b"[[\"\xff\"],{},{}]".to_vec(),
        "body-not-utf8",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "an unknown compression",
        |it| header(it, "compression", "application/x-rar".into()),
        "unknown-compression",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "a compression that it has not",
        |it| header(it, "compression", "application/x-gzip".into()),
        "bad-compression",
        Some("kombu.exceptions.DecodeError"),
    ),
    (
        "text",
        |it| it.properties.content_type = Some("text/plain".to_owned()),
        "unsupported-content-type",
        Some("kombu.exceptions.ContentDisallowed"),
    ),
    (
        "pickle",
        |it| it.properties.content_type = Some("application/x-python-serialize".to_owned()),
        "unsupported-content-type",
        Some("kombu.exceptions.ContentDisallowed"),
    ),
    (
        "an eta that is no instant",
        |it| header(it, "eta", "soon".into()),
        "bad-eta",
        Some("celery.exceptions.InvalidTaskError"),
    ),
    (
        "an eta that is a number",
        |it| header(it, "eta", HeaderValue::Int(5)),
        "bad-eta",
        Some("celery.exceptions.InvalidTaskError"),
    ),
    (
        "no task",
        |it| drop(it.headers.remove("task")),
        "unknown-message",
        Some("celery.exceptions.InvalidTaskError"),
    ),
    (
        "a task that is not here",
        |it| header(it, "task", "dance".into()),
        "unknown-task",
        Some("celery.exceptions.NotRegistered"),
    ),
    (
        "wrong arguments",
        |it| it.body = b"[[],{\"order\":\"jump\"},{}]".to_vec(),
        "wrong-arguments",
        Some("builtins.TypeError"),
    ),
    (
        "positional arguments that are no list",
        |it| it.body = b"[5,{},{}]".to_vec(),
        "args-not-list",
        Some("builtins.TypeError"),
    ),
    (
        "keyword arguments that are a list",
        |it| it.body = b"[[],[],{}]".to_vec(),
        "kwargs-not-object",
        Some("celery.exceptions.InvalidTaskError"),
    ),
    (
        "a callback that is text",
        |it| it.body = br#"[[],{},{"callbacks":["x"]}]"#.to_vec(),
        "bad-embed",
        Some("builtins.AttributeError"),
    ),
];

fn header(message: &mut Message, name: &str, value: HeaderValue) {
    message.headers.insert(name.to_owned(), value);
}

#[tokio::test]
async fn what_stops_or_silences_a_python_worker_is_kept_whole_and_told() {
    for (what, spoil, reason, told) in MATRIX {
        let world = Arc::new(World::default());
        let mut message = order(json!({"return": 1})).into_message();
        spoil(&mut message);

        assert_eq!(handle(&world, message.clone()).await, Verdict::Ack, "{what}");

        let rejected = world.rejected.lock().unwrap().remove(0);
        assert_eq!(
            (rejected.reason, &rejected.delivery.message),
            (*reason, &message),
            "{what}"
        );
        let results = world.results.lock().unwrap();
        let exception = results.first().map(|(_, meta)| {
            let text = |name: &str| meta["result"][name].as_str().unwrap().to_owned();
            assert_eq!(
                (&meta["status"], &meta["task_id"]),
                (&json!("FAILURE"), &json!("the-id")),
                "{what}"
            );
            format!("{}.{}", text("exc_module"), text("exc_type"))
        });
        assert_eq!(exception.as_deref(), *told, "{what}");
    }
}

#[tokio::test]
async fn what_a_python_worker_executes_we_execute() {
    let version_one = |body: Value| Message {
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            reply_to: Some("replies".to_owned()),
            ..Properties::default()
        },
        body: body.to_string().into_bytes(),
        ..Message::default()
    };
    let kwargs = json!({"order": {"return": 1}});
    let mut naive = order(json!({"return": 1})).into_message();
    header(&mut naive, "eta", "2026-11-20T11:59:59".into());
    for message in [
        naive,
        version_one(json!({"task": "obey", "id": "the-id", "kwargs": kwargs})),
        version_one(json!({"task": "obey", "kwargs": kwargs})),
    ] {
        let world = Arc::new(World::default());

        assert_eq!(handle(&world, message).await, Verdict::Ack);

        assert_eq!(happened(&world), ["result SUCCESS"]);
    }
}
