//! How one partner wants to be called: what is asked of it as requests, and what its answers mean. One file of
//! `adapters/` each; everything about waiting, breaking and repeating is the client's.

use std::fmt;

use reqwest::Method;
use serde_json::Value;
use waybill_domain::OrderId;

use super::client::Cancelled;
use super::contract::{BookingRequest, Complaint};
use super::error::PartnerError;
use super::strategy::Quote;
use super::wire::Answer;

/// A partner's language, outbound.
pub(crate) trait Dialect: fmt::Debug + Send + Sync {
    /// How it is known that a booking is not made twice.
    fn rebooking(&self) -> Rebooking;

    /// The request for what a delivery would cost; none where the partner has no such thing, or does not publish it.
    fn quote(&self, _booking: &BookingRequest) -> Result<Option<Call>, PartnerError> {
        Ok(None)
    }

    /// What the answer to that request means.
    fn quoted(&self, answer: &Answer) -> Result<Quote, PartnerError> {
        Err(self.refusal(answer))
    }

    /// The first request of a booking. Refuses at once what this partner could not take.
    fn book(&self, booking: &BookingRequest) -> Result<Call, PartnerError>;

    /// What the answer to that request means.
    fn booked(&self, booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError>;

    /// The request that finds a delivery by our reference; none where the partner has no such thing.
    fn find(&self, _reference: OrderId) -> Option<Call> {
        None
    }

    /// What the answer to that request means.
    fn found(&self, _reference: OrderId, answer: &Answer) -> Result<Option<Delivery>, PartnerError> {
        Err(self.refusal(answer))
    }

    /// The request that shows how a delivery stands.
    fn view(&self, booking_id: &str) -> Call;

    /// What the answer to that request means.
    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError>;

    /// The request that calls a delivery off.
    fn cancel(&self, booking_id: &str) -> Call;

    /// What the answer to that request means.
    fn cancelled(&self, answer: &Answer) -> Result<Cancelled, PartnerError>;

    /// What an answer means that says no: by the status as most mean it. A partner with words of its own reads them.
    fn refusal(&self, answer: &Answer) -> PartnerError {
        Complaint::read(&answer.body).refusal(answer)
    }
}

/// How it is known, after an answer got lost, that a booking is not made twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rebooking {
    /// The partner takes a key of ours: the same request again books once.
    ByKey,
    /// The partner finds a delivery by our reference, and has one at most under it: it is asked before anything is sent again.
    ByLookup,
    /// The partner finds a delivery by our reference, but the same request again would book again: it is asked, and nothing is
    /// sent again. What it does not find may still be carried out.
    ByLookupOnly,
    /// Neither: only a person can find out, and nothing is ever sent again blindly.
    Never,
}

impl Rebooking {
    /// Whether the partner is asked what it has under our reference.
    pub fn looks_up(self) -> bool {
        matches!(self, Self::ByLookup | Self::ByLookupOnly)
    }

    /// Whether a booking may be sent again though the one before may have been carried out.
    pub fn sends_again(self) -> bool {
        matches!(self, Self::ByKey | Self::ByLookup)
    }
}

/// What follows an answer to a booking.
#[derive(Debug)]
pub(crate) enum Next {
    /// It is booked.
    Booked(Delivery),
    /// Nothing was bound yet: this is asked next.
    Then(Call),
}

/// One request in a partner's terms.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Segments below the base URL; each is escaped.
    pub(crate) path: Vec<String>,
    pub(crate) query: Vec<(&'static str, String)>,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Option<Value>,
    /// Whether it may be sent again though the partner may have acted on it.
    pub(crate) repeatable: bool,
    /// Whether something is booked by it. A question that got lost is no booking that got lost.
    pub(crate) binding: bool,
}

impl Call {
    pub(crate) fn new<'a>(method: Method, path: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            repeatable: method == Method::GET || method == Method::DELETE,
            method,
            path: path.into_iter().map(str::to_owned).collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: None,
            binding: true,
        }
    }

    pub(crate) fn get<'a>(path: impl IntoIterator<Item = &'a str>) -> Self {
        Self::new(Method::GET, path)
    }

    pub(crate) fn post<'a>(path: impl IntoIterator<Item = &'a str>, body: Value) -> Self {
        Self {
            body: Some(body),
            ..Self::new(Method::POST, path)
        }
    }

    pub(crate) fn asking(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(crate) fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// It asks, and books nothing.
    pub(crate) fn harmless(self) -> Self {
        Self {
            repeatable: true,
            binding: false,
            ..self
        }
    }

    /// The partner takes the repetition for the same request.
    pub(crate) fn repeatable(self) -> Self {
        Self {
            repeatable: true,
            ..self
        }
    }
}

/// A delivery as its partner shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) reason: Option<String>,
    pub(crate) number: Option<String>,
    pub(crate) tracking_url: Option<String>,
}

/// A body that is JSON, asked by path.
pub(crate) struct Reading(Value);

impl Reading {
    /// Reads a body, or says why it cannot be read without repeating it.
    pub(crate) fn of(answer: &Answer) -> Result<Self, PartnerError> {
        serde_json::from_slice(&answer.body).map(Self).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            PartnerError::Ambiguous(format!("the answer cannot be read at line {line} column {column}"))
        })
    }

    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        path.split('.')
            .try_fold(&self.0, |value, key| match key.parse::<usize>() {
                Ok(index) if value.is_array() => value.get(index),
                _ => value.get(key),
            })
    }

    /// A whole number.
    pub(crate) fn whole(&self, path: &str) -> Option<i64> {
        self.at(path)?.as_i64()
    }

    /// A text or a number that is there and not empty.
    pub(crate) fn text(&self, path: &str) -> Option<String> {
        match self.at(path)? {
            Value::String(text) if !text.is_empty() => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// The id of a delivery: it becomes a path segment of a later request and a column of ours.
    pub(crate) fn id(&self, path: &str) -> Result<String, PartnerError> {
        let id = self.text(path).filter(|id| is_usable(id));
        id.ok_or_else(|| PartnerError::Ambiguous("the id cannot be used".to_owned()))
    }
}

/// Whether something can be a path segment of a later request and a column of ours.
pub(crate) fn is_usable(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && id.len() <= 255 && !id.chars().any(char::is_control)
}

/// A partner's word, if it is a word as codes are: it goes into messages and logs.
pub(crate) fn as_word(code: &str) -> Option<String> {
    let is_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-' | '.');
    let fits = (1..=64).contains(&code.len()) && code.chars().all(is_word);
    fits.then(|| code.to_owned())
}
