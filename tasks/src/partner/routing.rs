//! Who takes an order: the rules of the partners file, and what partners take where nobody can ask them.

use super::settings::{Invalid, PartnersSettings, Price, Rule};
use super::strategy::Quote;
use crate::orders::OrderRecord;

/// The rules, every name of which is a partner's.
#[derive(Debug)]
pub(super) struct Routing(Vec<Rule>);

impl Routing {
    pub(super) fn new(settings: &PartnersSettings) -> Result<Self, Invalid> {
        for (index, rule) in settings.routing.iter().enumerate() {
            let known = |name: &String| settings.partners.contains_key(name);
            if rule.partners.is_empty() || !rule.partners.iter().all(known) {
                let field = format!("routing[{index}].partners");
                return Err(Invalid::new(field, "names of partners, at least one"));
            }
            if let Some(class) = &rule.price_class {
                check_currency(&class.currency, || format!("routing[{index}].price_class.currency"))?;
            }
        }
        for (name, partner) in &settings.partners {
            for (index, price) in partner.prices.iter().enumerate() {
                check_currency(&price.currency, || format!("partners.{name}.prices[{index}].currency"))?;
            }
        }
        Ok(Self(settings.routing.clone()))
    }

    /// The first rule that fits.
    pub(super) fn of(&self, order: &OrderRecord) -> Option<&Rule> {
        self.0.iter().find(|rule| rule.fits(order))
    }
}

impl Rule {
    fn fits(&self, order: &OrderRecord) -> bool {
        let starts = |prefix: &String| part(order, "postal_code").starts_with(prefix.as_str());
        let place = self.postal_codes.is_empty() || self.postal_codes.iter().any(starts);
        let worth = self.price_class.as_ref().is_none_or(|class| {
            let amount = order.amount.as_ref().filter(|amount| amount.currency == class.currency);
            amount.is_some_and(|amount| {
                let below = class.below.is_none_or(|below| amount.minor_units < below);
                below && amount.minor_units >= class.at_least
            })
        });
        fits_country(&self.countries, order) && place && fits_pieces(self.pieces_at_most, order) && worth
    }
}

impl Price {
    /// The first line of a price list that fits.
    pub(super) fn find(list: &[Self], order: &OrderRecord) -> Option<Quote> {
        let fits = |price: &&Self| fits_country(&price.countries, order) && fits_pieces(price.pieces_at_most, order);
        list.iter().find(fits).map(|price| Quote {
            minor_units: price.minor_units,
            currency: price.currency.clone(),
            takes: price.takes,
        })
    }
}

/// Another spelling would never match, and nobody would notice.
fn check_currency(currency: &str, field: impl FnOnce() -> String) -> Result<(), Invalid> {
    if currency.len() == 3 && currency.bytes().all(|letter| letter.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(Invalid::new(field(), "a currency of ISO 4217 in capitals, such as EUR"))
}

/// A part of the address where it goes; empty where there is none.
fn part<'a>(order: &'a OrderRecord, name: &str) -> &'a str {
    order
        .dropoff
        .get(name)
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default()
}

fn fits_country(countries: &[String], order: &OrderRecord) -> bool {
    countries.is_empty() || countries.iter().any(|known| known == part(order, "country"))
}

fn fits_pieces(at_most: Option<u64>, order: &OrderRecord) -> bool {
    let pieces = super::address::lines(&order.items)
        .map(|(_, quantity)| quantity)
        .sum::<u64>();
    at_most.is_none_or(|most| pieces <= most)
}
