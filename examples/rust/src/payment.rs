//! The payment of one ordering, as Waybill's interface describes it.

use serde_json::{Value, json};

/// One printed book for one customer; every id follows from the ordering's.
pub(crate) fn of(ordering_id: &str) -> Value {
    json!({
        "payment_id": format!("pay-{ordering_id}"),
        "ordering_id": ordering_id,
        "customer_id": format!("cus-{ordering_id}"),
        "locale": "en",
        "amount": {"minor_units": 2499, "currency": "EUR"},
        "pickup": {
            "name": "Bookstore Mitte", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"
        },
        "dropoff": {
            "name": "R. Reader", "line1": "Kastanienallee 7", "postal_code": "10435", "city": "Berlin", "country": "DE",
            "email": "reader@example.org"
        },
        "items": [{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}]
    })
}
