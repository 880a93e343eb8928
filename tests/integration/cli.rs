//! What an operator types, and what comes back: text, JSON, exit codes.

mod callbacks;
mod database;
mod dead;
mod doctor;
mod graph;
mod process;
mod rabbitmq;
mod send;
mod subscribers;
mod usage;

use serde_json::{Value as Json, json};

use crate::support::{Place, Ran};

impl Ran {
    /// It went as it should; answers what it said.
    fn good(self) -> String {
        assert_eq!((self.code, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// It went as it should, in JSON.
    fn json(self) -> Json {
        serde_json::from_str(&self.good()).expect("JSON")
    }

    /// It was refused with that code and one line; answers the line.
    fn refused(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "one line: {self:?}");
        let line = self.err.trim_end();
        line.strip_prefix("waybill: ")
            .unwrap_or_else(|| panic!("whose line is it? {line}"))
            .to_owned()
    }
}

/// One machine without other settings, on any free port.
fn embedded() -> Place {
    Place::new().set("WAYBILL_HTTP_ADDR", "127.0.0.1:0")
}

/// A payment event of that ordering.
fn payment(ordering: &str) -> Json {
    let address =
        json!({"name": "A. Reader", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"});
    json!({
        "event_id": format!("evt-{ordering}"), "type": "payment.succeeded", "occurred_at": "2026-11-20T11:00:00Z",
        "data": {
            "payment_id": format!("pay-{ordering}"), "ordering_id": ordering, "customer_id": "cus-1", "locale": "de",
            "amount": {"minor_units": 4599, "currency": "EUR"}, "pickup": address, "dropoff": address,
            "items": [{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}],
        },
    })
}

/// A payment event with a defect at `data.items[0].quantity`.
fn malformed(ordering: &str) -> Json {
    let mut payment = payment(ordering);
    payment["data"]["items"][0]["quantity"] = json!(0);
    payment
}

/// How everything is.
fn status(place: &Place) -> Json {
    place.run(&["status", "--json"]).json()
}
