//! What one piece of a file is: a payment event in one of its forms, an event about an order, or an instance of a machine and what
//! happened to it.

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use waybill_domain::{Actor, MachineName, OrderId};
use waybill_tasks::celery::message::{Message, Properties};
use waybill_tasks::celery::protocol::Signature;

use crate::payments;
use crate::template::Template;

/// The exchange of payment events, and where the in-process transport puts what is published there.
pub(super) const PAYMENTS_EXCHANGE: &str = "payments";
const PAYMENTS_QUEUE: &str = "waybill.payments";
const REPORT_TASK: &str = "waybill.report_event";
const CREATION_TASK: &str = "waybill.create_instance";
const INSTANCE_TASK: &str = "waybill.report_instance_event";

/// A message, and the queue that it is for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outgoing<'a> {
    pub(super) queue: &'a str,
    pub(super) message: Message,
}

/// Reads pieces.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) template: &'a Template,
    /// Our task queue.
    pub(super) queue: &'a str,
    /// Takes what is no good event, too.
    pub(super) unchecked: bool,
}

/// An event about an order, as the task takes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    #[serde(rename = "delivery_order_id")]
    _order: OrderId,
    event: String,
    #[serde(default, rename = "fields")]
    _fields: Map<String, Json>,
    key: String,
}

/// An instance of a machine, or an event about one, as their tasks take them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfMachine {
    #[serde(rename = "machine")]
    _machine: MachineName,
    #[serde(default, rename = "instance_id")]
    instance: Option<OrderId>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default, rename = "fields")]
    _fields: Map<String, Json>,
    #[serde(default, rename = "actor")]
    _actor: Option<Actor>,
    key: String,
}

impl<'a> Reader<'a> {
    /// The message that the piece is, or what is wrong with it.
    pub(super) fn read(&self, text: &str) -> Result<Outgoing<'a>, String> {
        let value: Json = serde_json::from_str(text).unwrap_or_default();
        let has = |name: &str| value.get(name).is_some();
        let is_of_order = has("delivery_order_id") && has("event");
        let task = match () {
            () if is_of_order => REPORT_TASK,
            () if has("machine") && has("instance_id") => INSTANCE_TASK,
            () if has("machine") => CREATION_TASK,
            () => return self.payment(text, &value),
        };
        match self.unchecked {
            true => {}
            false if is_of_order => self.check_report(&value)?,
            false => check_of_machine(&value)?,
        }
        Ok(Outgoing {
            queue: self.queue,
            message: Signature::new(task).kwargs(value).queue(self.queue).into_message(),
        })
    }

    fn payment(&self, text: &str, value: &Json) -> Result<Outgoing<'a>, String> {
        let kind = value.get("type").and_then(Json::as_str).unwrap_or_default();
        let refunded = kind == "payment.refunded" || kind.ends_with(".payment.refunded");
        let is_cloud_event = value.get("specversion").is_some();
        let content_type = if is_cloud_event {
            "application/cloudevents+json"
        } else {
            "application/json"
        };
        let message = Message {
            exchange: PAYMENTS_EXCHANGE.to_owned(),
            routing_key: if refunded {
                "payment.refunded"
            } else {
                "payment.succeeded"
            }
            .to_owned(),
            properties: Properties {
                content_type: Some(content_type.to_owned()),
                content_encoding: Some("utf-8".to_owned()),
                delivery_mode: Some(2),
                ..Properties::default()
            },
            body: text.as_bytes().to_vec(),
            ..Message::default()
        };
        match payments::read(&message) {
            Err(malformed) if !self.unchecked => Err(malformed.to_string()),
            _ => Ok(Outgoing {
                queue: PAYMENTS_QUEUE,
                message,
            }),
        }
    }

    fn check_report(&self, value: &Json) -> Result<(), String> {
        let report: Report = read_as(value)?;
        check_key(&report.key)?;
        let mut states = self.template.graphs().flat_map(|graph| graph.states());
        if states.any(|state| state.edges.keys().any(|event| *event == report.event.as_str())) {
            return Ok(());
        }
        Err(format!(
            "event: no graph has {:?} (`waybill graph show` lists all)",
            report.event
        ))
    }
}

/// What is known of another machine is in a database or in another template: names of its events are not looked up here.
fn check_of_machine(value: &Json) -> Result<(), String> {
    let told: OfMachine = read_as(value)?;
    check_key(&told.key)?;
    match (told.instance, told.event) {
        (Some(_), None) => Err("event: missing, an instance_id is about one".to_owned()),
        (None, Some(_)) => Err("instance_id: missing, an event is about one".to_owned()),
        _ => Ok(()),
    }
}

