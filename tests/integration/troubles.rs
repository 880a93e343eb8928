//! Effects that fail for ever, bookings whose answer got lost, and graphs that change meanwhile, as an operator meets them:
//! over HTTP and the queues, with PostgreSQL and RabbitMQ and with a SQLite file.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::stage::graphs::two_versions;
use crate::stage::people::text;
use crate::stage::{Language, Stage, eventually, payment};

const SOON: Duration = Duration::from_secs(90);

/// A partner that answers late and cannot be asked what it has.
const ONFLEET: Language = Language {
    adapter: "onfleet",
    secret: "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
    settings: "credentials: {key: key-1},",
};

/// Pays for an ordering; answers its order.
fn order(stage: &Stage, token: &str, ordering: &str) -> String {
    let mut paid: Json = serde_json::from_str(&payment(ordering)).expect("an event");
    // Onfleet takes no recipient without one.
    paid["data"]["dropoff"]["phone"] = json!("+4930123456");
    stage.write("payment.json", &paid.to_string());
    // The queue is made by the process that has just started.
    eventually("it is paid", SOON, || {
        (stage.run(&["send", "payment.json"]).code == 0).then_some(())
    });
    let url = format!("{}/v1/delivery-orders?ordering_id={ordering}", stage.url());
    eventually("it has an order", SOON, || {
        let found = stage.clients.get(&url, Some(token)).body;
        Some(text(&found["items"].as_array()?.first()?["delivery_order_id"]))
    })
}

fn view(stage: &Stage, token: &str, order: &str) -> Json {
    let url = format!("{}/v1/delivery-orders/{order}", stage.url());
    stage.clients.get(&url, Some(token)).body
}

/// The open case about the booking of an order, other than that one.
fn lost(stage: &Stage, token: &str, order: &str, other_than: &str) -> String {
    let url = format!("{}/v1/operator-cases?limit=200", stage.url());
    eventually("an operator has to look", SOON, || {
        let listed = stage.clients.get(&url, Some(token)).body;
        let cases = listed["items"].as_array()?.iter();
        let mut of_order =
            cases.filter(|case| case["order"]["delivery_order_id"] == order && case["case_id"] != other_than);
        let case = of_order.find(|case| case["kind"] == "effect-failed")?;
        assert_eq!(case["detail"]["effect"], "book_delivery_partner", "{case}");
        Some(text(&case["case_id"]))
    })
}

/// The operator says what the partner has; answers the status and the code of a problem.
fn say(stage: &Stage, token: &str, case: &str, booking: Option<&str>) -> (u16, String) {
    let path = format!("{}/v1/operator-cases/{case}/booking", stage.url());
    let body = json!({ "partner_booking_id": booking, "note": "seen in the dashboard" });
    let told = stage.clients.post(&path, token, case, &body);
    (told.status, told.body["code"].as_str().unwrap_or_default().to_owned())
}

/// The id that the partner gave to what it last booked for an order.
fn at_the_partners(stage: &Stage, order: &str) -> String {
    let entries = stage.clients.get(&format!("{}/_ledger", stage.partner()), None).body;
    let mut entries = entries.as_array().expect("the ledger").iter();
    let entry = entries.rfind(|entry| entry["reference"] == order);
    text(&entry.expect("it was booked")["id"])
}

/// Who moved or noted that event of an order.
fn by(stage: &Stage, token: &str, order: &str, event: &str) -> Vec<Json> {
    let url = format!("{}/v1/delivery-orders/{order}/log", stage.url());
    let log = stage.clients.get(&url, Some(token)).body;
    let rows = log.as_array().expect("rows").iter();
    rows.filter(|row| row["event"] == event)
        .map(|row| row["actor"]["id"].clone())
        .collect()
}

/// Somebody at the partner's address who serves us no more.
fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(refuse(stream))));
    url
}

fn refuse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&request) {
        match stream.read(&mut piece)? {
            0 => return Ok(()),
            read => request.extend_from_slice(&piece[..read]),
        }
    }
    stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// The partner's account is closed: nothing is tried for ever. When that is mended, the operator has it done again.
