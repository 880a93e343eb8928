//! Addresses of ours, in the pieces that partners want.

use serde_json::Value;

use super::error::PartnerError;

/// `name, line1, line2, postal_code, city, region, country, phone, email`.
pub(super) struct Address<'a>(pub(super) &'a Value);

impl<'a> Address<'a> {
    /// One part; empty where there is none.
    pub(super) fn part(&self, name: &str) -> &'a str {
        self.0.get(name).and_then(Value::as_str).unwrap_or_default().trim()
    }

    /// As it stands on an envelope, in one line.
    pub(super) fn line(&self) -> String {
        let town = format!("{} {}", self.part("postal_code"), self.part("city"));
        join([
            self.part("line1"),
            self.part("line2"),
            town.trim(),
            self.part("region"),
            self.part("country"),
        ])
    }

    /// A phone number, for a partner that takes nothing without.
    pub(super) fn phone(&self) -> Result<&'a str, PartnerError> {
        match self.part("phone") {
            "" => Err(PartnerError::Rejected {
                code: "phone_missing".to_owned(),
                text: "this partner calls who hands over and who receives, and a phone number is missing".to_owned(),
            }),
            phone => Ok(phone),
        }
    }
}

fn join<const N: usize>(parts: [&str; N]) -> String {
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

/// Title and quantity of each line of what is carried.
pub(super) fn lines(items: &Value) -> impl Iterator<Item = (&str, u64)> {
    items.as_array().into_iter().flatten().map(|line| {
        let title = line.get("title").and_then(Value::as_str);
        let quantity = line.get("quantity").and_then(Value::as_u64);
        (title.unwrap_or("Parcel"), quantity.unwrap_or(1))
    })
}
