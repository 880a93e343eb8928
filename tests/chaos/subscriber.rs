//! `kill -9` while a subscriber is being told: what was under way is told again, under the same id, and nothing is missing.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::stage::{Stage, eventually, payment};

const ORDERS: usize = 12;

/// A subscriber that says nothing until it is told to.
struct Subscriber {
    url: String,
    heard: Arc<Mutex<Vec<(String, String)>>>,
    awake: Arc<AtomicBool>,
}

impl Subscriber {
    fn asleep() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
        let (heard, awake) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<AtomicBool>::default());
        let (hearing, state) = (heard.clone(), awake.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (heard, awake) = (hearing.clone(), state.clone());
                thread::spawn(move || serve(stream, &heard, &awake));
            }
        });
        Self { url, heard, awake }
    }

    fn heard(&self) -> Vec<(String, String)> {
        self.heard.lock().expect("nobody panics").clone()
    }

    /// Each order's sequences, as it heard of them.
    fn by_order(&self) -> BTreeMap<String, Vec<i64>> {
        let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
        for (id, _) in self.heard() {
            let (order, sequence) = id.split_once('/').expect("an order and its sequence");
            let sequence = sequence.parse().expect("a number");
            all.entry(order.to_owned()).or_default().push(sequence);
        }
        all
    }
}

/// One connection: hears a request, and answers it if it is awake.
fn serve(stream: TcpStream, heard: &Mutex<Vec<(String, String)>>, awake: &AtomicBool) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    loop {
        let (mut id, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "webhook-id" => id = value.to_owned(),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        heard.lock().ok()?.push((id, String::from_utf8(body).ok()?));
        if !awake.load(Ordering::SeqCst) {
            thread::sleep(Duration::from_secs(600));
        }
        (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .ok()?;
    }
}

fn subscribe(stage: &Stage, url: &str) {
    let body = json!({ "url": url });
    let endpoints = format!("{}/v1/webhook-endpoints", stage.url());
    let registered = stage
        .clients
        .post(&endpoints, &stage.token("operator"), "subscribe", &body);
    assert_eq!(registered.status, 200, "{:?}", registered.body);
}

fn pay(stage: &Stage) {
    for number in 0..ORDERS {
        stage.write("payment.json", &payment(&format!("ord-{number}")));
        // The queue of payments is made by the process that has just started. The same event twice is one payment.
        eventually("the payment is sent", Duration::from_secs(30), || {
            (stage.run(&["send", "payment.json"]).code == 0).then_some(())
        });
    }
}

/// The sequences of what has moved, of each order, by its log.
fn moves(stage: &Stage, token: &str) -> BTreeMap<String, Vec<i64>> {
    let ask = |path: &str| {
        let answer = stage.clients.get(&format!("{}{path}", stage.url()), Some(token));
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        answer.body
    };
    let orders = ask("/v1/delivery-orders");
    let orders = orders["items"].as_array().expect("orders").iter();
    let of_order = |order: &Json| {
        let id = order["delivery_order_id"].as_str().expect("an id").to_owned();
        let log = ask(&format!("/v1/delivery-orders/{id}/log"));
        let moved = log
            .as_array()
            .expect("rows")
            .iter()
            .filter(|row| row["kind"] != "noted");
        let sequences = moved.map(|row| row["sequence"].as_i64().expect("a number")).collect();
        (id, sequences)
    };
    orders.map(of_order).collect()
}

/// Kills the process in the middle of telling, and proves that the subscriber hears of everything all the same.
fn kill_while_telling(mut stage: Stage) {
    let subscriber = Subscriber::asleep();
    stage.set("WAYBILL_WEBHOOK_NETWORKS", "127.0.0.0/8");
    stage.set("WAYBILL_WEBHOOK_TIMEOUT_SECONDS", "10");
    let victim = stage.start(&["all"]);
    subscribe(&stage, &subscriber.url);
    pay(&stage);
    eventually("everything is under way", Duration::from_secs(60), || {
        (subscriber.by_order().len() == ORDERS).then_some(())
    });

    stage.process(victim).kill();
    let under_way = subscriber.heard();
    subscriber.awake.store(true, Ordering::SeqCst);
    stage.start(&["all"]);

    let token = stage.token("operator");
    eventually("everything that was logged is told", Duration::from_secs(120), || {
        let logged = moves(&stage, &token);
        let told = subscriber.by_order();
        let whole = |(order, sequences): (&String, &Vec<i64>)| {
            let told = told.get(order);
            told.is_some_and(|told| sequences.iter().all(|sequence| told.contains(sequence)))
        };
        (logged.len() == ORDERS && logged.iter().all(whole)).then_some(())
    });
    let all = subscriber.heard();
    for (id, body) in under_way {
        let again: Vec<_> = all.iter().filter(|(other, _)| *other == id).collect();
        assert!(again.len() >= 2, "{id} was under way and is told again");
        assert!(again.iter().all(|(_, other)| *other == body), "{id} says the same");
        let body: Json = serde_json::from_str(&body).expect("JSON");
        assert_eq!(body["id"], id.as_str());
    }
    let unordered = subscriber.by_order().into_iter().filter(|(_, told)| !told.is_sorted());
    assert_eq!(unordered.collect::<Vec<_>>(), vec![], "in order per delivery order");
}

#[test]
fn a_process_killed_while_it_tells_tells_again_when_it_is_back() {
    kill_while_telling(Stage::embedded());
}

#[test]
fn what_a_killed_process_was_telling_is_told_after_its_lease() {
    kill_while_telling(Stage::real(&["--walk-delay", "200ms"]));
}
