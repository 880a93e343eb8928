//! Who takes an order: the rules of the partners file, and who comes after whom.

use serde_json::Value;

use super::settings::{Invalid, PartnersSettings, Rule};
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
        }
        Ok(Self(settings.routing.clone()))
    }

    /// The names of those who may take it, in their order; none where no rule fits.
    pub(super) fn of(&self, order: &OrderRecord) -> &[String] {
        let fitting = self.0.iter().find(|rule| rule.fits(&order.dropoff, &order.items));
        fitting.map_or(&[], |rule| &rule.partners)
    }

    /// Who is asked after this one.
    pub(super) fn after(&self, order: &OrderRecord, partner: &str) -> Option<&str> {
        let mut names = self.of(order).iter().skip_while(|name| *name != partner);
        names.nth(1).map(String::as_str)
    }
}

impl Rule {
    fn fits(&self, dropoff: &Value, items: &Value) -> bool {
        let part = |name: &str| dropoff.get(name).and_then(Value::as_str).unwrap_or_default();
        let country = self.countries.is_empty() || self.countries.iter().any(|known| known == part("country"));
        let starts = |prefix: &String| part("postal_code").starts_with(prefix.as_str());
        let place = self.postal_codes.is_empty() || self.postal_codes.iter().any(starts);
        let pieces = super::address::lines(items).map(|(_, quantity)| quantity).sum::<u64>();
        country && place && self.pieces_at_most.is_none_or(|most| pieces <= most)
    }
}
