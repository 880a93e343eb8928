//! The languages that the simulated partner speaks, one file each: written from what the partners publish and from nothing
//! of ours, so that an adapter that is wrong finds nobody who is wrong with it.

mod easypost;
mod onfleet;
mod standard;
mod uber;

use std::fmt;

use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::plan::Fate;
use super::secret::CallbackSecret;

/// Which partner is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Speaks {
    /// Our own contract.
    Standard,
    /// EasyPost: labels that are bought and tracked; no key, looked up by reference.
    Easypost,
    /// Onfleet: tasks of own drivers; neither key nor look-up, callbacks without id.
    Onfleet,
    /// Uber Direct: tokens, keys, 409 with the earlier delivery.
    Uber,
}

impl Speaks {
    /// Its language; none if its secrets do not look like that.
    pub(super) fn with(self, secret: &CallbackSecret) -> Option<Box<dyn Dialect>> {
        Some(match self {
            Self::Standard => Box::new(standard::Standard::new(secret)?),
            Self::Easypost => Box::new(easypost::EasyPost::new(secret)),
            Self::Onfleet => Box::new(onfleet::Onfleet::new(secret)?),
            Self::Uber => Box::new(uber::Uber::new(secret)),
        })
    }
}

/// A partner's language, from its own side.
pub(super) trait Dialect: fmt::Debug + Send + Sync {
    /// What a request asks for; an answer where it asks for nothing that concerns a delivery.
    fn read(&self, request: &Request<'_>) -> Result<Asked, Answer>;

    /// How that is said.
    fn say(&self, outcome: Outcome<'_>) -> Answer;

    /// What is told when a delivery has come so far: nothing, or several things one after the other.
    fn news(&self, leg: Leg, delivery: &Delivery) -> Vec<News>;

    /// The headers that prove a callback.
    fn sign(&self, id: &str, at: DateTime<Utc>, body: &str) -> Vec<(&'static str, String)>;

    /// A delivery's id, drawn by its fate.
    fn delivery_id(&self, fate: &Fate<'_>) -> String;

    /// Why deliveries fail at the shop.
    fn reasons_at_pick_up(&self) -> &'static [Reason];

    /// Why they fail on their way or at the door.
    fn reasons_at_delivery(&self) -> &'static [Reason];
}

/// A request as it came.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: &'a Method,
    /// The segments of the path.
    pub(super) path: Vec<&'a str>,
    pub(super) query: &'a [(String, String)],
    pub(super) headers: &'a HeaderMap,
    /// The body, if it is JSON; else null.
    pub(super) body: &'a Value,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// A delivery. Without a key, each such request is another booking.
    Book {
        reference: String,
        key: Option<String>,
        callback_url: Option<String>,
    },
    /// Whether there is one of that reference.
    Find { reference: String },
    /// How the one of that id stands.
    View { id: String },
    /// That it is called off.
    Cancel { id: String, key: Option<String> },
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Outcome<'a> {
    /// It is booked, by this request or by an earlier one of the same key.
    Booked(&'a Delivery),
    /// It was booked so long ago that the key is forgotten.
    Taken(&'a Delivery),
    /// It is not carried.
    Rejected,
    /// By reference.
    Found(Option<&'a Delivery>),
    /// By id.
    Viewed(&'a Delivery),
    /// It is called off, now or before.
    Cancelled(&'a Delivery),
    /// It cannot be called off any more.
    TooLate(&'a Delivery),
    /// There is no such delivery.
    Unknown,
    /// The partner is out of order, with that status.
    Broken(u16),
}

/// Status and body.
pub(super) type Answer = (u16, Value);

/// A delivery as its partner knows it.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) reference: String,
    pub(super) id: String,
    /// The partner's number of it, where that is another than the id.
    pub(super) number: String,
    /// `booked`, `picked_up`, `delivered`, `failed` or `cancelled`.
    pub(super) state: &'static str,
    /// Why it failed.
    pub(super) reason: Option<Reason>,
}

/// Why a delivery failed, in its partner's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason {
    /// The status that it leads to.
    pub(super) status: &'static str,
    /// The word for it.
    pub(super) word: &'static str,
}

/// How far a delivery has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leg {
    Booked,
    PickedUp,
    Delivered,
    Failed(Reason),
    /// As it was asked to.
    Cancelled,
}

/// One thing to tell.
#[derive(Debug)]
pub(super) struct News {
    /// The partner's word for it; of one delivery each is told once.
    pub(super) kind: &'static str,
    /// Writes the body; it is given the event's id and time.
    pub(super) body: Value,
    /// Where in the body the event's id stands, if the partner puts it there.
    pub(super) id_at: Option<&'static str>,
}

impl Request<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The user of `Authorization: Basic`.
    fn basic_user(&self) -> Option<String> {
        let encoded = self.header("authorization")?.strip_prefix("Basic ")?;
        let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
        let (user, _) = decoded.split_once(':')?;
        (!user.is_empty()).then(|| user.to_owned())
    }

    /// A text in the body, by path.
    fn text(&self, path: &str) -> Option<&str> {
        let found = path.split('.').try_fold(self.body, |value, key| value.get(key))?;
        found.as_str().filter(|text| !text.is_empty())
    }
}

/// `code` and `message`, as many have them.
fn complain(status: u16, code: &str) -> Answer {
    (status, json!({"code": code, "message": code.replace('_', " ")}))
}

#[cfg(test)]
mod tests;
