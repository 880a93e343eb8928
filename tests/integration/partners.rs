//! Three partners in their own words, each of which fails, forgets, repeats itself, mixes up the order, lies and falls silent: what
//! becomes of every order is what the partner's ledger says, whatever way it was heard.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::stage::people::{physical, text};
use crate::stage::{Language, Stage};

/// Two hours of silence are too long for a test: somebody asks for what the process would ask for then.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// What a partner does wrong, whoever it is. It is slower than who books again after an error (two seconds at most): a callback
/// that comes first names the booking, and nobody asks for it again.
const LIES: &[&str] = &[
    "--walk-delay",
    "2500ms",
    "--seed",
    "23",
    "--fail",
    "0.15",
    "--reject",
    "0.15",
    "--error-after-booking",
    "0.15",
    "--forget",
    "1",
    "--duplicate",
    "0.1",
    "--unheard",
    "0.1",
    "--reorder",
    "0.1",
    "--lose",
    "0.08",
    "--wrong-signature",
    "0.05",
];

/// Requests that fail with nothing done: sent again with their key, or looked for by hand.
const FAILS: &[&str] = &["--error", "0.03"];

/// Bookings that are made when nobody waits for them any more.
const COMES_LATE: &[&str] = &["--late", "0.15"];

/// Orders of each partner: many where there is time.
fn orders() -> usize {
    match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => 1000,
        None => 60,
    }
}

/// Carries orders through a partner of that language, and proves that each ended as its ledger says; answers the stage.
fn carry(language: Language, lies: &[&str], meanings: &[(&str, &str)]) -> (Stage, usize) {
    let mut stage = Stage::speaking(language, &[LIES, lies].concat());
    stage.employ("yes");
    stage.start(&["all"]);
    stage.await_consumers();

    let orderings = physical(&stage.pay(orders(), &["--duplicates", "0.05", "--seed", "23"]));
    let (mut asked, mut looked_up) = (Instant::now(), 0);
    let arranged = stage.see_through_beside(orderings.len(), Duration::from_secs(1500), |token| {
        looked_up += look_up_by_hand(&stage, token);
        if asked.elapsed() > ASK_EVERY {
            ask(&stage);
            asked = Instant::now();
        }
    });

    let summary = stage
        .clients
        .get(&format!("{}/_ledger/summary", stage.partner()), None)
        .body;
    let number = |what: &str| summary[what].as_u64().expect("a number");
    for what in ["callbacks_lost", "failed", "rejected"] {
        assert!(number(what) > 0, "{what}: {summary}");
    }
    let ended_badly = number("failed") + number("rejected");
    assert_eq!(arranged as u64, ended_badly, "a new delivery for each that failed");
    compare(&stage, meanings);
    stage.prove(&orderings);
    (stage, looked_up)
}

/// Has the partner asked about every delivery that it has, when it has nothing more to tell by itself.
fn ask(stage: &Stage) {
    let summary = stage
        .clients
        .get(&format!("{}/_ledger/summary", stage.partner()), None)
        .body;
    if summary["walking"] != 0 {
        return;
    }
    let database = stage.database.as_ref().expect("a story on PostgreSQL");
    let silent = database.query(
        "SELECT d.order_id FROM delivery_orders d JOIN instances i ON i.id = d.order_id
         WHERE d.live AND d.partner_booking_id IS NOT NULL AND i.state IN ('CREATED', 'PICKED_UP')",
    );
    for order in silent.lines() {
        let kwargs = json!({ "delivery_order_id": order });
        stage.clients.send_task("waybill.reconcile_partner", kwargs, "waybill");
    }
}

