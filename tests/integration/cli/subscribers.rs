//! `waybill subscribers`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value as Json;

use super::{embedded, payment, status};
use crate::support::{Place, eventually};

const URL: &str = "https://shop.example/hooks";

/// Takes events: the first is answered 500, the others 200.
struct Shop {
    url: String,
    heard: Arc<Mutex<Vec<Json>>>,
}

impl Shop {
    fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/hooks", listener.local_addr().expect("an address"));
        let heard = Arc::<Mutex<Vec<Json>>>::default();
        let hearing = heard.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serve(stream, &hearing);
            }
        });
        Self { url, heard }
    }

    /// The types of what it was told.
    fn heard(&self) -> Vec<String> {
        let heard = self.heard.lock().expect("nobody panics with it");
        heard
            .iter()
            .map(|event| event["type"].as_str().expect("a type").to_owned())
            .collect()
    }
}

/// One request of one connection.
fn serve(stream: TcpStream, heard: &Mutex<Vec<Json>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        if line.trim_end().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut heard = heard.lock().ok()?;
    heard.push(serde_json::from_slice(&body).ok()?);
    let (answer, text) = if heard.len() == 1 {
        ("500 Oops", "not today")
    } else {
        ("200 OK", "thanks")
    };
    let length = text.len();
    write!(
        &stream,
        "HTTP/1.1 {answer}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{text}"
    )
    .ok()
}

fn json(place: &Place, arguments: &[&str]) -> Json {
    place.run(&[&["subscribers"], arguments, &["--json"]].concat()).json()
}

fn say(place: &Place, arguments: &[&str]) -> String {
    place.run(&[&["subscribers"], arguments].concat()).good()
}

/// A line of `name value`.
fn value(text: &str, name: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} in {text}")).trim().to_owned()
}

#[test]
fn a_secret_is_shown_when_it_is_made_and_never_again() {
    let place = embedded();
    assert_eq!(say(&place, &["list"]), "nobody is subscribed\n");

    let added = say(
        &place,
        &[
            "add",
            URL,
            "--description",
            "the shop",
            "--event-type",
            "delivery.delivered.v1",
        ],
    );
    let (id, secret) = (value(&added, "endpoint"), value(&added, "secret"));
    let rotated = say(&place, &["rotate", &id, "--overlap", "7d"]);
    let later = value(&rotated, "secret");

    assert!(secret.starts_with("whsec_") && later.starts_with("whsec_") && secret != later);
    assert!(value(&added, "public key").starts_with("whpk_"));
    let (text, listed) = (say(&place, &["list"]), json(&place, &["list"]));
    for shown in [text.as_str(), &listed.to_string()] {
        assert!(
            !shown.contains(&secret) && !shown.contains(&later) && !shown.contains("whsec_"),
            "{shown}"
        );
    }
    assert!(
        text.contains(&id) && text.contains(URL) && text.contains("delivery.delivered.v1"),
        "{text}"
    );
    assert_eq!(listed[0]["description"], "the shop");
    let keys = listed[0]["keys"].as_array().expect("keys");
    let ending = keys.iter().filter(|key| key["expires_at"].is_string()).count();
    assert_eq!((keys.len(), ending), (4, 2), "old and new sign: {keys:?}");
    say(&place, &["rotate", &id, "--overlap", "0h"]);
    assert_eq!(json(&place, &["list"])[0]["keys"].as_array().expect("keys").len(), 2);
}

#[test]
fn an_endpoint_is_disabled_enabled_and_removed() {
    let place = embedded();
    let added = json(&place, &["add", URL, "--by", "ada"]);
    let id = added["endpoint"]["endpoint_id"].as_str().expect("an id");
    assert_eq!(added["endpoint"]["created_by"], "ada");

    assert_eq!(say(&place, &["disable", id]), format!("{id} is disabled\n"));
    for command in [&["test", id][..], &["recover", id, "--since", "1h"]] {
        let refused = place.run(&[&["subscribers"], command].concat()).refused(1);
        assert_eq!(
            refused,
            format!("endpoint {id} is disabled (waybill subscribers enable {id})")
        );
    }
    assert!(say(&place, &["list"]).contains("disabled: operator"));
    assert_eq!(say(&place, &["enable", id]), format!("{id} is active\n"));
    assert_eq!(say(&place, &["remove", id]), format!("removed {id}\n"));

    assert_eq!(say(&place, &["list"]), "nobody is subscribed\n");
    for command in ["disable", "enable", "remove", "test", "rotate", "deliveries"] {
        let refused = place.run(&["subscribers", command, id]).refused(1);
        assert_eq!(
            refused,
            format!("no endpoint {id} (waybill subscribers list)"),
            "{command}"
        );
    }
    for command in ["attempts", "resend"] {
        let refused = place.run(&["subscribers", command, id]).refused(1);
        assert!(refused.starts_with(&format!("no delivery {id}")), "{refused}");
    }
}

#[test]
fn what_could_never_be_told_is_refused_as_the_api_refuses_it() {
    let place = embedded();

    for (arguments, refusal) in [
        (&["http://shop.example/hooks"][..], "url must be"),
        (&["https://127.0.0.1/hooks"], "url must be"),
        (&["https://[::ffff:169.254.169.254]/"], "url must be"),
        (
            &[URL, "--event-type", "delivery.eaten.v1"],
            "event_types must be some of",
        ),
        (&[URL, "--machine", "moon"], "machine must be"),
        (&[URL, "--customer", ""], "customer_id must be"),
    ] {
        let refused = place.run(&[&["subscribers", "add"], arguments].concat()).refused(2);
        assert!(refused.starts_with(refusal), "{arguments:?}: {refused}");
    }
    let id = "0199a1b2-0000-7000-8000-000000000000";
    assert_eq!(place.run(&["subscribers", "rotate", id, "--overlap", "8d"]).code, 2);
    assert_eq!(say(&place, &["list"]), "nobody is subscribed\n");
}

#[test]
fn a_subscriber_is_tested_looked_at_told_again_and_told_what_it_missed() {
    let shop = Shop::open();
    let place = embedded().set("WAYBILL_WEBHOOK_NETWORKS", "127.0.0.0/8");
    let process = place.start(&["all"]);
    place.write("payment.json", &payment("ord-1").to_string());
    place.run(&["send", "payment.json"]).good();
    eventually("an order", || (status(&place)["orders"] == 1).then_some(()));
    let added = say(&place, &["add", &shop.url]);
    let id = value(&added, "endpoint");

    let test = say(&place, &["test", &id]).trim().to_owned();
    let history = eventually("it is tried", || {
        let history = json(&place, &["attempts", &test]);
        (history["history"].as_array().expect("attempts").len() == 1).then_some(history)
    });
    assert_eq!(
        (&history["history"][0]["status"], &history["history"][0]["response"]),
        (&500.into(), &"not today".into())
    );
    assert!(say(&place, &["attempts", &test]).contains("not today"));
    say(&place, &["resend", &test]);
    eventually("it is taken", || {
        let taken = json(&place, &["deliveries", &id, "--state", "delivered"]);
        (taken[0]["delivery_id"] == test.as_str()).then_some(())
    });
    let recovered = say(&place, &["recover", &id, "--since", "1h"]);

    assert!(
        recovered.ends_with(" events are told again\n") && !recovered.starts_with("0 "),
        "{recovered}"
    );
    let heard = eventually("it is told of the birth before it was there", || {
        Some(shop.heard()).filter(|heard| heard.iter().any(|event| event == "delivery.created.v1"))
    });
    assert_eq!(&heard[..2], ["waybill.test.v1", "waybill.test.v1"]);
    process.stop();
}
