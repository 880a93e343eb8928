//! What the demo's customers buy.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value as Json, json};

/// An ordering that is paid for.
#[derive(Debug, Clone)]
pub(super) struct Basket {
    pub(super) kind: Kind,
    /// Its payment is told twice.
    pub(super) twice: bool,
    pub(super) event: Json,
}

/// What is in a basket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Physical,
    EBook,
    Mixed,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Physical => "physical",
            Self::EBook => "e-book",
            Self::Mixed => "mixed",
        }
    }
}

impl Basket {
    /// The baskets of this seed.
    pub(super) fn fill(count: u32, seed: u64) -> Vec<Self> {
        let mut random = StdRng::seed_from_u64(seed);
        (1..=count).map(|number| Self::new(number, &mut random)).collect()
    }

    fn new(number: u32, random: &mut StdRng) -> Self {
        let kind = match random.random_range(0..100) {
            0..70 => Kind::Physical,
            70..85 => Kind::EBook,
            _ => Kind::Mixed,
        };
        let twice = random.random_bool(0.05);
        let book = json!({ "sku": "b-1", "title": "A printed book", "quantity": random.random_range(1..4), "format": "physical" });
        let ebook = json!({ "sku": "e-1", "title": "An e-book", "quantity": 1, "format": "ebook" });
        let items = match kind {
            Kind::Physical => json!([book]),
            Kind::EBook => json!([ebook]),
            Kind::Mixed => json!([book, ebook]),
        };
        let locale = ["de", "en", "fr", "es"][number as usize % 4];
        let event = json!({
            "event_id": format!("evt-{number}"),
            "type": "payment.succeeded",
            "occurred_at": chrono::Utc::now(),
            "data": {
                "payment_id": format!("pay-{number}"),
                "ordering_id": format!("ord-{number}"),
                "customer_id": format!("cus-{}", number % 40),
                "locale": locale,
                "amount": { "minor_units": 1999, "currency": "EUR" },
                "pickup": { "name": "Bookstore Mitte", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE" },
                "dropoff": {
                    "name": format!("Reader {number}"), "line1": format!("Kastanienallee {number}"), "postal_code": "10435",
                    "city": "Berlin", "country": "DE", "phone": "+4930000000", "email": "reader@example.org",
                },
                "items": items,
            },
        });
        Self { kind, twice, event }
    }
}
