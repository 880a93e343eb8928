//! Each partner's language against a partner on a real socket that answers as that partner does.

use std::time::Duration;

use axum::http::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;
use waybill_domain::OrderId;
use waybill_tasks::orders::Finish;
use waybill_tasks::partner::settings::Adapter;
use waybill_tasks::partner::{
    BookingRequest, Cancelled, Found, Parcel, PartnerClient, PartnerError, PartnerSettings, Rebooking,
};

use crate::scripted::{Reply, Scripted};
use crate::world::World;

const REFERENCE: OrderId = OrderId(Uuid::from_u128(7));

/// What a partner answers, and what its language makes of it.
struct Dialect {
    adapter: Adapter,
    rebooking: Rebooking,
    /// How the request for a booking must look: its path, and what stands where in its body.
    path: &'static str,
    body: Vec<(&'static str, Value)>,
    /// The answer to a booking, and what is read from it.
    booked: Value,
    booking_id: &'static str,
    tracking_url: Option<&'static str>,
    /// The answer to a question how it stands, and what is read from it.
    seen: Value,
    status: &'static str,
    reason: Option<&'static str>,
    number: Option<&'static str>,
    /// Method and path that call it off, and an answer that says it is too late.
    cancel: (Method, &'static str),
    too_late: (u16, Value),
    /// A refusal in its words, and what they are.
    refused: (u16, Value),
    code: &'static str,
}

fn dialects() -> Vec<Dialect> {
    let reference = REFERENCE.to_string();
    vec![
        Dialect {
            adapter: Adapter::Uber,
            rebooking: Rebooking::ByKey,
            path: "/v1/customers/acc-1/deliveries",
            body: vec![
                ("external_id", json!(reference)),
                ("idempotency_key", json!(format!("{reference}:book"))),
                ("dropoff_address", json!("Kastanienallee 7, 10435 Berlin, DE")),
                (
                    "manifest_items",
                    json!([{"name": "A printed book", "quantity": 2, "size": "small"}]),
                ),
            ],
            booked: json!({"id": "del_1", "status": "pending", "tracking_url": "https://u.example/1", "uuid": "0A"}),
            booking_id: "del_1",
            tracking_url: Some("https://u.example/1"),
            seen: json!({"id": "del_1", "status": "canceled", "undeliverable_reason": "customer_unavailable"}),
            status: "canceled",
            reason: Some("customer_unavailable"),
            number: Some("del_1"),
            cancel: (Method::POST, "/v1/customers/acc-1/deliveries/b-1/cancel"),
            too_late: (
                400,
                json!({"code": "noncancelable_delivery", "kind": "error", "message": "no"}),
            ),
            refused: (
                400,
                json!({"code": "address_undeliverable", "kind": "error", "message": "too far"}),
            ),
            code: "address_undeliverable",
        },
        Dialect {
            adapter: Adapter::Doordash,
            rebooking: Rebooking::ByLookup,
            path: "/drive/v2/deliveries",
            body: vec![
                ("external_delivery_id", json!(reference)),
                ("pickup_business_name", json!("Bookstore Mitte")),
                ("dropoff_phone_number", json!("+4930000000")),
            ],
            booked: json!({"external_delivery_id": reference, "delivery_status": "created", "tracking_url": "https://d.example/1"}),
            booking_id: "00000000-0000-0000-0000-000000000007",
            tracking_url: Some("https://d.example/1"),
            seen: json!({"external_delivery_id": reference, "delivery_status": "picked_up"}),
            status: "picked_up",
            reason: None,
            number: Some("00000000-0000-0000-0000-000000000007"),
            cancel: (Method::PUT, "/drive/v2/deliveries/b-1/cancel"),
            too_late: (422, json!({"code": "unprocessable", "message": "picked up"})),
            refused: (400, json!({"code": "validation_error", "message": "no"})),
            code: "validation_error",
        },
        Dialect {
            adapter: Adapter::Stuart,
            rebooking: Rebooking::Never,
            path: "/v2/jobs",
            body: vec![("job.dropoffs.0.client_reference", json!(reference))],
            booked: json!({"id": 100, "status": "searching", "deliveries": [{"id": 200, "status": "pending", "trackingUrl": "https://s.example/1"}]}),
            booking_id: "100",
            tracking_url: Some("https://s.example/1"),
            seen: json!({"id": 100, "status": "finished", "deliveries": [{"id": 200, "status": "cancelled", "cancellation": {"reasonKey": "no_supply"}}]}),
            status: "cancelled",
            reason: Some("no_supply"),
            number: Some("200"),
            cancel: (Method::POST, "/v2/jobs/b-1/cancel"),
            too_late: (422, json!({"error": "CANNOT_CANCEL", "message": "on its way"})),
            refused: (422, json!({"error": "OUT_OF_RANGE", "message": "too far"})),
            code: "OUT_OF_RANGE",
        },
        Dialect {
            adapter: Adapter::Onfleet,
            rebooking: Rebooking::Never,
            path: "/api/v2/tasks",
            body: vec![(
                "destination.address.unparsed",
                json!("Kastanienallee 7, 10435 Berlin, DE"),
            )],
            booked: json!({"id": "task1", "shortId": "8f98", "state": 0, "trackingURL": "https://onf.example/1"}),
            booking_id: "task1",
            tracking_url: Some("https://onf.example/1"),
            seen: json!({"id": "task1", "state": 3, "completionDetails": {"success": false, "failureReason": "GONE"}}),
            status: "3:failed",
            reason: Some("GONE"),
            number: Some("task1"),
            cancel: (Method::DELETE, "/api/v2/tasks/b-1"),
            too_late: (409, json!({"code": "Conflict"})),
            refused: (400, json!({"code": "InvalidContent", "message": {"error": 1000}})),
            code: "InvalidContent",
        },
        Dialect {
            adapter: Adapter::Sendcloud,
            rebooking: Rebooking::ByLookupOnly,
            path: "/api/v2/parcels",
            body: vec![
                ("parcel.external_reference", json!(reference)),
                ("parcel.shipment.id", json!(8)),
                ("parcel.request_label", json!(true)),
            ],
            booked: json!({"parcel": {"id": 77, "tracking_number": "3S", "tracking_url": "https://t.example/3S", "status": {"id": 1000, "message": "Ready to send"}}}),
            booking_id: "77",
            tracking_url: Some("https://t.example/3S"),
            seen: json!({"parcel": {"id": 77, "tracking_number": "3S", "status": {"id": 11, "message": "Delivered"}}}),
            status: "Delivered",
            reason: None,
            number: Some("3S"),
            cancel: (Method::POST, "/api/v2/parcels/b-1/cancel"),
            too_late: (400, json!({"status": "failed", "message": "too late"})),
            refused: (400, json!({"error": {"code": 400, "message": "shipment: invalid"}})),
            code: "400",
        },
        Dialect {
            adapter: Adapter::Shippo,
            rebooking: Rebooking::Never,
            path: "/transactions",
            body: vec![
                ("metadata", json!(reference)),
                ("carrier_account", json!("ca_1")),
                ("shipment.address_to.zip", json!("10435")),
            ],
            booked: json!({"object_id": "tx1", "status": "QUEUED", "tracking_number": "", "tracking_url_provider": ""}),
            booking_id: "tx1",
            tracking_url: None,
            seen: json!({"object_id": "tx1", "status": "SUCCESS", "tracking_number": "92", "tracking_status": "TRANSIT"}),
            status: "TRANSIT",
            reason: None,
            number: Some("92"),
            cancel: (Method::POST, "/refunds"),
            too_late: (201, json!({"status": "ERROR"})),
            refused: (
                201,
                json!({"object_id": "tx1", "status": "ERROR", "messages": [{"code": "bad_address", "text": "no"}]}),
            ),
            code: "bad_address",
        },
        Dialect {
            adapter: Adapter::Easypost,
            rebooking: Rebooking::ByLookupOnly,
            path: "/v2/shipments",
            body: vec![
                ("shipment.reference", json!(reference)),
                ("shipment.service", json!("Ground")),
                ("shipment.to_address.zip", json!("10435")),
            ],
            booked: json!({"id": "shp_1", "status": "unknown", "tracking_code": "EZ1", "tracker": {"public_url": "https://e.example/1"}}),
            booking_id: "shp_1",
            tracking_url: Some("https://e.example/1"),
            seen: json!({"id": "shp_1", "status": "failure", "tracking_code": "EZ1", "tracker": {"status_detail": "lost"}}),
            status: "failure",
            reason: Some("lost"),
            number: Some("EZ1"),
            cancel: (Method::POST, "/v2/shipments/b-1/refund"),
            too_late: (200, json!({"id": "shp_1", "refund_status": "rejected"})),
            refused: (
                422,
                json!({"error": {"code": "ADDRESS.VERIFY.FAILURE", "message": "no"}}),
            ),
            code: "ADDRESS.VERIFY.FAILURE",
        },
    ]
}

fn settings_of(adapter: Adapter, base_url: &str) -> PartnerSettings {
    let mut settings = PartnerSettings::standard(base_url);
    settings.adapter = adapter;
    settings.timeouts.per_try = Duration::from_millis(400);
    settings.breaker.minimum_calls = 1_000;
    let credentials = &mut settings.credentials;
    credentials.key = Some("key-1".into());
    credentials.secret = Some("c2VjcmV0LTE".into());
    credentials.account = Some("acc-1".to_owned());
    credentials.token_url = Some(format!("{base_url}/token"));
    for (name, value) in [
        ("method", "8"),
        ("carrier_account", "ca_1"),
        ("service", "Ground"),
        ("market", "SG"),
        ("language", "en_SG"),
    ] {
        settings.options.insert(name.to_owned(), value.to_owned());
    }
    settings
}

fn booking() -> BookingRequest {
    BookingRequest {
        reference: REFERENCE,
        pickup: json!({"name": "Bookstore Mitte", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE", "phone": "+4930111111"}),
        dropoff: json!({"name": "A. Reader", "line1": "Kastanienallee 7", "postal_code": "10435", "city": "Berlin", "country": "DE", "phone": "+4930000000"}),
        parcels: vec![Parcel {
            items: json!([{"sku": "b-1", "title": "A printed book", "quantity": 2, "format": "physical"}]),
        }],
        callback_url: "https://waybill.example/webhooks/p".to_owned(),
    }
}

/// What fetches a token first is given one.
fn tokens(adapter: Adapter) -> Option<Reply> {
    let fetches = matches!(adapter, Adapter::Uber | Adapter::Stuart);
    fetches.then(|| Reply::Say(200, json!({"access_token": "tok-1", "expires_in": 3600})))
}

async fn answering(adapter: Adapter, replies: impl IntoIterator<Item = Reply>) -> (Scripted, PartnerClient) {
    let partner = Scripted::start(tokens(adapter).into_iter().chain(replies)).await;
    let client = PartnerClient::new("p", &settings_of(adapter, &partner.base_url)).unwrap();
    (partner, client)
}

fn at<'a>(body: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(body, |value, key| match key.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[key],
    })
}

#[tokio::test]
async fn each_partner_is_booked_in_its_own_words() {
    for dialect in dialects() {
        let adapter = dialect.adapter;
        let (partner, client) = answering(adapter, [Reply::Say(200, dialect.booked)]).await;

        let booked = client.book(&booking()).await.unwrap();

        assert_eq!(booked.id, dialect.booking_id, "{adapter:?}");
        assert_eq!(booked.tracking_url.as_deref(), dialect.tracking_url, "{adapter:?}");
        let asked = partner.asked().pop().unwrap();
        assert_eq!(
            (asked.method, asked.path.as_str()),
            (Method::POST, dialect.path),
            "{adapter:?}"
        );
        for (path, value) in dialect.body {
            assert_eq!(at(&asked.body, path), &value, "{adapter:?} {path}");
        }
        assert!(
            asked.authorization.is_some_and(|value| !value.is_empty()),
            "{adapter:?}"
        );
    }
}

#[tokio::test]
async fn each_partners_answers_are_classes_of_what_to_do() {
    for dialect in dialects() {
        let adapter = dialect.adapter;
        let (status, body) = dialect.refused;
        let cases = [
            (Reply::Say(status, body), "rejected"),
            (Reply::Say(401, json!({})), "suspended"),
            (Reply::Say(402, json!({})), "suspended"),
            (Reply::Say(403, json!({})), "suspended"),
            (Reply::RetryAfter(429, "30"), "throttled"),
            (Reply::Say(408, json!({})), "ambiguous"),
            (Reply::Say(500, json!({})), "ambiguous"),
            (Reply::Text(200, "<html>".to_owned()), "ambiguous"),
            (Reply::Say(200, json!({})), "ambiguous"),
            (Reply::DoneThenHang, "ambiguous"),
        ];
        for (reply, class) in cases {
            let renewed = [Some(reply.clone()), tokens(adapter), Some(reply.clone())];
            let (_, client) = answering(adapter, renewed.into_iter().flatten()).await;

            let error = client.book(&booking()).await.unwrap_err();

            let shown = match &error {
                PartnerError::Rejected { code, .. } => {
                    assert_eq!(code, dialect.code, "{adapter:?}");
                    "rejected"
                }
                PartnerError::Suspended { .. } => "suspended",
                PartnerError::Throttled { .. } => "throttled",
                PartnerError::Ambiguous(_) => "ambiguous",
                _ => "another",
            };
            assert_eq!(shown, class, "{adapter:?} {reply:?}: {error}");
        }
    }
}

#[tokio::test]
async fn each_partner_shows_how_a_delivery_stands() {
    for dialect in dialects() {
        let adapter = dialect.adapter;
        let (partner, client) = answering(adapter, [Reply::Say(200, dialect.seen)]).await;

        let Found {
            booking,
            status,
            reason,
            partner_order_number,
        } = client.view("b-1").await.unwrap();

        assert_eq!(booking.id, dialect.booking_id, "{adapter:?}");
        assert_eq!(status, dialect.status, "{adapter:?}");
        assert_eq!(reason.as_deref(), dialect.reason, "{adapter:?}");
        assert_eq!(partner_order_number.as_deref(), dialect.number, "{adapter:?}");
        let asked = partner.asked().pop().unwrap();
        assert_eq!(asked.method, Method::GET, "{adapter:?}");
        assert!(asked.path.ends_with("/b-1"), "{adapter:?} {}", asked.path);
    }
}

#[tokio::test]
async fn each_partner_is_asked_not_to_collect_and_may_be_too_late() {
    for dialect in dialects() {
        let adapter = dialect.adapter;
        let done = match adapter {
            Adapter::Shippo => json!({"status": "PENDING"}),
            _ => json!({"refund_status": "submitted"}),
        };
        let (status, body) = dialect.too_late;
        let (partner, client) = answering(adapter, [Reply::Say(200, done), Reply::Say(status, body)]).await;

        let answers = (client.cancel("b-1").await, client.cancel("b-1").await);

        assert_eq!(answers, (Ok(Cancelled::Done), Ok(Cancelled::TooLate)), "{adapter:?}");
        let asked = partner.asked().pop().unwrap();
        assert_eq!((asked.method, asked.path.as_str()), dialect.cancel, "{adapter:?}");
    }
}

#[tokio::test]
async fn a_booking_whose_answer_got_lost_is_found_repeated_or_given_to_a_person() {
    for dialect in dialects() {
        let adapter = dialect.adapter;
        let partner = Scripted::start(
            tokens(adapter)
                .into_iter()
                .chain([Reply::Say(500, json!({})), Reply::Say(404, json!({}))]),
        )
        .await;
        let settings = settings_of(adapter, &partner.base_url);
        let client = PartnerClient::new("p", &settings).unwrap();
        assert_eq!(client.rebooking(), dialect.rebooking, "{adapter:?}");
        let world = World::with_settings(partner, settings);
        world.due("book_delivery_partner", "CREATED");
        world.change(|work| (work.order.pickup, work.order.dropoff) = (booking().pickup, booking().dropoff));

        world.run().await;

        let finish = world.last();
        let posts = world.partner.asked();
        let posts = posts.iter().filter(|asked| asked.path == dialect.path).count();
        match dialect.rebooking {
            Rebooking::Never => {
                assert!(
                    matches!(&finish, Finish::Failed { cause } if cause.contains("unknown whether")),
                    "{adapter:?}: {finish:?}"
                );
                assert_eq!(posts, 1, "{adapter:?}");
            }
            Rebooking::ByKey | Rebooking::ByLookup | Rebooking::ByLookupOnly => {
                assert!(
                    matches!(finish, Finish::Retry { counts: true, .. }),
                    "{adapter:?}: {finish:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn after_a_crash_nothing_is_sent_to_a_partner_that_cannot_be_asked() {
    for adapter in [Adapter::Onfleet, Adapter::Shippo, Adapter::Stuart, Adapter::Lalamove] {
        let partner = Scripted::start([]).await;
        let settings = settings_of(adapter, &partner.base_url);
        let world = World::with_settings(partner, settings);
        world.due("book_delivery_partner", "CREATED");
        world.change(|work| work.attempts = 1);

        world.run().await;

        assert!(matches!(world.last(), Finish::Failed { .. }), "{adapter:?}");
        assert_eq!(world.partner.asked().len(), 0, "{adapter:?}");
    }
}

/// Who finds a delivery by our reference and would book it again: the answers when nothing is found, and when it is.
fn found_and_booked_again() -> [(Adapter, Reply, Reply); 2] {
    let shipment = json!({"id": "b-1", "tracking_code": "EZ1"});
    let parcel = json!({"id": "b-1", "external_reference": REFERENCE});
    let said = |body| Reply::Say(200, body);
    [
        (Adapter::Easypost, Reply::Say(404, json!({})), said(shipment)),
        (
            Adapter::Sendcloud,
            said(json!({"parcels": []})),
            said(json!({"parcels": [parcel]})),
        ),
    ]
}

fn booking_at(partner: Scripted, base_url: &str, adapter: Adapter) -> World {
    let settings = settings_of(adapter, base_url);
    let world = World::with_settings(partner, settings);
    world.due("book_delivery_partner", "CREATED");
    world
}

async fn booking_of(adapter: Adapter, script: impl IntoIterator<Item = Reply>) -> World {
    let partner = Scripted::start(script).await;
    let base_url = partner.base_url.clone();
    booking_at(partner, &base_url, adapter)
}

#[tokio::test]
async fn a_booking_that_is_made_long_after_its_answer_got_lost_is_made_once() {
    for (adapter, none, found) in found_and_booked_again() {
        let script = [Reply::Say(500, json!({})), none.clone(), none.clone(), none, found];
        let world = booking_of(adapter, script).await;

        for _ in 0..3 {
            world.run().await;
            let last = world.last();
            assert!(
                matches!(last, Finish::Retry { counts: true, .. }),
                "{adapter:?}: {last:?}"
            );
        }
        world.run().await;

        let last = world.last();
        assert!(
            matches!(&last, Finish::Booked(booking) if booking.id == "b-1"),
            "{adapter:?}: {last:?}"
        );
        assert_eq!(world.partner.count(Method::POST), 1, "{adapter:?}");
    }
}

#[tokio::test]
async fn what_is_never_found_is_looked_for_by_a_person_and_not_sent_again() {
    for (adapter, none, _) in found_and_booked_again() {
        let lost = std::iter::once(Reply::Say(500, json!({})));
        let world = booking_of(adapter, lost.chain(std::iter::repeat_n(none, 20))).await;

        for _ in 0..13 {
            world.run().await;
        }

        let cause = "given up after 12 attempts: it is unknown what the partner did: nothing is found by our reference";
        let failed = Finish::Failed {
            cause: cause.to_owned(),
        };
        assert_eq!(world.last(), failed, "{adapter:?}");
        assert_eq!(world.partner.count(Method::POST), 1, "{adapter:?}");
    }
}

#[tokio::test]
async fn what_was_surely_not_sent_uses_up_no_attempt_and_is_sent_later() {
    for (adapter, ..) in found_and_booked_again() {
        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", nobody.local_addr().unwrap());
        drop(nobody);
        let away = booking_at(Scripted::start([]).await, &address, adapter);
        let throttled = booking_of(adapter, [Reply::RetryAfter(429, "30")]).await;

        for world in [&away, &throttled] {
            world.run().await;
            let last = world.last();
            assert!(
                matches!(last, Finish::Retry { counts: false, .. }),
                "{adapter:?}: {last:?}"
            );
        }
        let dialect = dialects().into_iter().find(|dialect| dialect.adapter == adapter);
        throttled.partner.then([Reply::Say(200, dialect.unwrap().booked)]);
        throttled.run().await;

        assert!(matches!(throttled.last(), Finish::Booked(_)), "{adapter:?}");
    }
}

#[tokio::test]
async fn an_earlier_booking_is_adopted() {
    let earlier = json!({"code": "duplicate_delivery", "kind": "error", "metadata": {"delivery_id": "del_0"}});
    for (adapter, body, id) in [
        (Adapter::Uber, earlier, "del_0".to_owned()),
        (
            Adapter::Doordash,
            json!({"code": "duplicate_delivery_id"}),
            REFERENCE.to_string(),
        ),
    ] {
        let (_, client) = answering(adapter, [Reply::Say(409, body)]).await;

        assert_eq!(client.book(&booking()).await.unwrap().id, id, "{adapter:?}");
    }
}

#[tokio::test]
async fn couriers_who_are_busy_are_no_fault_of_the_partner() {
    let busy = json!({"code": "couriers_busy", "message": "no"});
    let limited = json!({"code": "address_undeliverable_limited_couriers", "message": "no"});
    for reply in [Reply::Say(400, limited), Reply::Say(500, busy)] {
        let (_, client) = answering(Adapter::Uber, [reply]).await;

        let error = client.book(&booking()).await.unwrap_err();

        assert!(matches!(error, PartnerError::Busy { .. }), "{error}");
        let breaker = client.breaker(waybill_tasks::partner::Operation::Book);
        assert_eq!(breaker.snapshot(std::time::Instant::now()).failures, 0);
    }
}

#[tokio::test]
async fn a_token_that_ended_is_fetched_again_once() {
    let token = |text: &str| Reply::Say(200, json!({"access_token": text, "expires_in": 3600}));
    let booked = Reply::Say(200, json!({"id": "del_1", "status": "pending"}));
    let script = [
        token("old"),
        Reply::Say(401, json!({"code": "unauthorized"})),
        token("new"),
        booked,
    ];
    let partner = Scripted::start(script).await;
    let client = PartnerClient::new("p", &settings_of(Adapter::Uber, &partner.base_url)).unwrap();

    client.book(&booking()).await.unwrap();

    let shown: Vec<_> = partner.asked().into_iter().map(|asked| asked.authorization).collect();
    let bearer = |token: &str| Some(format!("Bearer {token}"));
    assert_eq!(shown, [None, bearer("old"), None, bearer("new")]);
}

#[tokio::test]
async fn a_quotation_comes_before_lalamoves_order_and_may_get_lost() {
    let quotation = json!({"data": {"quotationId": "q-1", "stops": [{"stopId": "s-0"}, {"stopId": "s-1"}]}});
    let order = json!({"data": {"orderId": "107", "status": "ASSIGNING_DRIVER", "shareLink": "https://l.example/1"}});
    let (partner, client) = answering(
        Adapter::Lalamove,
        [Reply::Say(201, quotation.clone()), Reply::Say(201, order)],
    )
    .await;

    let booked = client.book(&booking()).await.unwrap();

    assert_eq!(booked.id, "107");
    let asked = partner.asked();
    assert_eq!(
        (asked[0].path.as_str(), asked[1].path.as_str()),
        ("/v3/quotations", "/v3/orders")
    );
    assert_eq!(at(&asked[1].body, "data.recipients.0.stopId"), &json!("s-1"));
    assert!(
        asked[1]
            .authorization
            .as_ref()
            .is_some_and(|value| value.starts_with("hmac key-1:"))
    );

    let (_, client) = answering(Adapter::Lalamove, [Reply::Say(500, json!({}))]).await;
    let lost = client.book(&booking()).await.unwrap_err();
    assert!(
        matches!(lost, PartnerError::Unreachable(_)),
        "a question binds nothing: {lost}"
    );
    let (_, client) = answering(
        Adapter::Lalamove,
        [Reply::Say(503, json!({})), Reply::Say(403, json!({}))],
    )
    .await;
    let refused = client.book(&booking()).await.unwrap_err();
    assert_eq!(refused, PartnerError::Suspended { status: 403 });
    let (_, client) = answering(
        Adapter::Lalamove,
        [Reply::Say(201, quotation), Reply::Say(500, json!({}))],
    )
    .await;
    let lost = client.book(&booking()).await.unwrap_err();
    assert!(matches!(lost, PartnerError::Ambiguous(_)), "an order may bind: {lost}");
    let refused = json!({"errors": [{"id": "ERR_OUT_OF_SERVICE_AREA", "message": "no"}]});
    let (_, client) = answering(Adapter::Lalamove, [Reply::Say(422, refused)]).await;
    let refused = client.book(&booking()).await.unwrap_err();
    assert!(matches!(refused, PartnerError::Rejected { code, .. } if code == "ERR_OUT_OF_SERVICE_AREA"));
    let forbidden = json!({"errors": [{"id": "ERR_CANCELLATION_FORBIDDEN"}]});
    let (_, client) = answering(Adapter::Lalamove, [Reply::Say(422, forbidden)]).await;
    assert_eq!(client.cancel("107").await, Ok(Cancelled::TooLate));
}

#[tokio::test]
async fn what_only_tracks_is_not_booked_and_shows_how_it_stands() {
    let seen = json!({"data": {"tracking": {"id": "t-1", "tag": "Delivered", "subtag": "Delivered_001", "tracking_number": "1Z"}}});
    let (partner, client) = answering(Adapter::Aftership, [Reply::Say(200, seen)]).await;

    let refused = client.book(&booking()).await.unwrap_err();
    let seen = client.view("t-1").await.unwrap();

    assert!(matches!(refused, PartnerError::Rejected { code, .. } if code == "tracking_only"));
    assert_eq!((seen.status.as_str(), partner.asked().len()), ("Delivered", 1));
}

#[tokio::test]
async fn a_phone_that_a_partner_needs_is_missed_before_it_is_asked() {
    for adapter in [
        Adapter::Uber,
        Adapter::Doordash,
        Adapter::Stuart,
        Adapter::Onfleet,
        Adapter::Lalamove,
    ] {
        let (partner, client) = answering(adapter, []).await;
        let mut without = booking();
        without.dropoff["phone"] = Value::Null;

        let refused = client.book(&without).await.unwrap_err();

        assert!(
            matches!(&refused, PartnerError::Rejected { code, .. } if code == "phone_missing"),
            "{adapter:?}"
        );
        assert_eq!(partner.asked().len(), 0, "{adapter:?}");
    }
}
