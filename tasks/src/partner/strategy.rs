//! Which of several partners that may take an order is asked first.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

/// What a partner takes for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// In the smallest unit of the currency.
    pub minor_units: i64,
    /// ISO 4217, in capitals.
    pub currency: String,
    /// How long until it is at the door, where that is said.
    pub takes: Option<Duration>,
}

/// A partner that may take an order, in the order in which the rule names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer<'a> {
    pub(super) partner: &'a str,
    /// None where it offers none, or could not be asked.
    pub(super) quote: Option<Quote>,
}

/// How one of several is chosen.
pub(super) trait Strategy: fmt::Debug + Sync {
    /// Whether quotes are looked at: if not, nobody is asked for one.
    fn wants_quotes(&self) -> bool {
        true
    }

    /// The one of these that is asked first; none where nothing was offered that can be compared.
    fn choose<'a>(&self, offers: &'a [Offer<'a>]) -> Option<&'a Offer<'a>>;
}

/// The one that the rule names first.
#[derive(Debug)]
struct FirstFit;

/// The one that takes least, of those in the currency of the first quote: others cannot be compared.
#[derive(Debug)]
struct CheapestQuote;

/// The one that is at the door first.
#[derive(Debug)]
struct FastestQuote;

impl Strategy for FirstFit {
    fn wants_quotes(&self) -> bool {
        false
    }

    fn choose<'a>(&self, offers: &'a [Offer<'a>]) -> Option<&'a Offer<'a>> {
        offers.first()
    }
}

impl Strategy for CheapestQuote {
    fn choose<'a>(&self, offers: &'a [Offer<'a>]) -> Option<&'a Offer<'a>> {
        let quoted = || offers.iter().filter_map(|offer| Some((offer, offer.quote.as_ref()?)));
        let (_, first) = quoted().next()?;
        let comparable = quoted().filter(|(_, quote)| quote.currency == first.currency);
        let least = comparable.min_by_key(|(_, quote)| (quote.minor_units, quote.takes.unwrap_or(Duration::MAX)));
        least.map(|(offer, _)| offer)
    }
}

impl Strategy for FastestQuote {
    fn choose<'a>(&self, offers: &'a [Offer<'a>]) -> Option<&'a Offer<'a>> {
        let timed = offers
            .iter()
            .filter_map(|offer| Some((offer, offer.quote.as_ref()?.takes?)));
        timed.min_by_key(|(_, takes)| *takes).map(|(offer, _)| offer)
    }
}

/// `strategy` of a rule. Where quotes do not decide, the order of the names does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StrategyName {
    /// In the order in which the rule names them.
    #[default]
    FirstFit,
    /// Whoever takes least.
    CheapestQuote,
    /// Whoever is at the door first.
    FastestQuote,
}

impl StrategyName {
    pub(super) fn strategy(self) -> &'static dyn Strategy {
        match self {
            Self::FirstFit => &FirstFit,
            Self::CheapestQuote => &CheapestQuote,
            Self::FastestQuote => &FastestQuote,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer<'a>(partner: &'a str, quote: Option<(i64, &'a str, Option<u64>)>) -> Offer<'a> {
        let quote = quote.map(|(minor_units, currency, minutes)| Quote {
            minor_units,
            currency: currency.to_owned(),
            takes: minutes.map(|minutes| Duration::from_secs(minutes * 60)),
        });
        Offer { partner, quote }
    }

    fn chosen<'a>(name: StrategyName, offers: &'a [Offer<'a>]) -> Option<&'a str> {
        name.strategy().choose(offers).map(|offer| offer.partner)
    }

    #[test]
    fn each_strategy_chooses_by_what_it_is_called() {
        let offers = [
            offer("silent", None),
            offer("dear", Some((900, "EUR", Some(20)))),
            offer("slow", Some((400, "EUR", Some(90)))),
            offer("vague", Some((500, "EUR", None))),
        ];

        assert_eq!(chosen(StrategyName::FirstFit, &offers), Some("silent"));
        assert_eq!(chosen(StrategyName::CheapestQuote, &offers), Some("slow"));
        assert_eq!(chosen(StrategyName::FastestQuote, &offers), Some("dear"));
    }

    #[test]
    fn prices_in_different_currencies_are_not_compared() {
        let offers = [
            offer("euros", Some((900, "EUR", None))),
            offer("yen", Some((5, "JPY", None))),
        ];

        assert_eq!(chosen(StrategyName::CheapestQuote, &offers), Some("euros"));
    }

    #[test]
    fn of_equal_prices_the_faster_and_of_equal_both_the_first_is_chosen() {
        let offers = [
            offer("slow", Some((400, "EUR", Some(90)))),
            offer("fast", Some((400, "EUR", Some(30)))),
            offer("too", Some((400, "EUR", Some(30)))),
        ];

        assert_eq!(chosen(StrategyName::CheapestQuote, &offers), Some("fast"));
    }

    #[test]
    fn where_nothing_is_offered_no_quote_decides() {
        let offers = [offer("a", None), offer("b", Some((400, "EUR", None)))];

        assert_eq!(chosen(StrategyName::CheapestQuote, &offers[..1]), None);
        assert_eq!(chosen(StrategyName::FastestQuote, &offers), None);
    }
}
