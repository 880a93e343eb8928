//! Every way in which a callback can be broken, with its answer and with what is in the database afterwards.

use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::http::request::Builder;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value as Json, json};
use sha2::Sha256;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::world::{TOKEN, UBER_SECRET, World};
use crate::store::{CallbackFilter, Disposition};

pub(super) const SECRET: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const OTHER: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYY";

/// A request, the status that it is answered with, and what is there afterwards.
struct Broken {
    name: &'static str,
    request: (Builder, Body),
    status: u16,
    leaves: Leaves,
}

/// What is in the database after a request that was not there before.
#[derive(Debug, PartialEq)]
enum Leaves {
    Nothing,
    /// One callback, which was settled so.
    Callback(&'static str),
    /// One body set aside for an operator.
    SetAside,
    /// One row that says for what reason it was not believed, and nothing of what it said.
    Rejected(&'static str),
}
use Leaves::{Callback, Nothing, Rejected, SetAside};

/// Every reason for not believing.
const REASONS: [&str; 10] = [
    "unknown_partner",
    "missing_header",
    "malformed_header",
    "wrong_signature",
    "stale",
    "future",
    "foreign_address",
    "content-type",
    "too-large",
    "incomplete",
];

/// A callback of our own contract on its way.
pub(super) struct Sent {
    id: String,
    at: String,
    secret: &'static str,
    body: Vec<u8>,
}

impl Sent {
    pub(super) fn new(id: &str, body: impl AsRef<[u8]>) -> Self {
        Self {
            id: id.to_owned(),
            at: Utc::now().timestamp().to_string(),
            secret: SECRET,
            body: body.as_ref().to_vec(),
        }
    }

    fn signature(&self) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(self.secret).unwrap()).unwrap();
        mac.update(format!("{}.{}.", self.id, self.at).as_bytes());
        mac.update(&self.body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }

    fn to(self, path: &str) -> (Builder, Body) {
        let builder = Request::post(path)
            .header("webhook-id", &self.id)
            .header("webhook-timestamp", &self.at)
            .header("webhook-signature", self.signature());
        (builder, Body::from(self.body))
    }

    pub(super) fn sent(self) -> (Builder, Body) {
        self.to("/webhooks/swift")
    }

    /// With this header instead of the one that was signed.
    pub(super) fn with(self, name: &str, value: &str) -> (Builder, Body) {
        let headers = [
            ("webhook-id", self.id.clone()),
            ("webhook-timestamp", self.at.clone()),
            ("webhook-signature", self.signature()),
        ];
        let mut builder = Request::post("/webhooks/swift");
        for (known, right) in headers {
            match (known == name, value) {
                (true, "") => (),
                (true, other) => builder = builder.header(known, other),
                (false, _) => builder = builder.header(known, right),
            }
        }
        (builder, Body::from(self.body))
    }
}

fn told(kind: &str, reference: &str) -> String {
    json!({"type": kind, "timestamp": "2026-11-20T11:00:00Z", "data": {"reference": reference, "partner_order_number": "P-1"}})
        .to_string()
}

/// Nothing in it is believed.
fn unbelieved(order: &str) -> Vec<Broken> {
    let body = told("delivery.picked_up", order);
    let sent = || Sent::new("m-0", &body);
    let at = |offset: i64| Sent {
        at: (Utc::now().timestamp() + offset).to_string(),
        ..sent()
    };
    let bare = |path: &str| (Request::post(path), Body::from(body.clone()));
    let altered = |body: &str| {
        let (builder, _) = sent().sent();
        (builder, Body::from(body.to_owned()))
    };
    let twice = |name: &str| {
        let (builder, body) = sent().sent();
        let value = builder.headers_ref().unwrap()[name].clone();
        (builder.header(name, value), body)
    };
    let basic = |user: &str| format!("Basic {}", STANDARD.encode(user));
    let with =
        |path: &str, name: &str, value: &str| (Request::post(path).header(name, value), Body::from(body.clone()));
    let nine = vec![sent().signature(); 9].join(" ");
    let hex64 = "ab".repeat(32);
    let named = |name, reason, request| Broken {
        name,
        request,
        status: 401,
        leaves: Rejected(reason),
    };
    vec![
        named("unsigned", "missing_header", bare("/webhooks/swift")),
        named("no id", "missing_header", sent().with("webhook-id", "")),
        named("no time", "missing_header", sent().with("webhook-timestamp", "")),
        named("no signature", "missing_header", sent().with("webhook-signature", "")),
        named("id twice", "malformed_header", twice("webhook-id")),
        named("time twice", "malformed_header", twice("webhook-timestamp")),
        named("signature twice", "malformed_header", twice("webhook-signature")),
        named("another id", "wrong_signature", sent().with("webhook-id", "m-9")),
        named(
            "id with a full stop",
            "malformed_header",
            Sent::new("m.0", &body).sent(),
        ),
        named("id with a space", "malformed_header", sent().with("webhook-id", "m 0")),
        named(
            "id without end",
            "malformed_header",
            Sent::new(&"m".repeat(257), &body).sent(),
        ),
        named("another time", "wrong_signature", sent().with("webhook-timestamp", "1")),
        named(
            "a time that is none",
            "malformed_header",
            sent().with("webhook-timestamp", "now"),
        ),
        named(
            "a time with a fraction",
            "malformed_header",
            sent().with("webhook-timestamp", "1795000000.5"),
        ),
        named("too old", "stale", at(-400).sent()),
        named("of the future", "future", at(400).sent()),
        named(
            "signature without version",
            "malformed_header",
            sent().with("webhook-signature", "AAAA"),
        ),
        named(
            "signature that is no base64",
            "malformed_header",
            sent().with("webhook-signature", "v1,%%%"),
        ),
        named(
            "signature of a version to come",
            "wrong_signature",
            sent().with("webhook-signature", "v9,AAAA"),
        ),
        named(
            "signature cut short",
            "wrong_signature",
            sent().with("webhook-signature", "v1,AAAA"),
        ),
        named(
            "nine signatures",
            "malformed_header",
            sent().with("webhook-signature", &nine),
        ),
        named(
            "another secret",
            "wrong_signature",
            Sent {
                secret: OTHER,
                ..sent()
            }
            .sent(),
        ),
        named(
            "altered body",
            "wrong_signature",
            altered(&body.replace("picked_up", "delivered")),
        ),
        named("body cut short", "wrong_signature", altered(&body[..body.len() - 1])),
        named("body with a line end", "wrong_signature", altered(&format!("{body}\n"))),
        named("no body", "wrong_signature", altered("")),
        named("unknown partner", "unknown_partner", sent().to("/webhooks/nobody")),
        named("partner in capitals", "unknown_partner", sent().to("/webhooks/SWIFT")),
        named("partner that is no text", "unknown_partner", sent().to("/webhooks/%ff")),
        named(
            "partner with a slash",
            "unknown_partner",
            sent().to("/webhooks/swift%2Fx"),
        ),
        named(
            "another partner's signature",
            "wrong_signature",
            sent().to("/webhooks/steady"),
        ),
        named(
            "right, from a foreign address",
            "foreign_address",
            sent().to("/webhooks/walled"),
        ),
        named("uber: unsigned", "missing_header", bare("/webhooks/uber")),
        named(
            "uber: no hexadecimal",
            "malformed_header",
            with("/webhooks/uber", "x-uber-signature", "xyz"),
        ),
        named(
            "uber: wrong",
            "wrong_signature",
            with("/webhooks/uber", "x-uber-signature", &hex64),
        ),
        named(
            "uber: the old header",
            "missing_header",
            with("/webhooks/uber", "x-postmates-signature", &uber(body.as_bytes())),
        ),
        named(
            "uber: our own contract's",
            "missing_header",
            sent().to("/webhooks/uber"),
        ),
        named("shippo: no token", "missing_header", bare("/webhooks/shippo")),
        named(
            "shippo: another token",
            "wrong_signature",
            bare("/webhooks/shippo?token=BBBBBBBBBBBBBBBBBBBBBBBB"),
        ),
        named(
            "shippo: token twice",
            "malformed_header",
            bare(&format!("/webhooks/shippo?token={TOKEN}&token={TOKEN}")),
        ),
        named("doordash: nothing shown", "missing_header", bare("/webhooks/doordash")),
        named(
            "doordash: a bearer",
            "malformed_header",
            with("/webhooks/doordash", "authorization", "Bearer waybill:a-long-password"),
        ),
        named(
            "doordash: another password",
            "wrong_signature",
            with("/webhooks/doordash", "authorization", &basic("waybill:x")),
        ),
        named(
            "onfleet: SHA-256 instead",
            "wrong_signature",
            with("/webhooks/onfleet", "x-onfleet-signature", &hex64),
        ),
    ]
}

/// Not even read as a callback.
fn unread() -> Vec<Broken> {
    let large = vec![b' '; 256 * 1024 + 1];
    let chunk = |_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 64 * 1024]));
    let chunks = (0..5).map(chunk);
    let streamed = Body::from_stream(futures_util::stream::iter(chunks));
    let cut = [Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("cut"))];
    let cut = Body::from_stream(futures_util::stream::iter(cut));
    let announced = Request::post("/webhooks/swift").header("content-length", large.len());
    let mut broken = vec![
        (
            "too large, as announced",
            (announced, Body::from(large)),
            413,
            Rejected("too-large"),
        ),
        (
            "too large, by chunks",
            (Request::post("/webhooks/swift"), streamed),
            413,
            Rejected("too-large"),
        ),
        (
            "cut off",
            (Request::post("/webhooks/swift"), cut),
            400,
            Rejected("incomplete"),
        ),
    ];
    for (name, method) in [("GET", "GET"), ("PUT", "PUT"), ("PATCH", "PATCH"), ("DELETE", "DELETE")] {
        let (builder, body) = Sent::new("m-0", "{}").sent();
        broken.push((name, (builder.method(method), body), 405, Nothing));
    }
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/xml",
        "json",
        "",
    ] {
        let (builder, body) = Sent::new("m-0", "{}").sent();
        let request = (builder.header("content-type", kind), body);
        broken.push(("rightly signed, and no JSON", request, 415, Rejected("content-type")));
    }
    let (builder, body) = Sent::new("m-0", "{}").sent();
    let both = builder
        .header("content-type", "application/json")
        .header("content-type", "text/plain");
    broken.push(("JSON and something else", (both, body), 415, Rejected("content-type")));
    let broken = broken.into_iter().map(|(name, request, status, leaves)| Broken {
        name,
        request,
        status,
        leaves,
    });
    broken.collect()
}

