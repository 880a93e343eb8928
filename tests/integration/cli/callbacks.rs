//! `waybill callbacks`: listed, looked at and applied again, while a process runs and after it was killed.

use serde_json::{Value as Json, json};
use waybill_webhooks::signing::SigningKey;

use super::embedded;
use crate::stage::clients::Clients;
use crate::support::{Place, Running, eventually};

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
/// Its door's PIN, in a payload that nobody understands.
const ODD: &str = r#"{"type": "delivery.teleported", "data": {"reference": "ord-1", "pincode": {"value": "4711"}}}"#;

fn with_partner() -> (Place, Running) {
    let place = embedded().set("WAYBILL_PARTNERS", "partners.yaml");
    place.write("partners.yaml", &partners(&[("k1", SECRET)]));
    let process = place.start(&["all"]);
    (place, process)
}

fn partners(keys: &[(&str, &str)]) -> String {
    let secrets: Vec<Json> = keys
        .iter()
        .map(|(id, value)| json!({"id": id, "value": value}))
        .collect();
    let swift = json!({"adapter": "standard", "base_url": "http://127.0.0.1:9", "secrets": secrets});
    json!({"partners": {"swift": swift}, "default": "swift"}).to_string()
}

/// A callback signed with that secret; answers the status.
fn send(process: &Running, id: &str, secret: &str, body: &str) -> u16 {
    let at = chrono::Utc::now().timestamp();
    let signature = SigningKey::parse(&secret.into())
        .expect("a secret")
        .sign(id, at, body.as_bytes());
    let headers = [
        ("webhook-id", id),
        ("webhook-timestamp", &at.to_string()),
        ("webhook-signature", &signature),
        ("content-type", "application/json"),
    ];
    let url = format!("{}/webhooks/swift", process.url());
    let told = Clients::new(None).post_text(&url, &headers, body.to_owned());
    told.expect("it is answered").status
}

fn list(place: &Place, arguments: &[&str]) -> Vec<Json> {
    let listed = place
        .run(&[&["callbacks", "list", "--json"], arguments].concat())
        .json();
    listed.as_array().expect("a list").clone()
}

fn settled(place: &Place, disposition: &str, count: usize) -> Vec<Json> {
    eventually(&format!("{count} {disposition}"), || {
        let listed = list(place, &["--disposition", disposition]);
        (listed.len() == count).then_some(listed)
    })
}

#[test]
fn callbacks_are_listed_by_what_they_were_counted_and_applied_again() {
    let (place, process) = with_partner();
    assert_eq!(send(&process, "odd-1", SECRET, ODD), 200);
    assert_eq!(send(&process, "odd-2", SECRET, ODD), 200);
    assert_eq!(send(&process, "odd-1", SECRET, ODD), 200);
    let forged = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    assert_eq!(send(&process, "forged", forged, ODD), 401);

    let odd = settled(&place, "unmapped", 2);
    let rejected = settled(&place, "rejected", 1);
    let counted = place
        .run(&["callbacks", "replay", "--disposition", "unmapped", "--dry-run"])
        .good();
    let unasked = place.run(&["callbacks", "replay", "--disposition", "unmapped"]);
    let none = list(&place, &["--disposition", "accepted"]);
    let replayed = place
        .run(&["callbacks", "replay", "--partner", "swift", "--yes"])
        .good();

    assert_eq!(
        (&odd[1]["event_id"], &odd[1]["repeats"], &odd[1]["key_id"]),
        (&json!("odd-1"), &json!(1), &json!("k1"))
    );
    assert_eq!(
        (&rejected[0]["event_id"], &rejected[0]["detail"]),
        (&json!("forged"), &json!("wrong_signature"))
    );
    assert_eq!(rejected[0]["address"], "127.0.0.1");
    assert_eq!(counted, "     2  of swift, unmapped\n");
    assert_eq!(
        (unasked.code, unasked.err.contains("say --yes")),
        (2, true),
        "{}",
        unasked.err
    );
    assert_eq!(none.len(), 0, "counting applies nothing");
    assert!(replayed.ends_with("2 of 2 are applied again\n"), "{replayed}");
    let all = settled(&place, "unmapped", 4);
    let originals: Vec<&Json> = odd.iter().map(|row| &row["callback_id"]).collect();
    for attempt in &all[..2] {
        assert!(originals.contains(&&attempt["replay_of"]), "{attempt}");
        assert_eq!(attempt["replayed_by"], "waybill callbacks");
    }
    let text = place.run(&["callbacks", "list"]).good();
    assert!(
        text.contains("unmapped, replay") && text.contains("unmapped, 1x again"),
        "{text}"
    );
    process.stop();
}

