//! The customer's confirmation: a link that cannot be guessed, and one answer that stands.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use waybill_domain::{Actor, Event, Fields, OrderId, Refusal, Role};

use super::core::Core;
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::Token;
use crate::store::{Needs, Unit};

/// What the token is for.
const PURPOSE: &str = "confirm_receipt";
/// After the automatic confirmation the link still takes a "no" for so long.
const AFTER_DEADLINE: TimeDelta = TimeDelta::days(30);

/// What a customer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// The books are here.
    Yes,
    /// They are not.
    No,
}

impl Received {
    /// As the form and the table write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
        }
    }
}

/// What the page shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationView {
    /// Which order.
    pub order_id: OrderId,
    /// The customer's language.
    pub locale: String,
    /// The answer that stands.
    pub answer: Option<Received>,
}

impl Engine {
    /// What a link leads to; nothing where the token is unknown or its time is over.
    pub async fn confirmation(&self, token: &str) -> Result<Option<ConfirmationView>, EngineError> {
        let store = &self.core.store;
        let Some(token) = store.token(&hash(token)).await? else {
            return Ok(None);
        };
        if token.expires_at <= store.now().await? {
            return Ok(None);
        }
        let order = store.order(token.order_id).await?;
        Ok(order.map(|order| view(&token, order.record.locale)))
    }

    /// Takes the customer's answer. The first one stands; a repetition shows it.
    pub async fn answer(&self, token: &str, received: Received) -> Result<Option<ConfirmationView>, EngineError> {
        let token_hash = hash(token);
        let Some(known) = self.core.store.token(&token_hash).await? else {
            return Ok(None);
        };
        let command = TakeAnswer {
            core: self.core.clone(),
            token_hash,
            order_id: known.order_id,
            received,
        };
        Ok(self.committer.submit(command).await?)
    }

    /// Makes the link that a notice carries: the same each time it is asked for.
    pub(super) async fn issue_token(
        &self,
        order_id: OrderId,
        sequence: i64,
    ) -> Result<(String, DateTime<Utc>), EngineError> {
        let secret = self.core.store.crypt().token(PURPOSE, &order_id.to_string(), sequence);
        let token = URL_SAFE_NO_PAD.encode(secret);
        let command = Issue {
            token_hash: hash(&token),
            order_id,
            sequence,
        };
        let expires_at = self.committer.submit(command).await?;
        Ok((token, expires_at))
    }
}

fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

fn view(token: &Token, locale: String) -> ConfirmationView {
    let answer = token
        .answer
        .as_deref()
        .map(|answer| if answer == "yes" { Received::Yes } else { Received::No });
    ConfirmationView {
        order_id: token.order_id,
        locale,
        answer,
    }
}

struct Issue {
    token_hash: Vec<u8>,
    order_id: OrderId,
    sequence: i64,
}

impl Command for Issue {
    type Answer = DateTime<Utc>;

    fn needs(&self) -> Needs {
        Needs {
            tokens: BTreeSet::from([self.token_hash.clone()]),
            orders: BTreeSet::from([self.order_id]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> DateTime<Utc> {
        if let Some(token) = unit.tokens.get(&self.token_hash) {
            return token.expires_at;
        }
        let deadline = unit
            .orders
            .get(&self.order_id)
            .and_then(|loaded| loaded.deadline.as_ref());
        let expires_at = deadline.map_or(unit.now, |deadline| deadline.due_at) + AFTER_DEADLINE;
        unit.writes.tokens.push(Token {
            token_hash: self.token_hash.clone(),
            order_id: self.order_id,
            sequence: self.sequence,
            purpose: PURPOSE.to_owned(),
            expires_at,
            answer: None,
            answered_at: None,
        });
        expires_at
    }
}

struct TakeAnswer {
    core: Arc<Core>,
    token_hash: Vec<u8>,
    order_id: OrderId,
    received: Received,
}

impl Command for TakeAnswer {
    type Answer = Option<ConfirmationView>;

    fn needs(&self) -> Needs {
        Needs {
            tokens: BTreeSet::from([self.token_hash.clone()]),
            orders: BTreeSet::from([self.order_id]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Option<ConfirmationView> {
        let now = unit.now;
        let token = unit
            .tokens
            .get_mut(&self.token_hash)
            .filter(|token| token.expires_at > now)?;
        let record = unit.orders.get(&self.order_id)?.record.clone()?;
        let locale = record.locale;
        if token.answer.is_some() {
            return Some(view(token, locale));
        }
        token.answer = Some(self.received.as_str().to_owned());
        token.answered_at = Some(now);
        let answered = view(token, locale);
        unit.writes.answered_tokens.insert(self.token_hash.clone());
        let event = Event {
            name: match self.received {
                Received::Yes => "CUSTOMER_CONFIRMED".into(),
                Received::No => "CUSTOMER_DISPUTED".into(),
            },
            // By link: after a rotation of the data key an order may have two, and both may be answered.
            key: format!("confirmation:{}", hex::encode(&self.token_hash[..8])),
            actor: Actor {
                role: Role::Customer,
                id: record.customer_id,
            },
            fields: Fields::new(),
            inferred: false,
            occurred_at: now,
        };
        match self.core.apply(unit, self.order_id, event.clone(), &Json::Null) {
            Ok(_) => {}
            // "Yes" to what the system or an operator has confirmed already, "no" to what an operator is looking into.
            Err(Refusal::Duplicate { .. } | Refusal::Stale { .. }) => {
                self.core.note(unit, self.order_id, event);
            }
            Err(_) => {
                let kind = match self.received {
                    Received::Yes => "confirmed-otherwise",
                    Received::No => "disputed-after-confirmation",
                };
                self.core.contradict(unit, self.order_id, event, kind);
            }
        }
        Some(answered)
    }
}
