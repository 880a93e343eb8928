//! `kill -9` at each point between a partner's request and its effect: what was answered has its effect, and nothing has
//! it twice.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};
use waybill_webhooks::signing::SigningKey;

use crate::stage::clients::Clients;
use crate::stage::people::text;
use crate::stage::{CALLBACK_SECRET, Stage, eventually, payment};

/// Enough to share commits.
const ORDERS: usize = 6;
const SOON: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;
/// Read by a debug build only.
const CRASH: &str = "WAYBILL_TEST_CRASH";

/// A process of the story, by what it is started with.
struct Role {
    arguments: &'static [&'static str],
    place: usize,
}

/// One callback that its partner sends until it is answered 200.
struct Callback {
    id: String,
    order: String,
}

impl Callback {
    fn picked_up(order: &str) -> Self {
        Self {
            id: format!("evt-{order}"),
            order: order.to_owned(),
        }
    }

    /// Sent once, signed anew; answers the status, if there was one.
    fn send(&self, clients: &Clients, url: &str) -> Option<u16> {
        let body = json!({
            "type": "delivery.picked_up", "timestamp": "2026-11-20T11:00:00Z",
            "data": {"reference": self.order, "partner_order_number": format!("N-{}", self.order)},
        });
        let body = body.to_string();
        let at = chrono::Utc::now().timestamp();
        let key = SigningKey::parse(&CALLBACK_SECRET.into()).expect("a secret");
        let signature = key.sign(&self.id, at, body.as_bytes());
        let headers = [
            ("webhook-id", self.id.as_str()),
            ("webhook-timestamp", &at.to_string()),
            ("webhook-signature", &signature),
            ("content-type", "application/json"),
        ];
        let told = clients.post_text(&format!("{url}/webhooks/standard"), &headers, body);
        told.map(|told| told.status)
    }
}

/// Pays for orders and waits until each is booked, so that only callbacks are left to happen; answers the orders.
fn arrange(stage: &Stage, token: &str) -> Vec<String> {
    for number in 0..ORDERS {
        stage.write("payment.json", &payment(&format!("ord-{number}")));
        // The queue of payments is made by the process that has just started. The same event twice is one payment.
        eventually("the payment is sent", SOON, || {
            (stage.run(&["send", "payment.json"]).code == 0).then_some(())
        });
    }
    let orders = format!("{}/v1/delivery-orders", stage.url());
    eventually("each order is booked", SOON, || {
        let found = stage.clients.get(&orders, Some(token)).body;
        let items = found["items"].as_array()?;
        let booked = items.iter().all(|order| order["partner_booking_id"].is_string());
        (items.len() == ORDERS && booked).then(|| items.iter().map(|order| text(&order["delivery_order_id"])).collect())
    })
}

/// How often each order was picked up by its log, and how often that was only noted.
fn pick_ups(stage: &Stage, token: &str, order: &str) -> (usize, usize) {
    let log = stage
        .clients
        .get(&format!("{}/v1/delivery-orders/{order}/log", stage.url()), Some(token));
    assert_eq!(log.status, 200, "{:?}", log.body);
    let rows = log.body;
    let rows = rows.as_array().expect("rows").iter();
    let rows: Vec<&Json> = rows.filter(|row| row["event"] == "PARTNER_PICKED_UP").collect();
    let moved = rows.iter().filter(|row| row["kind"] == "moved").count();
    (moved, rows.len() - moved)
}