fn check_key(key: &str) -> Result<(), String> {
    match key.len() {
        1..=255 => Ok(()),
        _ => Err("key: expected 1 to 255 characters, the same for the same event".to_owned()),
    }
}

fn read_as<T: serde::de::DeserializeOwned>(value: &Json) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: &Json, unchecked: bool) -> Result<Outgoing<'static>, String> {
        Reader {
            template: Template::shipped(),
            queue: "waybill",
            unchecked,
        }
        .read(&value.to_string())
    }

    fn refund(kind: &str) -> Json {
        json!({"event_id": "e", "type": kind, "occurred_at": "2026-11-20T11:00:00Z",
            "data": {"payment_id": "p", "ordering_id": "o", "amount": {"minor_units": 1, "currency": "EUR"}}})
    }

    fn report() -> Json {
        json!({"delivery_order_id": OrderId(uuid::Uuid::nil()), "event": "CANCELLED", "fields": {}, "key": "k"})
    }

    #[test]
    fn payment_events_go_to_their_exchange_by_their_type() {
        let mut cloud_event = json!({"specversion": "1.0", "id": "1", "source": "/pay", "time": "2026-11-20T11:00:00Z",
            "type": "com.example.payment.refunded", "datacontenttype": "application/json"});
        cloud_event["data"] = refund("")["data"].take();

        let plain = read(&refund("payment.refunded"), false).unwrap();
        let cloud_event = read(&cloud_event, false).unwrap();

        assert_eq!(
            (plain.message.exchange.as_str(), plain.queue),
            ("payments", "waybill.payments")
        );
        assert_eq!(plain.message.routing_key, "payment.refunded");
        assert_eq!(
            plain.message.properties.content_type.as_deref(),
            Some("application/json")
        );
        assert_eq!(cloud_event.message.routing_key, "payment.refunded");
        assert_eq!(
            cloud_event.message.properties.content_type.as_deref(),
            Some("application/cloudevents+json")
        );
    }

    #[test]
    fn an_event_about_an_order_becomes_a_task_on_our_queue() {
        let outgoing = read(&report(), false).unwrap();

        assert_eq!((outgoing.message.exchange.as_str(), outgoing.queue), ("", "waybill"));
        assert_eq!(outgoing.message.headers["task"].as_text(), Some("waybill.report_event"));
    }

    #[test]
    fn an_instance_and_what_happens_to_it_become_tasks_on_our_queue() {
        let created = json!({"machine": "food-order", "key": "basket-1", "fields": {"distance_metres": 3}});
        let mut told = json!({"machine": "food-order", "key": "k", "event": "FOOD_READY", "actor": {"role": "customer", "id": "c"}});
        told["instance_id"] = json!(OrderId(uuid::Uuid::nil()));

        let tasks = [&created, &told].map(|value| {
            let outgoing = read(value, false).unwrap();
            (
                outgoing.queue,
                outgoing.message.headers["task"].as_text().map(str::to_owned),
            )
        });

        let expected = ["waybill.create_instance", "waybill.report_instance_event"];
        assert_eq!(tasks, expected.map(|task| ("waybill", Some(task.to_owned()))));
        for name in ["event", "instance_id"] {
            let mut half = told.clone();
            half.as_object_mut().unwrap().remove(name);
            assert!(read(&half, false).unwrap_err().starts_with(&format!("{name}: missing")));
        }
    }

    #[test]
    fn a_defect_is_told_with_its_place_and_goes_only_unchecked() {
        let with = |key: &str, value: Json| {
            let mut report = report();
            report[key] = value;
            report
        };
        for (value, place) in [
            (refund("payment.lost"), "at type"),
            (json!({"type": "payment.succeeded"}), "at event_id"),
            (json!([]), "expected an object"),
            (with("event", json!("CANCELED")), "event: no graph has"),
            (with("key", json!("")), "key: expected"),
            (with("fields", json!([])), "fields: "),
            (with("delivery_order_id", json!("x")), "delivery_order_id: "),
            (with("extra", json!(1)), "unknown field `extra`"),
        ] {
            let defect = read(&value, false).unwrap_err();

            assert!(defect.contains(place), "{defect}");
            assert!(read(&value, true).is_ok());
        }
    }
}