/// Believed, and saying nothing that could be done: stored, answered 200, and shown as what it is.
fn meaningless(order: &str, done: &str) -> Vec<Broken> {
    let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
    let unmapped: Vec<(&'static str, Vec<u8>)> = vec![
        ("empty", b"".to_vec()),
        ("no JSON", b"type=delivery.failed".to_vec()),
        ("no text", b"\xff\xfe\x00".to_vec()),
        ("two values", b"{} {}".to_vec()),
        ("a list", b"[]".to_vec()),
        ("a key twice", br#"{"type": "a", "type": "delivery.failed"}"#.to_vec()),
        ("too deep", deep.into_bytes()),
        ("no type", b"{}".to_vec()),
        ("unknown type", told("delivery.teleported", order).into_bytes()),
        ("no data", br#"{"type": "delivery.failed"}"#.to_vec()),
        ("no reference", br#"{"type": "delivery.failed", "data": {}}"#.to_vec()),
        (
            "a reference that is a number",
            br#"{"type": "delivery.failed", "data": {"reference": 7}}"#.to_vec(),
        ),
    ];
    let unmapped = unmapped.into_iter().map(|(name, body)| (name, body, "unmapped"));
    let known = [
        (
            "unknown order",
            told("delivery.delivered", &Uuid::nil().to_string()),
            "orphan",
        ),
        ("somebody else's order", told("delivery.delivered", "ord_1"), "orphan"),
        ("before its time", told("delivery.delivered", order), "parked"),
        ("after the end", told("delivery.picked_up", done), "conflict"),
        ("cancelled as we asked", told("delivery.cancelled", done), "noted"),
    ];
    let known = known
        .into_iter()
        .map(|(name, body, state)| (name, body.into_bytes(), state));
    let standard = unmapped.chain(known).map(|(name, body, state)| Broken {
        name,
        request: Sent::new(&format!("m-{}", name.replace([' ', ','], "-")), body).sent(),
        status: 200,
        leaves: Callback(state),
    });
    let teleported =
        json!({"id": "evt_9", "kind": "event.delivery_status", "status": "teleported", "delivery_id": "del_9"});
    let foreign = json!({"id": "evt_8", "kind": "event.delivery_status", "status": "delivered", "delivery_id": "del_9", "data": {}});
    let uber = [
        ("uber: unknown status", teleported, "unmapped"),
        ("uber: a delivery not ours yet", foreign, "parked"),
    ];
    let uber = uber.into_iter().map(|(name, body, state)| {
        let body = body.to_string();
        let signed = Request::post("/webhooks/uber").header("x-uber-signature", self::uber(body.as_bytes()));
        Broken {
            name,
            request: (signed, Body::from(body)),
            status: 200,
            leaves: Callback(state),
        }
    });
    standard.chain(uber).collect()
}

/// The same id again.
fn repeated(order: &str) -> Vec<Broken> {
    let first = told("delivery.progress", order);
    let send = |name, body: &str, leaves| Broken {
        name,
        request: Sent::new("m-again", body).sent(),
        status: 200,
        leaves,
    };
    vec![
        send("an id for the first time", &first, Callback("unmapped")),
        send("the same again", &first, Nothing),
        send(
            "the same id with another content",
            &told("delivery.failed", order),
            SetAside,
        ),
    ]
}

fn uber(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(UBER_SECRET.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

async fn count(world: &World, table: &str) -> i64 {
    let row = world
        .db
        .row(&format!("SELECT COUNT(*) AS count FROM {table}"), vec![])
        .await;
    row.unwrap().unwrap().int("count").unwrap()
}

/// The newest row about what was not believed, once it is written: that waits for no answer.
async fn rejected(world: &World, before: i64) -> Leaves {
    for _ in 0..1000 {
        if count(world, "rejected_callbacks").await > before {
            let filter = CallbackFilter {
                disposition: Some(Disposition::Rejected),
                limit: 1,
                ..CallbackFilter::default()
            };
            let newest = world.engine.store().heard(&filter).await.unwrap().remove(0);
            let reason = newest.detail.unwrap();
            let partners = ["swift", "steady", "walled", "uber", "shippo", "doordash", "onfleet"];
            let known = partners.contains(&newest.partner.as_str());
            assert_eq!(known, reason != "unknown_partner", "{} for {reason}", newest.partner);
            return Rejected(REASONS.into_iter().find(|known| *known == reason).unwrap());
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    Nothing
}

/// What the request left, after what it asked for was applied.
async fn left(world: &World, before: (i64, i64, i64), expected: &Leaves, seen: &mut Vec<Uuid>) -> Leaves {
    let (callbacks, aside, refused) = before;
    if matches!(expected, Rejected(_)) {
        assert_eq!(count(world, "callbacks").await, callbacks, "nothing of it is stored");
        return rejected(world, refused).await;
    }
    if count(world, "quarantine").await > aside {
        return SetAside;
    }
    if count(world, "callbacks").await == callbacks {
        return Nothing;
    }
    let rows = world
        .db
        .rows("SELECT callback_id FROM callbacks", vec![])
        .await
        .unwrap();
    let ids = rows.iter().map(|row| row.uuid("callback_id").unwrap());
    let id = ids.into_iter().find(|id| !seen.contains(id)).unwrap();
    seen.push(id);
    world.engine.apply_callback(id).await.unwrap();
    let state = world.engine.store().callback(id).await.unwrap().unwrap().state;
    let known = ["unmapped", "orphan", "parked", "conflict", "noted", "applied"];
    Callback(known.into_iter().find(|known| *known == state.as_str()).unwrap())
}

async fn every_broken_callback_is_answered_and_leaves_what_it_should(world: World) {
    let order: OrderId = world.order("o-1").await;
    let done = world.order("o-2").await;
    let cancelled = json!({ "cancel_reason": "CUSTOMER_REQUEST" });
    world.move_on(done, "CANCELLED", cancelled).await;
    let (order, done) = (order.to_string(), done.to_string());
    let mut table = unbelieved(&order);
    table.extend(unread());
    table.extend(meaningless(&order, &done));
    table.extend(repeated(&order));
    assert!(table.len() >= 70, "{}", table.len());
    let (mut seen, mut refused): (_, Option<Json>) = (Vec::new(), None);

    for broken in table {
        let before = (
            count(&world, "callbacks").await,
            count(&world, "quarantine").await,
            count(&world, "rejected_callbacks").await,
        );

        let answered = world.send(broken.request.0, broken.request.1).await;

        assert_eq!(
            answered.status.as_u16(),
            broken.status,
            "{}: {}",
            broken.name,
            answered.text
        );
        assert_eq!(
            left(&world, before, &broken.leaves, &mut seen).await,
            broken.leaves,
            "{}",
            broken.name
        );
        if broken.status == 401 {
            let first = refused.get_or_insert_with(|| answered.json());
            assert_eq!(*first, answered.json(), "{}: one answer for every cause", broken.name);
        }
    }
    assert_eq!(
        world.state(order.parse().unwrap()).await,
        "CREATED",
        "nothing broken moved it"
    );
}

#[tokio::test]
async fn every_broken_callback_is_answered_and_leaves_what_it_should_on_sqlite() {
    every_broken_callback_is_answered_and_leaves_what_it_should(World::new().await).await;
}

#[tokio::test]
async fn every_broken_callback_is_answered_and_leaves_what_it_should_on_postgres() {
    every_broken_callback_is_answered_and_leaves_what_it_should(World::on_postgres().await).await;
}

#[tokio::test]
async fn a_partner_that_asks_whether_we_are_there_hears_its_own_word() {
    let world = World::new().await;

    for (path, status) in [
        ("/webhooks/onfleet?check=abc-123", 200),
        ("/webhooks/nobody?check=abc-123", 200),
        ("/webhooks/onfleet?check=%3Cscript%3E", 405),
        ("/webhooks/onfleet?check=", 405),
        ("/webhooks/onfleet", 405),
    ] {
        let answered = world.send(Request::get(path), Body::empty()).await;

        assert_eq!(answered.status.as_u16(), status, "{path}");
        if status == 200 {
            assert_eq!(
                (answered.text.as_str(), answered.header("content-type")),
                ("abc-123", "text/plain")
            );
        }
    }
}