/// Kills whoever passes the point while callbacks come in, starts it again, lets the partner send again what was not
/// answered, and proves that each callback has its effect, once.
fn crash_at(mut stage: Stage, point: &str, mut roles: Vec<Role>, victim: usize) {
    for role in &mut roles {
        role.place = stage.start(role.arguments);
    }
    let token = stage.token("operator");
    let orders = arrange(&stage, &token);
    let victim = &roles[victim];
    assert_eq!(stage.process(victim.place).stop(), 0);
    stage.set(CRASH, point);
    let doomed = stage.start(victim.arguments);
    stage.unset(CRASH);

    let callbacks: Vec<Callback> = orders.iter().map(|order| Callback::picked_up(order)).collect();
    let url = stage.url();
    let first: Vec<Option<u16>> = thread::scope(|scope| {
        let clients = &stage.clients;
        let sending = callbacks
            .iter()
            .map(|callback| scope.spawn(|| callback.send(clients, &url)));
        let sending: Vec<_> = sending.collect();
        sending
            .into_iter()
            .map(|sent| sent.join().expect("it is sent"))
            .collect()
    });
    assert_eq!(stage.process(doomed).ended_by(), Some(SIGKILL), "it is killed {point}");
    stage.start(victim.arguments);
    let unanswered = callbacks.iter().zip(&first).filter(|(_, status)| **status != Some(200));
    let again: Vec<&Callback> = unanswered.map(|(callback, _)| callback).collect();
    for callback in &again {
        eventually("the partner is answered", SOON, || {
            (callback.send(&stage.clients, &url) == Some(200)).then_some(())
        });
    }

    for order in &orders {
        let view = format!("{url}/v1/delivery-orders/{order}");
        eventually(&format!("{order} is picked up"), SOON, || {
            (stage.clients.get(&view, Some(&token)).body["state"] == "PICKED_UP").then_some(())
        });
        assert_eq!(pick_ups(&stage, &token, order), (1, 0), "{order}, killed {point}");
    }
    let statuses: BTreeSet<u16> = first.into_iter().flatten().collect();
    assert!(
        statuses.is_subset(&[200].into()),
        "a partner that was answered heard 200: {statuses:?}"
    );
    if point != "before-apply" && point != "before-ack" {
        assert!(!again.is_empty(), "who was being answered was not: {point}");
    }
    let listed = stage.run(&["callbacks", "list", "--json"]).json();
    let listed = listed.as_array().expect("callbacks");
    assert_eq!(listed.len(), ORDERS, "each is stored once: {listed:?}");
    assert!(listed.iter().all(|row| row["state"] == "applied"), "{listed:?}");
    let ledger = stage
        .clients
        .get(&format!("{}/_ledger/summary", stage.partner()), None)
        .body;
    assert_eq!(ledger["bookings"], ORDERS, "{ledger}");
    stage.run(&["audit", "verify"]).good();
}

fn role(arguments: &'static [&'static str]) -> Role {
    Role { arguments, place: 0 }
}

/// On a SQLite file one process does everything.
fn on_sqlite(point: &str) {
    crash_at(Stage::single(&["--walk-delay", "60m"]), point, vec![role(&["all"])], 0);
}

/// On PostgreSQL and RabbitMQ the receiver and the worker are two processes; the second is killed between task and
/// acknowledgement.
fn on_postgres(point: &str) {
    let victim = usize::from(point == "before-apply" || point == "before-ack");
    let roles = vec![role(&["serve"]), role(&["work"])];
    crash_at(Stage::real(&["--walk-delay", "60m"]), point, roles, victim);
}

macro_rules! killed {
    ($($name:ident: $point:literal;)+) => {
        $(
            mod $name {
                #[test]
                fn on_sqlite() {
                    super::on_sqlite($point);
                }

                #[test]
                fn on_postgres() {
                    super::on_postgres($point);
                }
            }
        )+
    };
}

killed! {
    a_callback_is_neither_lost_nor_doubled_by_a_kill_before_it_is_stored: "before-store";
    a_callback_is_neither_lost_nor_doubled_by_a_kill_before_the_commit: "before-commit";
    a_callback_is_neither_lost_nor_doubled_by_a_kill_after_it_is_stored: "after-store";
    a_callback_is_neither_lost_nor_doubled_by_a_kill_before_the_answer: "before-answer";
    a_callback_is_neither_lost_nor_doubled_by_a_kill_between_task_and_effect: "before-apply";
    a_callback_is_neither_lost_nor_doubled_by_a_kill_between_effect_and_acknowledgement: "before-ack";
}