fn an_effect_that_fails_for_ever(mut stage: Stage) {
    let right = std::fs::read_to_string(stage.path("partners.yaml")).expect("the partners");
    stage.write("partners.yaml", &right.replace(&stage.partner(), &closed()));
    let place = stage.start(&["all"]);
    let token = stage.token("operator");
    let order = order(&stage, &token, "ord-1");

    let case = lost(&stage, &token, &order, "");
    let waiting = view(&stage, &token, &order);
    assert_eq!(stage.process(place).stop(), 0);
    stage.write("partners.yaml", &right);
    stage.start(&["all"]);
    let again = say(&stage, &token, &case, None);

    assert_eq!(
        (&waiting["state"], &waiting["partner_booking_id"]),
        (&json!("CREATED"), &Json::Null)
    );
    assert_eq!(again, (200, String::new()));
    eventually("it is booked", SOON, || {
        view(&stage, &token, &order)["partner_booking_id"]
            .is_string()
            .then_some(())
    });
    assert_eq!(by(&stage, &token, &order, "BOOKING_NOT_FOUND"), ["story"]);
    stage.run(&["audit", "verify"]).good();
}

/// The partner books, and its answer gets lost each time; only a person can look there.
fn a_lost_booking(mut stage: Stage) {
    stage.start(&["all"]);
    let token = stage.token("operator");
    let (first, second) = (order(&stage, &token, "ord-1"), order(&stage, &token, "ord-2"));
    let (case, other) = (lost(&stage, &token, &first, ""), lost(&stage, &token, &second, ""));
    let id = at_the_partners(&stage, &first);

    let found = say(&stage, &token, &case, Some(&id));
    let twice = say(&stage, &token, &case, Some(&id));
    let taken = say(&stage, &token, &other, Some(&id));
    let not_found = say(&stage, &token, &other, None);
    let lost_again = lost(&stage, &token, &second, &other);
    let id_of_second = at_the_partners(&stage, &second);
    let at_last = say(&stage, &token, &lost_again, Some(&id_of_second));

    assert_eq!((found, twice), ((200, String::new()), (200, String::new())));
    assert_eq!(taken, (409, "booking-taken".to_owned()));
    assert_eq!((not_found, at_last), ((200, String::new()), (200, String::new())));
    for (order, id) in [(&first, id), (&second, id_of_second)] {
        assert_eq!(view(&stage, &token, order)["partner_booking_id"], json!(id));
        assert_eq!(by(&stage, &token, order, "PARTNER_BOOKED"), ["story"]);
    }
    assert_eq!(by(&stage, &token, &second, "BOOKING_NOT_FOUND"), ["story"]);
    stage.run(&["audit", "verify"]).good();
}

/// A version is activated while an order is under way on the one before.
fn a_graph_that_changes_meanwhile(mut stage: Stage) {
    stage.start(&["all"]);
    let token = stage.token("operator");
    let before = order(&stage, &token, "ord-1");
    stage.write("graphs.yaml", &two_versions());
    stage.run(&["graph", "publish", "graphs.yaml"]).good();

    let unknown = stage.run(&["graph", "activate", "3=100"]);
    stage.run(&["graph", "activate", "2=100"]).good();
    let after = order(&stage, &token, "ord-2");
    let in_use = stage.run(&["graph", "retire", "1"]);
    let cancel = format!("{}/v1/delivery-orders/{before}/events", stage.url());
    let cancelled = json!({ "event": "CANCELLED", "fields": { "cancel_reason": "CUSTOMER_REQUEST" } });
    let moved = stage.clients.post(&cancel, &token, "ticket-1", &cancelled);
    let retired = stage.run(&["graph", "retire", "1"]);
    let back = stage.run(&["graph", "activate", "1=100"]);

    assert_eq!(unknown.code, 1, "{}{}", unknown.out, unknown.err);
    let version = |order: &str| view(&stage, &token, order)["graph_version"].clone();
    assert_eq!((version(&before), version(&after)), (json!(1), json!(2)));
    assert_eq!(in_use.code, 1, "an order lives on it: {}{}", in_use.out, in_use.err);
    assert_eq!(
        moved.status, 200,
        "it moves as the version says that it was born with: {:?}",
        moved.body
    );
    assert_eq!(retired.code, 0, "{}{}", retired.out, retired.err);
    assert_eq!(back.code, 1, "it never comes back: {}{}", back.out, back.err);
    let graphs = stage
        .clients
        .get(&format!("{}/v1/graphs", stage.url()), Some(&token))
        .body;
    let machines = graphs["items"].as_array().expect("machines").iter();
    let mut of_orders = machines.filter(|machine| machine["machine"] == "delivery-order");
    let routing = &of_orders.next().expect("the machine of orders")["routing"];
    assert_eq!(routing["active"], json!([{ "version": 2, "weight": 100 }]));
    stage.run(&["audit", "verify"]).good();
}

