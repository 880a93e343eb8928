//! The same commands on RabbitMQ.

use std::process::Command;

use serde_json::{Value as Json, json};
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{Routing, Transport as _};

use super::{malformed, payment, status};
use crate::support::{Place, eventually};

/// A virtual host of its own.
struct VirtualHost {
    name: String,
}

impl VirtualHost {
    fn new() -> Self {
        let name = format!("waybill-test-{}", uuid::Uuid::new_v4());
        control(&["add_vhost", &name]);
        control(&["set_permissions", "-p", &name, "guest", ".*", ".*", ".*"]);
        Self { name }
    }

    fn url(&self) -> String {
        let url = std::env::var("WAYBILL_TEST_AMQP_URL")
            .expect("WAYBILL_TEST_AMQP_URL: run `make test`, which starts the services");
        let (server, _) = url.rsplit_once('/').expect("a virtual host");
        format!("{server}/{}", self.name)
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        control(&["delete_vhost", &self.name]);
    }
}

fn control(arguments: &[&str]) {
    let program = std::env::var("WAYBILL_TEST_RABBITMQCTL")
        .expect("WAYBILL_TEST_RABBITMQCTL: run `make test`, which starts the services");
    let ran = Command::new(program)
        .args(arguments)
        .output()
        .expect("rabbitmqctl runs");
    assert!(
        ran.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

/// A worker's settings: a SQLite file, RabbitMQ, and a partner that is away.
fn place(host: &VirtualHost) -> Place {
    let place = Place::new()
        .set("WAYBILL_BROKER_URL", host.url())
        .set("WAYBILL_PARTNERS", "partners.yaml");
    let secret = "{id: a, value: whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=}";
    place.write(
        "partners.yaml",
        &format!("partners: {{far: {{adapter: standard, base_url: 'http://127.0.0.1:9', secrets: [{secret}]}}}}\ndefault: far\n"),
    );
    place
}

#[test]
fn events_are_sent_set_aside_and_sent_again_over_rabbitmq() {
    let host = VirtualHost::new();
    let place = place(&host);
    place.write("payment.json", &payment("ord-1").to_string());
    place.write("bad.json", &malformed("ord-2").to_string());

    let early = place.run(&["send", "payment.json"]).refused(69);
    let before = verdicts(&place);
    let worker = place.start(&["work"]);
    eventually("the queues are made", || {
        (verdicts(&place).1["queue waybill.payments"] == "ok").then_some(())
    });
    place.run(&["send", "payment.json"]).good();
    place.run(&["send", "--unchecked", "bad.json"]).good();
    eventually("an order and a message set aside", || {
        let status = status(&place);
        (status["orders"] == 1 && status["dead_messages"] == 1).then_some(())
    });
    let replayed = place
        .run(&["dead", "replay", "--filter", "source=amqp", "--yes"])
        .good();
    eventually("it is set aside again", || {
        (status(&place)["dead_messages"] == 1).then_some(())
    });
    let all = place.run(&["dead", "list", "--all", "--json"]).json();
    worker.stop();

    assert!(
        early.contains("no queue takes messages") && early.contains("`waybill work` makes the queue"),
        "{early}"
    );
    assert_eq!(
        (before.0, &before.1["broker"], &before.1["queue waybill"]),
        (69, &json!("ok"), &json!("fail"))
    );
    assert_eq!(replayed, "sent 1 of 1 again\n");
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    for name in ["source", "queue", "reason", "place", "size"] {
        assert_eq!(all[0][name], all[1][name], "{all}");
    }
}

/// The doctor's exit code, and its verdicts by name.
fn verdicts(place: &Place) -> (i32, Json) {
    let ran = place.run(&["doctor", "--json"]);
    let found: Json = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"));
    let checks = found["checks"].as_array().expect("a list").iter();
    let verdicts = checks.map(|check| {
        (
            check["name"].as_str().expect("text").to_owned(),
            check["verdict"].clone(),
        )
    });
    (ran.code, Json::Object(verdicts.collect()))
}

#[test]
fn two_workers_of_one_name_say_so_and_one_is_shut_down_from_outside() {
    let host = VirtualHost::new();
    let (one, other) = (place(&host), place(&host));
    let first = one.start(&["work", "-n", "twin@here", "-c", "3", "--max-tasks-per-child", "9"]);
    first.wait_for("remote control answers as twin@here");
    first.wait_for("[tasks]\n  . waybill.apply_partner_callback\n");

    let second = other.start(&["work", "-n", "twin@here", "-E"]);
    second.wait_for("a node named twin@here is already using this process mailbox");
    command(
        &host,
        &json!({"method": "shutdown", "arguments": {}, "destination": ["twin@here"]}),
    );

    let log = first.log();
    assert_eq!(first.end(), 0, "{log}");
    second.wait_for("remote control answers as twin@here");
    for line in [
        "  node        twin@here",
        "  queues      waybill, waybill.payments",
        "  concurrency 3 tasks at once",
        "  results     rpc://",
        "  task events OFF (enable -E",
        "--max-tasks-per-child and --max-memory-per-child mean nothing here",
    ] {
        assert!(log.contains(line), "{line:?} in {log}");
    }
    assert!(second.log().contains("  task events ON"), "{}", second.log());
    second.stop();
}

/// Broadcasts a command as Celery's clients do.
fn command(host: &VirtualHost, body: &Json) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = AmqpOptions::new(host.url().into(), "test");
        let transport = AmqpTransport::connect(options).expect("a URL");
        let message = Message {
            exchange: "celery.pidbox".to_owned(),
            body: body.to_string().into_bytes(),
            ..Message::default()
        };
        let sent = transport.publish(message, Routing::Mandatory).await;
        sent.expect("somebody listens");
        transport.close().await;
    });
}

#[test]
fn a_beat_sends_the_schedule_of_its_file() {
    let host = VirtualHost::new();
    let place = place(&host);
    let entry = "{task: waybill.reconcile_partner, every: 1, kwargs: {}}";
    place.write("beat.yaml", &format!("name: story\nentries:\n  look: {entry}\n"));
    place.write("bad.yaml", "entries: {look: {task: t, crontab: '61 * * * *'}}");

    let checked = place.run(&["beat", "--schedule", "beat.yaml", "--check"]).good();
    let ours = place.run(&["beat", "--check"]).good();
    let bad = place.run(&["beat", "--schedule", "bad.yaml"]).refused(2);
    let beat = place.start(&["beat", "--schedule", "beat.yaml"]);
    beat.wait_for("beat cannot send look yet: no queue takes messages");
    let worker = place.start(&["work"]);
    beat.wait_for("beat sent look of ");

    assert!(
        checked.ends_with("look  waybill.reconcile_partner to waybill\n"),
        "{checked}"
    );
    assert!(ours.contains("celery.backend_cleanup to waybill"), "{ours}");
    assert!(bad.contains("bad.yaml: entries.look.crontab: minute: "), "{bad}");
    beat.stop();
    worker.stop();
}