/// The operator looks at the partner's for bookings whose answer got lost, and says what is there; answers how many.
fn look_up_by_hand(stage: &Stage, token: &str) -> usize {
    let open = format!("{}/v1/operator-cases?state=open&limit=200", stage.url());
    let cases = stage.clients.get(&open, Some(token)).body;
    let lost = |case: &&Json| case["kind"] == "effect-failed" && case["detail"]["effect"] == "book_delivery_partner";
    let lost: Vec<_> = cases["items"].as_array().expect("cases").iter().filter(lost).collect();
    if lost.is_empty() {
        return 0;
    }
    let ledger = ledger(stage);
    for case in &lost {
        let order = text(&case["order"]["delivery_order_id"]);
        let there = Some(&ledger[&order]["id"]).filter(|id| **id != "");
        let booked = json!({ "partner_booking_id": there, "note": "seen in the partner's dashboard" });
        let path = format!("{}/v1/operator-cases/{}/booking", stage.url(), text(&case["case_id"]));
        let told = stage.clients.post(&path, token, &order, &booked);
        assert_eq!(told.status, 200, "{:?}", told.body);
    }
    lost.len()
}

/// The partner's ledger, by reference.
fn ledger(stage: &Stage) -> BTreeMap<String, Json> {
    let entries = stage.clients.get(&format!("{}/_ledger", stage.partner()), None).body;
    let entries = entries.as_array().expect("the ledger").iter();
    entries
        .map(|entry| (text(&entry["reference"]), entry.clone()))
        .collect()
}

/// Every order stands where its delivery stands in the ledger, and knows the partner's id and the partner's word.
fn compare(stage: &Stage, meanings: &[(&str, &str)]) {
    let database = stage.database.as_ref().expect("a story on PostgreSQL");
    let told = database.query(
        "SELECT d.order_id, i.state, coalesce(d.partner_booking_id, ''), coalesce(d.failure_reason, ''),
            coalesce((SELECT string_agg(t.fields ->> 'failure_raw', '') FROM transitions t
                WHERE t.order_id = d.order_id AND t.kind = 'moved'), '')
         FROM delivery_orders d JOIN instances i ON i.id = d.order_id",
    );
    let orders: BTreeMap<&str, Vec<&str>> = told
        .lines()
        .map(|line| {
            let mut parts = line.split('|');
            (parts.next().expect("an id"), parts.collect())
        })
        .collect();
    let meaning_of = |word: &str| {
        let meaning = meanings.iter().find(|(known, _)| *known == word);
        meaning.unwrap_or_else(|| panic!("no meaning of {word:?}")).1
    };
    let ledger = ledger(stage);
    assert_eq!(orders.len(), ledger.len());
    for (reference, entry) in ledger {
        let order = &orders[&*reference];
        let [state, booking, reason, raw] = order[..] else {
            panic!("{order:?}");
        };
        for told in entry["callbacks"].as_array().expect("callbacks") {
            // On a machine with much to do an answer may come too late: then it is 503, and told again.
            let answered = told["status"].as_u64().expect("a status");
            let expected = if told["forged"] == true { 401 } else { 200 };
            assert!([expected, 503, 0].contains(&answered), "{answered}: {entry}");
        }
        match &*text(&entry["state"]) {
            "delivered" => assert_eq!(
                (state, booking),
                ("DELIVERY_CONFIRMED", &*text(&entry["id"])),
                "{entry}"
            ),
            "rejected" => assert_eq!((state, reason), ("REPLACED", meaning_of("rejected")), "{entry} {raw}"),
            "failed" => {
                let word = text(&entry["reason"]);
                let known = ("REPLACED", &*text(&entry["id"]), meaning_of(&word));
                assert_eq!((state, booking, reason), known, "{entry} {raw}");
                assert!(raw.contains(&word), "{raw} keeps {word}");
            }
            other => panic!("{other} is no end: {entry}"),
        }
    }
}

