//! The simulator over real HTTP: a client books, a receiver takes the callbacks.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value, json};
use waybill_domain::OrderId;
use waybill_tasks::partner::{BookingRequest, Cancelled, Parcel, PartnerClient, PartnerError, PartnerSettings};
use waybill_webhooks::{
    Adapter, Callback, Doors, Inbox, Key, PartnerKeys, PartnerReport, ReportKind, Stored, Trust, Unavailable,
    Unbelieved,
};

use super::*;

const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A callback as it arrived.
#[derive(Debug, Clone)]
struct Heard {
    kind: String,
    id: String,
    genuine: bool,
    body: Value,
}

/// Takes callbacks; the first `refuses` of them are answered by 503.
#[derive(Debug, Clone, Default)]
struct Receiver {
    heard: Arc<Mutex<Vec<Heard>>>,
    refuses: Arc<Mutex<u32>>,
}

impl Receiver {
    async fn start(refuses: u32) -> (Self, String) {
        let receiver = Self {
            refuses: Arc::new(Mutex::new(refuses)),
            ..Self::default()
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/simulator", listener.local_addr().unwrap());
        let router = Router::new()
            .route("/webhooks/simulator", post(take))
            .with_state(receiver.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        (receiver, url)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    fn kinds(&self) -> Vec<String> {
        self.heard().into_iter().map(|heard| heard.kind).collect()
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let (id, timestamp) = (header("webhook-id"), header("webhook-timestamp").parse().unwrap());
    let dialect = Speaks::Standard.with(&SECRET.parse().unwrap()).unwrap();
    let at = chrono::DateTime::from_timestamp(timestamp, 0).unwrap();
    let (_, expected) = dialect.sign(&id, at, &body).pop().unwrap();
    let genuine = header("webhook-signature") == expected;
    let body: Value = serde_json::from_str(&body).unwrap();
    let kind = body["type"].as_str().unwrap().to_owned();
    receiver.heard.lock().unwrap().push(Heard {
        kind,
        id,
        genuine,
        body,
    });
    let mut refuses = receiver.refuses.lock().unwrap();
    if *refuses > 0 {
        *refuses -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if genuine {
        StatusCode::OK
    } else {
        StatusCode::UNAUTHORIZED
    }
}

fn quick() -> SimulatorOptions {
    let options = SimulatorOptions::honest(SECRET.parse().unwrap());
    SimulatorOptions {
        walk_delay: Duration::from_millis(20),
        ..options
    }
}

async fn start(options: SimulatorOptions) -> Simulator {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Simulator::start(options).await.unwrap()
}

async fn book(simulator: &Simulator, reference: &str, key: &str, callback_url: &str) -> (u16, Value) {
    let booking =
        json!({"reference": reference, "pickup": {}, "dropoff": {}, "parcels": [{}], "callback_url": callback_url});
    let request = reqwest::Client::new().post(format!("{}/v1/deliveries", simulator.base_url()));
    let response = request
        .header("Idempotency-Key", key)
        .json(&booking)
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn get(simulator: &Simulator, path: &str) -> (u16, Value) {
    let response = reqwest::get(format!("{}{path}", simulator.base_url())).await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn cancel(simulator: &Simulator, id: &Value) -> u16 {
    let url = format!("{}/v1/deliveries/{}", simulator.base_url(), id.as_str().unwrap());
    reqwest::Client::new()
        .delete(url)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Waits until so many callbacks have been told or given up, and nothing is left to tell; ten seconds at most.
async fn at_rest(simulator: &Simulator, finished: u64) -> Summary {
    for _ in 0..1_000 {
        let summary = simulator.summary();
        let ended = summary.callbacks_told + summary.callbacks_given_up;
        if ended >= finished && summary.walking == 0 {
            return summary;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not come to rest: {:?}", simulator.summary());
}

#[tokio::test]
async fn a_booking_walks_to_the_door_and_is_told_leg_by_leg() {
    let (receiver, url) = Receiver::start(0).await;
    let simulator = start(quick()).await;

    let (status, booking) = book(&simulator, "o-1", "o-1:book", &url).await;
    let summary = at_rest(&simulator, 2).await;

    assert_eq!((status, &booking["status"]), (201, &json!("booked")));
    assert!(booking["tracking_url"].as_str().unwrap().starts_with("https://"));
    assert_eq!(receiver.kinds(), ["delivery.picked_up", "delivery.delivered"]);
    let heard = receiver.heard();
    assert!(
        heard
            .iter()
            .all(|heard| heard.genuine && heard.body["data"]["reference"] == "o-1")
    );
    assert!(heard[0].body["data"]["partner_order_number"].is_string());
    assert_eq!(heard[1].body["data"]["partner_order_number"], Value::Null);
    assert_eq!(
        (summary.bookings, summary.delivered, summary.double_bookings),
        (1, 1, 0)
    );
    simulator.stop().await;
}

#[tokio::test]
async fn the_same_booking_twice_is_one_delivery() {
    let simulator = start(quick()).await;

    let first = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;
    let again = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;

    assert_eq!(first.1["id"], again.1["id"]);
    assert_eq!(
        (simulator.summary().bookings, simulator.summary().double_bookings),
        (1, 0)
    );
    simulator.stop().await;
}

#[tokio::test]
async fn another_key_for_the_same_reference_is_a_double_booking_in_the_ledger() {
    let simulator = start(quick()).await;

    let first = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;
    let again = book(&simulator, "o-1", "o-1:book:2", "http://127.0.0.1:1/").await;

    assert_eq!(first.1["id"], again.1["id"], "the partner carries it once all the same");
    let (_, summary) = get(&simulator, "/_ledger/summary").await;
    assert_eq!(
        (&summary["bookings"], &summary["double_bookings"]),
        (&json!(1), &json!(1))
    );
    simulator.stop().await;
}

#[tokio::test]
async fn a_callback_is_told_until_it_is_taken_under_one_id() {
    let (receiver, url) = Receiver::start(3).await;
    let simulator = start(quick()).await;

    book(&simulator, "o-1", "o-1:book", &url).await;
    at_rest(&simulator, 2).await;

    let heard = receiver.heard();
    let ids: BTreeSet<_> = heard
        .iter()
        .filter(|heard| heard.kind == "delivery.picked_up")
        .map(|heard| &heard.id)
        .collect();
    assert_eq!((heard.len(), ids.len()), (5, 1));
    let (_, ledger) = get(&simulator, "/_ledger").await;
    let attempts: Vec<_> = ledger[0]["callbacks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| (&told["status"], &told["attempt"]))
        .collect();
    assert_eq!(
        json!(attempts),
        json!([[503, 1], [503, 2], [503, 3], [200, 4], [200, 1]])
    );
    simulator.stop().await;
}

#[tokio::test]
async fn it_tells_twice_out_of_order_and_with_forged_copies() {
    let (receiver, url) = Receiver::start(0).await;
    let simulator = start(SimulatorOptions {
        duplicate: 1.0,
        reorder: 1.0,
        wrong_signature: 1.0,
        ..quick()
    })
    .await;

    book(&simulator, "o-1", "o-1:book", &url).await;
    at_rest(&simulator, 2).await;

    let genuine: Vec<_> = receiver
        .heard()
        .into_iter()
        .filter(|heard| heard.genuine)
        .map(|heard| heard.kind)
        .collect();
    assert_eq!(
        genuine,
        [
            "delivery.delivered",
            "delivery.delivered",
            "delivery.picked_up",
            "delivery.picked_up"
        ]
    );
    assert_eq!(receiver.heard().iter().filter(|heard| !heard.genuine).count(), 2);
    let ids: BTreeSet<_> = receiver.heard().into_iter().map(|heard| heard.id).collect();
    assert_eq!(ids.len(), 2, "every copy has the id of the true one");
    simulator.stop().await;
}

#[tokio::test]
async fn what_is_lost_is_never_told_and_is_seen_by_whoever_asks() {
    let (receiver, url) = Receiver::start(0).await;
    let simulator = start(SimulatorOptions {
        lose: 1.0,
        fail: 1.0,
        ..quick()
    })
    .await;

    let (_, booked) = book(&simulator, "o-1", "o-1:book", &url).await;
    let summary = at_rest(&simulator, 0).await;
    let (status, seen) = get(
        &simulator,
        &format!("/v1/deliveries/{}", booked["id"].as_str().unwrap()),
    )
    .await;

    assert!(receiver.heard().is_empty() && summary.callbacks_lost > 0);
    assert_eq!((status, &seen["status"]), (200, &json!("failed")));
    let reason = seen["failure_reason"].as_str().unwrap();
    assert!(waybill_domain::FailureReason::parse(reason).is_some(), "{reason}");
    assert_eq!(get(&simulator, "/v1/deliveries/dlv_nobody").await.0, 404);
    simulator.stop().await;
}

#[tokio::test]
async fn what_was_taken_is_told_again_where_the_answer_got_lost() {
    let (receiver, url) = Receiver::start(0).await;
    let simulator = start(SimulatorOptions {
        unheard: 1.0,
        ..quick()
    })
    .await;

    book(&simulator, "o-1", "o-1:book", &url).await;
    at_rest(&simulator, 2).await;

    let (kinds, ids): (Vec<_>, BTreeSet<_>) = receiver.heard().into_iter().map(|heard| (heard.kind, heard.id)).unzip();
    let twice = ["delivery.picked_up", "delivery.delivered"]
        .into_iter()
        .flat_map(|kind| [kind; 2]);
    assert_eq!((kinds, ids.len()), (twice.map(str::to_owned).collect(), 2));
    simulator.stop().await;
}

#[tokio::test]
async fn a_key_that_is_forgotten_is_answered_with_the_earlier_delivery() {
    let simulator = start(SimulatorOptions { forget: 1.0, ..quick() }).await;

    let (first, booked) = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;
    let (again, earlier) = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;

    assert_eq!([first, again], [201, 409]);
    assert_eq!(booked["id"], earlier["id"]);
    assert_eq!(
        (simulator.summary().bookings, simulator.summary().double_bookings),
        (1, 0)
    );
    simulator.stop().await;
}

#[tokio::test]
async fn a_partner_that_is_told_by_nobody_where_to_report_to_does_not_start() {
    let options = SimulatorOptions {
        speaks: Speaks::Uber,
        ..quick()
    };

    let refused = Simulator::start(options.clone()).await.unwrap_err();
    let secret = Simulator::start(SimulatorOptions {
        speaks: Speaks::Onfleet,
        ..options
    })
    .await
    .unwrap_err();

    assert!(
        matches!(refused, StartError::NowhereToReport(Speaks::Uber)),
        "{refused}"
    );
    assert!(matches!(secret, StartError::Secret(Speaks::Onfleet)), "{secret}");
}

#[tokio::test]
async fn a_failed_delivery_has_a_reason_of_the_list() {
    let (receiver, url) = Receiver::start(0).await;
    let simulator = start(SimulatorOptions { fail: 1.0, ..quick() }).await;

    for number in 0..20 {
        book(&simulator, &format!("o-{number}"), &format!("o-{number}:book"), &url).await;
    }
    at_rest(&simulator, 20).await;

    let failed: Vec<_> = receiver
        .heard()
        .into_iter()
        .filter(|heard| heard.kind == "delivery.failed")
        .collect();
    let reasons = failed
        .iter()
        .map(|heard| heard.body["data"]["failure_reason"].as_str().unwrap());
    assert!(
        reasons
            .clone()
            .all(|reason| waybill_domain::FailureReason::parse(reason).is_some())
    );
    assert_eq!((failed.len(), simulator.summary().failed), (20, 20));
    assert!(
        receiver.kinds().iter().any(|kind| kind == "delivery.picked_up"),
        "some fail only at the door"
    );
    simulator.stop().await;
}

#[tokio::test]
async fn an_error_after_booking_has_booked_all_the_same() {
    let simulator = start(SimulatorOptions {
        error_after_booking: 1.0,
        ..quick()
    })
    .await;

    let (status, _) = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;
    let (_, found) = get(&simulator, "/v1/deliveries?reference=o-1").await;
    let (_, none) = get(&simulator, "/v1/deliveries?reference=o-2").await;

    assert_eq!(status, 500);
    assert_eq!(found["items"][0]["reference"], "o-1");
    assert_eq!(none, json!({"items": []}));
    simulator.stop().await;
}

#[tokio::test]
async fn a_booking_that_hangs_is_made_or_not_and_can_be_looked_up() {
    let simulator = start(SimulatorOptions { hang: 1.0, ..quick() }).await;

    let references: Vec<String> = (0..20).map(|number| format!("o-{number}")).collect();
    let mut asked: FuturesUnordered<_> = references
        .iter()
        .map(|reference| book(&simulator, reference, "key", "http://127.0.0.1:1/"))
        .collect();
    let some_are_made = async {
        while simulator.summary().bookings == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        answer = asked.next() => panic!("a booking was answered: {answer:?}"),
        made = tokio::time::timeout(Duration::from_secs(20), some_are_made) => made.expect("some are made"),
    }

    let bookings = simulator.summary().bookings;
    assert!((1..20).contains(&bookings), "{bookings} of 20 were made");
    drop(asked);
    simulator.stop().await;
}

/// Buys a label of the simulated EasyPost, and waits a tenth of a second for the answer.
async fn buy_label(simulator: &Simulator, reference: &str) -> Result<reqwest::Response, reqwest::Error> {
    let address = json!({"street1": "Torstr. 1", "zip": "10119"});
    let shipment = json!({
        "reference": reference, "service": "Ground", "carrier_accounts": ["ca_1"],
        "from_address": address, "to_address": address,
    });
    let request = reqwest::Client::new().post(format!("{}/v2/shipments", simulator.base_url()));
    let request = request
        .basic_auth("key-1", None::<&str>)
        .timeout(Duration::from_millis(100));
    request.json(&json!({ "shipment": shipment })).send().await
}

/// How the simulated EasyPost answers to our reference.
async fn look_up_label(simulator: &Simulator, reference: &str) -> u16 {
    let request = reqwest::Client::new().get(format!("{}/v2/shipments/{reference}", simulator.base_url()));
    let answer = request.basic_auth("key-1", None::<&str>).send().await.unwrap();
    answer.status().as_u16()
}

#[tokio::test]
async fn a_booking_that_is_made_late_is_not_found_before_and_sent_again_it_is_a_second_one() {
    let simulator = start(SimulatorOptions {
        speaks: Speaks::Easypost,
        callback_url: Some("http://127.0.0.1:1/".to_owned()),
        late: 1.0,
        walk_delay: Duration::from_millis(250),
        ..quick()
    })
    .await;

    let lost = buy_label(&simulator, "o-once").await;
    let at_first = look_up_label(&simulator, "o-once").await;
    for _ in 0..2 {
        assert!(buy_label(&simulator, "o-twice").await.is_err());
    }
    let all_are_made = async {
        while simulator.summary().double_bookings == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all_are_made)
        .await
        .expect("all are made");

    assert!(lost.is_err_and(|error| error.is_timeout()), "nobody answers");
    assert_eq!((at_first, look_up_label(&simulator, "o-once").await), (404, 200));
    let summary = simulator.summary();
    assert_eq!((summary.bookings, summary.double_bookings), (2, 1));
    simulator.stop().await;
}

#[tokio::test]
async fn a_delivery_can_be_cancelled_until_it_is_picked_up() {
    let (receiver, url) = Receiver::start(0).await;
    let slow = start(SimulatorOptions {
        walk_delay: Duration::from_secs(600),
        ..quick()
    })
    .await;
    let quick = start(quick()).await;
    let (_, early) = book(&slow, "o-early", "o-early:book", &url).await;
    let (_, late) = book(&quick, "o-late", "o-late:book", &url).await;

    let first = cancel(&slow, &early["id"]).await;
    let again = cancel(&slow, &early["id"]).await;
    at_rest(&slow, 1).await;
    at_rest(&quick, 2).await;
    let too_late = cancel(&quick, &late["id"]).await;
    let unknown = cancel(&quick, &json!("dlv_nobody")).await;

    assert_eq!([first, again, too_late, unknown], [204, 204, 409, 404]);
    let told: Vec<_> = receiver
        .heard()
        .into_iter()
        .filter(|heard| heard.body["data"]["reference"] == "o-early")
        .collect();
    assert_eq!(
        told.iter().map(|heard| heard.kind.as_str()).collect::<Vec<_>>(),
        ["delivery.cancelled"]
    );
    slow.stop().await;
    quick.stop().await;
}

#[tokio::test]
async fn an_outage_answers_nobody_but_those_who_read_the_ledger() {
    let outage = Outage {
        start: Duration::ZERO,
        length: Duration::from_secs(4),
    };
    let simulator = start(SimulatorOptions {
        outage: Some(outage),
        ..quick()
    })
    .await;

    let (during, _) = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;
    let (ledger, _) = get(&simulator, "/_ledger").await;
    tokio::time::sleep(outage.length).await;
    let (after, _) = book(&simulator, "o-1", "o-1:book", "http://127.0.0.1:1/").await;

    assert_eq!([during, ledger, after], [503, 200, 201]);
    simulator.stop().await;
}

#[tokio::test]
async fn two_simulators_of_one_seed_tell_the_same_whoever_comes_first() {
    let options = SimulatorOptions {
        fail: 0.5,
        reject: 0.2,
        error: 0.3,
        ..quick()
    };
    let mut fates = Vec::new();
    for order in [[0, 1, 2, 3, 4, 5, 6, 7], [7, 3, 5, 1, 6, 2, 4, 0]] {
        let (_receiver, url) = Receiver::start(0).await;
        let simulator = start(options.clone()).await;
        for number in order {
            book(&simulator, &format!("o-{number}"), &format!("o-{number}:book"), &url).await;
        }
        at_rest(&simulator, 1).await;
        let mut ledger: Vec<_> = simulator
            .ledger()
            .into_iter()
            .map(|entry| {
                let answers: Vec<_> = entry.calls.iter().map(|call| call.answer).collect();
                let told: Vec<_> = entry
                    .callbacks
                    .iter()
                    .map(|told| (told.kind, told.id.clone()))
                    .collect();
                (entry.reference, entry.id, entry.state, answers, told)
            })
            .collect();
        ledger.sort();
        fates.push(ledger);
        simulator.stop().await;
    }

    assert_eq!(fates[0], fates[1]);
}

#[tokio::test]
async fn our_own_client_and_it_speak_the_same_contract() {
    let (_receiver, url) = Receiver::start(0).await;
    let simulator = start(SimulatorOptions {
        walk_delay: Duration::from_secs(600),
        ..quick()
    })
    .await;
    let client = PartnerClient::new("simulator", &PartnerSettings::standard(simulator.base_url())).unwrap();
    let reference = OrderId(uuid::Uuid::from_u128(7));
    let request = BookingRequest {
        reference,
        pickup: json!({"line1": "Torstr. 1"}),
        dropoff: json!({"line1": "Kastanienallee 7"}),
        parcels: vec![Parcel { items: json!([]) }],
        callback_url: url,
    };

    let before = client.find(reference).await.unwrap();
    let booking = client.book(&request).await.unwrap();
    let found = client.find(reference).await.unwrap().unwrap();
    let cancelled = [
        client.cancel(&booking.id).await,
        client.cancel(&booking.id).await,
        client.cancel("nobody").await,
    ];

    assert_eq!(before, None);
    assert_eq!((&found.booking, found.status.as_str()), (&booking, "booked"));
    assert_eq!(
        cancelled,
        [Ok(Cancelled::Done), Ok(Cancelled::Done), Ok(Cancelled::Done)]
    );
    let ledger = simulator.ledger();
    let calls: Vec<_> = ledger[0]
        .calls
        .iter()
        .map(|call| (call.op, call.key.as_deref(), call.answer))
        .collect();
    let (book, cancel) = (format!("{reference}:book"), format!("{}:cancel", booking.id));
    let expected = [
        ("find", None, 200),
        ("book", Some(book.as_str()), 201),
        ("find", None, 200),
        ("cancel", Some(cancel.as_str()), 204),
        ("cancel", Some(cancel.as_str()), 204),
    ];
    assert_eq!((calls, ledger[0].state), (expected.to_vec(), "cancelled"));
    simulator.stop().await;
}

#[tokio::test]
async fn a_partner_that_rejects_says_why() {
    let simulator = start(SimulatorOptions { reject: 1.0, ..quick() }).await;
    let client = PartnerClient::new("simulator", &PartnerSettings::standard(simulator.base_url())).unwrap();
    let request = BookingRequest {
        reference: OrderId(uuid::Uuid::from_u128(7)),
        pickup: json!({}),
        dropoff: json!({}),
        parcels: vec![],
        callback_url: "http://127.0.0.1:1/".to_owned(),
    };

    let answer = client.book(&request).await;

    assert!(matches!(answer, Err(PartnerError::Rejected { code, .. }) if code == "address_undeliverable"));
    assert_eq!((simulator.summary().rejected, simulator.summary().bookings), (1, 0));
    simulator.stop().await;
}

#[tokio::test]
async fn a_simulator_that_is_dropped_is_gone() {
    let simulator = start(quick()).await;
    let base_url = simulator.base_url();

    drop(simulator);

    for _ in 0..200 {
        if reqwest::get(format!("{base_url}/_ledger")).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it still answers");
}

/// Stores callbacks as the application would: by event id.
#[derive(Debug, Default)]
struct Believed(Mutex<Vec<(String, PartnerReport)>>);

#[async_trait::async_trait]
impl Inbox for Believed {
    async fn store(&self, callback: Callback) -> Result<Stored, Unavailable> {
        let report = Adapter::Standard
            .translate(&callback.body)
            .expect("what it tells is in our contract");
        let mut believed = self.0.lock().unwrap();
        if believed.iter().any(|(id, _)| *id == callback.event_id) {
            return Ok(Stored::Duplicate);
        }
        believed.push((callback.event_id, report));
        Ok(Stored::New)
    }

    fn reject(&self, _unbelieved: Unbelieved) {}
}

#[tokio::test]
async fn our_webhooks_understand_every_callback_and_believe_no_forged_one() {
    let key = Key::parse("k1", &SECRET.into()).unwrap();
    let trust = Trust::standard(vec![key]);
    let keys = PartnerKeys::new([("simulator".to_owned(), trust)]).unwrap();
    let inbox = Arc::<Believed>::default();
    let router = waybill_webhooks::router(
        Arc::new(keys),
        inbox.clone(),
        Arc::new(chrono::Utc::now),
        Doors::default(),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/webhooks/simulator", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, router).into_future());
    let lies = SimulatorOptions {
        fail: 0.5,
        duplicate: 0.5,
        reorder: 0.3,
        wrong_signature: 0.5,
        ..quick()
    };
    let simulator = start(lies).await;

    for number in 1..=40 {
        let reference = uuid::Uuid::from_u128(number).to_string();
        book(&simulator, &reference, &format!("{reference}:book"), &url).await;
    }
    for _ in 0..1_000 {
        let summary = simulator.summary();
        if summary.delivered + summary.failed == 40 && summary.walking == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let (summary, believed) = (simulator.summary(), inbox.0.lock().unwrap().clone());
    let count = |kind| believed.iter().filter(|(_, report)| report.kind == kind).count() as u64;
    assert_eq!(
        (count(ReportKind::Delivered), count(ReportKind::Failed)),
        (summary.delivered, summary.failed)
    );
    assert_eq!(summary.callbacks_told, believed.len() as u64, "each is stored once");
    let ledger = simulator.ledger();
    let told = |forged: bool| {
        ledger
            .iter()
            .flat_map(|entry| &entry.callbacks)
            .filter(move |told| told.forged == forged)
    };
    assert!(told(true).count() > 10 && told(true).all(|told| told.status == 401));
    assert!(told(false).all(|told| told.status == 200));
    for (_, report) in believed {
        let entry = ledger
            .iter()
            .find(|entry| Some(&entry.reference) == report.reference.as_ref());
        assert!(entry.is_some(), "{report:?}");
        assert!(report.kind != ReportKind::PickedUp || report.partner_order_number.is_some());
        assert!(
            !report.fields.contains_key("failure_raw"),
            "every reason is one of ours: {report:?}"
        );
    }
    simulator.stop().await;
}
