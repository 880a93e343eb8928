//! The `data` of a payment event, the same in every form.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value as Json, json};

use super::field::{Code, Object, Whole};
use super::{Malformed, iso};
use crate::engine::payment::{Addresses, Amount, Paid, Refunded};

/// The most lines of an ordering.
const MAX_ITEMS: usize = 1_000;
/// The language of notices where none is told.
const DEFAULT_LOCALE: &str = "en";

const MINOR_UNITS: Whole = Whole {
    least: 0,
    most: i64::MAX,
    reason: "bad-amount",
};
const QUANTITY: Whole = Whole {
    least: 1,
    most: 10_000,
    reason: "bad-quantity",
};
const CURRENCY: Code = Code {
    contains: iso::is_currency,
    reason: "bad-currency",
    expected: "an ISO 4217 currency",
};
const COUNTRY: Code = Code {
    contains: iso::is_country,
    reason: "bad-country",
    expected: "an ISO 3166-1 alpha-2 country",
};
const FORMAT: Code = Code {
    contains: |it| matches!(it, PHYSICAL | "ebook"),
    reason: "bad-format",
    expected: "physical or ebook",
};
const PHYSICAL: &str = "physical";

/// A payment that still has no key.
pub(super) struct Payment<'a> {
    payment_id: &'a str,
    ordering_id: &'a str,
    customer_id: &'a str,
    locale: &'a str,
    amount: Amount,
    addresses: Option<Addresses>,
    items: Vec<Json>,
}

/// Reads the data of `payment.succeeded`.
pub(super) fn paid<'a>(data: &Object<'a>) -> Result<Payment<'a>, Malformed> {
    let (payment_id, ordering_id) = (data.id("payment_id")?, data.id("ordering_id")?);
    let customer_id = data.id("customer_id")?;
    let locale = locale(data)?;
    let amount = amount(data)?;
    let items = items(data)?;
    let addresses = if items.iter().any(is_physical) {
        Some(Addresses {
            pickup: address(&data.object("pickup")?)?,
            dropoff: address(&data.object("dropoff")?)?,
        })
    } else {
        None
    };
    Ok(Payment {
        payment_id,
        ordering_id,
        customer_id,
        locale,
        amount,
        addresses,
        items,
    })
}

impl Payment<'_> {
    /// The payment as it was told by this event. Its `data` holds what was understood and nothing else, so that it is the
    /// same whatever the form.
    pub(super) fn told(self, key: String, occurred_at: DateTime<Utc>) -> Paid {
        let mut data = json!({
            "payment_id": self.payment_id,
            "ordering_id": self.ordering_id,
            "customer_id": self.customer_id,
            "locale": self.locale,
            "amount": amount_json(&self.amount),
            "items": self.items,
        });
        if let Some(addresses) = &self.addresses {
            data["pickup"] = addresses.pickup.clone();
            data["dropoff"] = addresses.dropoff.clone();
        }
        Paid {
            key,
            occurred_at,
            payment_id: self.payment_id.to_owned(),
            ordering_id: self.ordering_id.to_owned(),
            customer_id: self.customer_id.to_owned(),
            locale: self.locale.to_owned(),
            amount: self.amount,
            addresses: self.addresses,
            physical_items: self.items.into_iter().filter(is_physical).collect(),
            data,
        }
    }
}

/// A refund that still has no key.
pub(super) struct Refund<'a> {
    payment_id: &'a str,
    ordering_id: &'a str,
    amount: Amount,
}

/// Reads the data of `payment.refunded`.
pub(super) fn refunded<'a>(data: &Object<'a>) -> Result<Refund<'a>, Malformed> {
    let (payment_id, ordering_id) = (data.id("payment_id")?, data.id("ordering_id")?);
    Ok(Refund {
        payment_id,
        ordering_id,
        amount: amount(data)?,
    })
}

impl Refund<'_> {
    /// The refund as it was told by this event.
    pub(super) fn told(self, key: String, occurred_at: DateTime<Utc>) -> Refunded {
        let amount = amount_json(&self.amount);
        Refunded {
            key,
            occurred_at,
            payment_id: self.payment_id.to_owned(),
            ordering_id: self.ordering_id.to_owned(),
            amount: self.amount,
            data: json!({ "payment_id": self.payment_id, "ordering_id": self.ordering_id, "amount": amount }),
        }
    }
}

fn amount(data: &Object<'_>) -> Result<Amount, Malformed> {
    let amount = data.object("amount")?;
    let minor_units = amount.whole("minor_units", &MINOR_UNITS)?;
    Ok(Amount {
        minor_units,
        currency: amount.coded("currency", &CURRENCY)?.to_owned(),
    })
}

fn amount_json(amount: &Amount) -> Json {
    json!({ "minor_units": amount.minor_units, "currency": amount.currency })
}

/// A language tag such as `de` or `pt-BR`; it chooses the words of notices, so it is one word.
fn locale<'a>(data: &Object<'a>) -> Result<&'a str, Malformed> {
    let locale = data.optional_text("locale")?.unwrap_or(DEFAULT_LOCALE);
    if locale.len() <= 35
        && locale
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    {
        return Ok(locale);
    }
    Err(Malformed::new(
        "bad-locale",
        data.place("locale"),
        "a language tag",
        "other text",
    ))
}

fn items(data: &Object<'_>) -> Result<Vec<Json>, Malformed> {
    let items = data.list("items")?;
    let place = data.place("items");
    if items.is_empty() {
        return Err(Malformed::new("no-items", place, "at least one item", "an empty list"));
    }
    if items.len() > MAX_ITEMS {
        return Err(Malformed::new(
            "too-many-items",
            place,
            "at most 1000 items",
            &items.len().to_string(),
        ));
    }
    items
        .iter()
        .enumerate()
        .map(|(index, item)| read_item(&Object::of(item, &format!("{place}[{index}]"))?))
        .collect()
}

fn read_item(item: &Object<'_>) -> Result<Json, Malformed> {
    let mut read = Map::new();
    read.insert("sku".to_owned(), item.text("sku")?.into());
    if let Some(title) = item.optional_text("title")? {
        read.insert("title".to_owned(), title.into());
    }
    read.insert("quantity".to_owned(), item.whole("quantity", &QUANTITY)?.into());
    read.insert("format".to_owned(), item.coded("format", &FORMAT)?.into());
    Ok(Json::Object(read))
}

fn is_physical(item: &Json) -> bool {
    item["format"] == PHYSICAL
}

fn address(address: &Object<'_>) -> Result<Json, Malformed> {
    let mut read = Map::new();
    for name in ["name", "line1", "postal_code", "city"] {
        read.insert(name.to_owned(), address.text(name)?.into());
    }
    read.insert("country".to_owned(), address.coded("country", &COUNTRY)?.into());
    for name in ["line2", "region", "phone", "email"] {
        if let Some(text) = address.optional_text(name)? {
            read.insert(name.to_owned(), text.into());
        }
    }
    Ok(Json::Object(read))
}