#[test]
fn a_pin_is_in_no_log_and_on_no_screen_unless_it_is_asked_for() {
    let (place, process) = with_partner();
    assert_eq!(send(&process, "odd-1", SECRET, ODD), 200);
    let id = settled(&place, "unmapped", 1)[0]["callback_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // The same id with another content is set aside.
    assert_eq!(
        send(&process, "odd-1", SECRET, &ODD.replace("teleported", "beamed")),
        200
    );
    let aside = place.run(&["dead", "list", "--json"]).json()[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();

    let screens = [
        place.run(&["callbacks", "list"]).good(),
        place.run(&["callbacks", "show", &id]).good(),
        place.run(&["callbacks", "show", &id, "--json"]).good(),
        place.run(&["dead", "list"]).good(),
        place.run(&["dead", "show", &aside]).good(),
        place.run(&["dead", "show", &aside, "--json"]).good(),
        place.run(&["status"]).good(),
        process.log(),
    ];
    let whole = place.run(&["callbacks", "show", &id, "--whole", "--json"]).json();

    for screen in &screens {
        assert!(!screen.contains("4711"), "{screen}");
    }
    assert!(
        screens[1].contains("delivery.teleported"),
        "what happened is shown: {}",
        screens[1]
    );
    assert!(!screens[1].contains("v1,"), "no signature is: {}", screens[1]);
    assert_eq!(whole["body"], ODD);
    process.stop();
}

#[test]
fn nothing_is_applied_again_by_mistake() {
    let place = embedded();
    let unknown = "0199a1b2-0000-7000-8000-000000000000";

    assert_eq!(place.run(&["callbacks", "replay"]).code, 2);
    assert_eq!(
        place
            .run(&["callbacks", "replay", "--disposition", "rejected", "--yes"])
            .code,
        2
    );
    assert_eq!(
        place
            .run(&["callbacks", "replay", "--disposition", "strange", "--yes"])
            .code,
        2
    );
    assert_eq!(
        place
            .run(&["callbacks", "replay", "--partner", "x", "--dry-run", "--yes"])
            .code,
        2
    );
    assert_eq!(
        place.run(&["callbacks", "replay", "--partner", "x", "--yes"]).good(),
        "no callback fits\n"
    );
    for command in ["show", "replay"] {
        let refused = place.run(&["callbacks", command, unknown]).refused(1);
        assert!(
            refused.starts_with(&format!("there is no callback {unknown}")),
            "{refused}"
        );
    }
}

#[test]
fn a_secret_is_replaced_while_we_run_and_the_old_one_is_believed_until_it_is_taken_out() {
    let (place, process) = with_partner();
    let new = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
    assert_eq!(send(&process, "before", new, ODD), 401, "nobody knows it yet");

    place.write("partners.yaml", &partners(&[("k2", new), ("k1", SECRET)]));
    process.signal("HUP");
    process.wait_for("\"k2\", \"k1\"");
    assert_eq!(send(&process, "with-new", new, ODD), 200);
    assert_eq!(send(&process, "with-old", SECRET, ODD), 200);
    // What cannot be read changes nothing.
    place.write("partners.yaml", "partners: {swift: {adapter");
    process.signal("HUP");
    process.wait_for("the partners' keys stay as they are");
    assert_eq!(send(&process, "meanwhile", SECRET, ODD), 200);
    place.write("partners.yaml", &partners(&[("k2", new)]));
    process.signal("HUP");
    process.wait_for("[\"k2\"]");

    assert_eq!(send(&process, "too-late", SECRET, ODD), 401);
    assert_eq!(send(&process, "after", new, ODD), 200);
    let known: Vec<(Json, Json)> = settled(&place, "unmapped", 4)
        .into_iter()
        .map(|row| (row["event_id"].clone(), row["key_id"].clone()))
        .collect();
    let expected = [
        ("after", "k2"),
        ("meanwhile", "k1"),
        ("with-old", "k1"),
        ("with-new", "k2"),
    ];
    assert_eq!(known, expected.map(|(event, key)| (json!(event), json!(key))));
    process.stop();
}

#[test]
fn another_content_under_a_known_id_is_applied_when_an_operator_wants_it() {
    let (place, process) = with_partner();
    let other = r#"{"type": "delivery.vanished", "data": {"reference": "ord-1"}}"#;
    assert_eq!(send(&process, "odd-1", SECRET, ODD), 200);
    let first = settled(&place, "unmapped", 1);
    assert_eq!(send(&process, "odd-1", SECRET, other), 200);
    let aside = place.run(&["dead", "list", "--source", "webhook", "--json"]).json();
    let id = aside[0]["id"].as_str().expect("an id").to_owned();

    let replayed = place.run(&["dead", "replay", &id, "--yes"]).good();
    let again = place.run(&["dead", "replay", &id, "--yes"]);

    assert!(replayed.ends_with("sent 1 of 1 again\n"), "{replayed}");
    assert_eq!(
        (again.code, again.err.contains("it was sent again at")),
        (1, true),
        "{}",
        again.err
    );
    let both = settled(&place, "unmapped", 2);
    assert_eq!(
        (&both[0]["replay_of"], &both[0]["replayed_by"], &both[0]["key_id"]),
        (&first[0]["callback_id"], &json!("waybill dead"), &json!("k1"))
    );
    let shown = place
        .run(&["callbacks", "show", both[0]["callback_id"].as_str().expect("an id")])
        .good();
    assert!(shown.contains("delivery.vanished"), "{shown}");
    process.stop();
}