/// What a newer program does in the database.
fn newer(stage: &Stage, sql: &str) -> String {
    stage.database.as_ref().expect("a story on PostgreSQL").query(sql)
}

/// Lets an order obey that version, and new ones begin so.
fn lead_to(stage: &Stage, order: &str, version: u32) {
    newer(
        stage,
        &format!("UPDATE instances SET graph_version = {version} WHERE id = '{order}'"),
    );
    let activate = format!(
        "INSERT INTO graph_activations SELECT machine, max(revision) + 1, '[{{\"version\": {version}, \"weight\": 100}}]', 'newer', now()
         FROM graph_activations WHERE machine = 'delivery-order' GROUP BY machine"
    );
    newer(stage, &activate);
}

/// A newer program has published a version that the running one cannot read, moved an order there and lets new ones begin so. What is
/// told by message meanwhile waits; it is done where the version can be read.
fn a_version_that_the_program_cannot_read(mut stage: Stage) {
    let place = stage.start(&["all"]);
    let token = stage.token("operator");
    let (there, bystander) = (order(&stage, &token, "ord-1"), order(&stage, &token, "ord-2"));
    newer(
        &stage,
        "INSERT INTO graph_versions
         SELECT machine, 2, 'of a newer program', jsonb_set(document, '{states,CREATED,on_enter}', '[\"launch_rocket\"]'), now()
         FROM graph_versions WHERE machine = 'delivery-order' AND version = 1",
    );
    lead_to(&stage, &there, 2);

    for (order, key) in [(&there, "there"), (&bystander, "beside")] {
        let fields = json!({ "cancel_reason": "CUSTOMER_REQUEST" });
        let cancel = json!({ "delivery_order_id": order, "event": "CANCELLED", "fields": fields, "key": key });
        stage.clients.send_task("waybill.report_event", cancel, "waybill");
    }
    stage.write("payment.json", &payment("ord-3"));
    stage.run(&["send", "payment.json"]).good();
    eventually("who is on a version that it can read is cancelled", SOON, || {
        (view(&stage, &token, &bystander)["state"] == "CANCELLED").then_some(())
    });
    eventually("both other messages are tried", SOON, || {
        let log = stage.process(place).log();
        let left = [
            "a message of waybill has to wait:",
            "a payment event of waybill.payments has to wait:",
        ];
        left.iter().all(|said| log.contains(said)).then_some(())
    });
    let meanwhile = (
        view(&stage, &token, &there)["state"].clone(),
        newer(&stage, "SELECT count(*) FROM delivery_orders"),
    );
    lead_to(&stage, &there, 1);

    assert_eq!(meanwhile, (json!("CREATED"), "2".to_owned()));
    eventually("what waited is done", SOON, || {
        let born = newer(
            &stage,
            "SELECT count(*) FROM delivery_orders WHERE ordering_id = 'ord-3'",
        );
        (view(&stage, &token, &there)["state"] == "CANCELLED" && born == "1").then_some(())
    });
    assert_eq!(by(&stage, &token, &there, "CANCELLED").len(), 1);
    assert_eq!(stage.run(&["dead", "list", "--json"]).json(), json!([]));
    stage.run(&["audit", "verify"]).good();
}

/// For as long as a story lasts nothing comes from the partner by itself.
const STILL: &[&str] = &["--walk-delay", "60m"];
const FORGETFUL: &[&str] = &["--walk-delay", "60m", "--error-after-booking", "1"];

macro_rules! on_both {
    ($($name:ident: $story:ident, $single:expr, $real:expr;)+) => {
        $(
            mod $name {
                use super::*;

                #[test]
                fn on_sqlite() {
                    $story($single);
                }

                #[test]
                fn on_postgres_and_rabbitmq() {
                    $story($real);
                }
            }
        )+
    };
}

on_both! {
    an_effect_that_fails_for_ever_is_an_operators_and_done_again_when_its_cause_is_mended:
        an_effect_that_fails_for_ever, Stage::single(STILL), Stage::real(STILL);
    a_booking_that_only_a_person_can_find_is_found_or_made_again:
        a_lost_booking, Stage::single_speaking(ONFLEET, FORGETFUL), Stage::speaking(ONFLEET, FORGETFUL);
    whoever_is_born_after_an_activation_has_the_new_version_and_the_others_keep_theirs:
        a_graph_that_changes_meanwhile, Stage::single(STILL), Stage::real(STILL);
}

#[test]
fn a_message_about_a_version_that_this_program_cannot_read_waits_for_one_that_can() {
    a_version_that_the_program_cannot_read(Stage::real(STILL));
}