/// What each partner's words mean to us, as their documents have it; `rejected` is a booking that is refused.
const UBER: &[(&str, &str)] = &[
    ("rejected", "ADDRESS_INVALID"),
    ("merchant_closed", "PICKUP_FAILED"),
    ("merchant_refused", "PICKUP_FAILED"),
    ("unable_to_find_pickup", "PICKUP_FAILED"),
    ("MERCHANT_CANCEL", "CANCELLED_BY_MERCHANT"),
    ("UNKNOWN_CANCEL", "UNKNOWN"),
    ("cannot_access_customer_location", "ACCESS_RESTRICTED"),
    ("cannot_find_customer_address", "ADDRESS_INVALID"),
    ("customer_rejected_order", "RECIPIENT_REFUSED"),
    ("customer_unavailable", "RECIPIENT_UNAVAILABLE"),
    ("recipient_age", "VERIFICATION_FAILED"),
    ("", "RETURNED_TO_SENDER"),
];
const EASYPOST: &[(&str, &str)] = &[
    ("rejected", "PARTNER_REJECTED"),
    ("address_correction", "ADDRESS_INVALID"),
    ("unknown", "PARTNER_TECHNICAL"),
    ("damaged", "DAMAGED"),
    ("expired", "UNCLAIMED"),
    ("lost", "LOST"),
    ("missorted", "MISROUTED"),
    ("refused", "RECIPIENT_REFUSED"),
    ("delivery_exception", "UNKNOWN"),
    ("return", "RETURNED_TO_SENDER"),
];
const ONFLEET: &[(&str, &str)] = &[
    ("rejected", "PARTNER_REJECTED"),
    ("NOTHING_TO_COLLECT", "UNKNOWN"),
    ("VEHICLE_BROKEN", "UNKNOWN"),
    ("CUSTOMER_NOT_HOME", "UNKNOWN"),
    ("REFUSED", "UNKNOWN"),
    ("WRONG_ADDRESS", "UNKNOWN"),
    ("NONE", "UNKNOWN"),
];

#[test]
fn every_order_that_uber_carries_ends_as_ubers_ledger_says() {
    let language = Language {
        adapter: "uber",
        secret: "a signing key of the simulated Uber",
        settings: "credentials: {key: client, secret: s, account: c-1, token_url: 'BASE/oauth/v2/token'},",
    };

    let (stage, looked_up) = carry(language, FAILS, UBER);

    assert_eq!(looked_up, 0, "a key says by itself what was booked");
    let conflicts = ledger(&stage)
        .into_values()
        .flat_map(|entry| answers(&entry))
        .filter(|answer| *answer == 409);
    assert!(
        conflicts.count() > 0,
        "some keys were forgotten, and the earlier delivery was taken on"
    );
}

#[test]
fn every_order_that_easypost_carries_ends_as_easyposts_ledger_says() {
    let language = Language {
        adapter: "easypost",
        secret: "ein précomposé Geheimnis der Étiquettes",
        settings: "credentials: {key: key-1}, options: {carrier_account: ca_1, service: Ground},",
    };

    let (stage, looked_up) = carry(language, COMES_LATE, EASYPOST);

    assert_eq!(looked_up, 0, "what is unknown is looked up by our reference");
    let bookings: Vec<_> = ledger(&stage).values().map(answers).collect();
    assert!(
        bookings.iter().any(|answers| *answers == [0]),
        "some were made late, and found"
    );
    assert!(
        bookings.iter().all(|answers| answers.len() == 1),
        "nothing is sent again that would buy a second label: {bookings:?}"
    );
}

#[test]
fn every_order_that_onfleet_carries_ends_as_onfleets_ledger_says() {
    let language = Language {
        adapter: "onfleet",
        secret: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        settings: "credentials: {key: key-1},",
    };

    let (stage, looked_up) = carry(language, FAILS, ONFLEET);

    assert!(looked_up > 0, "only a person can look at Onfleet's");
    let by_operators = "SELECT count(*) FROM transitions WHERE event IN ('PARTNER_BOOKED', 'BOOKING_NOT_FOUND')
         AND actor_role = 'operator' AND actor_id = 'story'";
    assert_eq!(
        stage.count(by_operators),
        looked_up as i64,
        "and the log says who it was"
    );
}

/// What the partner answered to bookings.
fn answers(entry: &Json) -> Vec<u64> {
    let calls = entry["calls"].as_array().expect("calls").iter();
    let bookings = calls.filter(|call| call["op"] == "book");
    bookings
        .map(|call| call["answer"].as_u64().expect("a status"))
        .collect()
}
