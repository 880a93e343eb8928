//! Callbacks that an operator wants applied again: a new attempt each time, linked to the original, which stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::core::Core;
use super::message::unpack;
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::{Callback, CallbackState, Dead};
use crate::store::{CallbackFilter, Heard, Needs, Unit};

/// What became of the wish to have a callback applied again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replayed {
    /// The new attempt has this id.
    As(Uuid),
    /// It is under way or waits for its turn, and needs no help.
    Waits(CallbackState),
    /// There is no such callback.
    Unknown,
}

impl Engine {
    /// The callbacks that fit and that partners sent: attempts are tried again by their originals.
    pub async fn replayable(&self, filter: CallbackFilter) -> Result<Vec<Heard>, EngineError> {
        let filter = CallbackFilter {
            replays: Some(false),
            ..filter
        };
        Ok(self.core.store.heard(&filter).await?)
    }

    /// Has a settled callback applied again as a new attempt: by the adapter and the graph of today, so that one that was
    /// not understood then may be now. An event that it reported before is not reported twice: the graph notes a duplicate.
    pub async fn replay_callback(&self, id: Uuid, by: &str) -> Result<Replayed, EngineError> {
        let Some(original) = self.core.store.callback(id).await? else {
            return Ok(Replayed::Unknown);
        };
        let body = self.core.store.callback_body(&original).map_err(refused)?;
        let attempt = self.attempt_at(&original, by, &body);
        self.submit(original, attempt, None).await
    }

    /// Applies what was set aside because its id had been used for another content, as a new attempt at the callback that
    /// has the id. What is set aside counts as replayed with it.
    pub async fn replay_conflict(&self, dead: &Dead, by: &str) -> Result<Replayed, EngineError> {
        let message = unpack(&self.core.store, "quarantine", dead.id, &dead.message).map_err(refused)?;
        let filter = CallbackFilter {
            partner: Some(dead.queue.clone()),
            event_id: message.properties.message_id.clone(),
            limit: 1,
            ..CallbackFilter::default()
        };
        let Some(known) = self.replayable(filter).await?.pop() else {
            return Ok(Replayed::Unknown);
        };
        let Some(original) = self.core.store.callback(known.callback_id).await? else {
            return Ok(Replayed::Unknown);
        };
        let body = message.bytes();
        let headers: Vec<_> = message
            .headers
            .iter()
            .map(|(name, value)| (name, value.as_text()))
            .collect();
        let attempt = Callback {
            key_id: message.properties.app_id.unwrap_or_else(|| original.key_id.clone()),
            signed_at: None,
            headers: json!(headers),
            sha256: Sha256::digest(&body).to_vec(),
            ..self.attempt_at(&original, by, &body)
        };
        self.submit(original, attempt, Some(dead.id)).await
    }

    /// Another attempt at a callback, with what it said.
    fn attempt_at(&self, original: &Callback, by: &str, body: &[u8]) -> Callback {
        let attempt = Uuid::now_v7();
        Callback {
            callback_id: attempt,
            // Its own, because the partner's stands for what the partner sent.
            event_id: format!("replay:{attempt}"),
            body: self.core.store.seal_callback(attempt, body),
            state: CallbackState::Received,
            detail: None,
            order_id: None,
            parked_until: None,
            settled_at: None,
            parked_at: None,
            repeats: 0,
            repeated_at: None,
            // An attempt at an attempt is one more at the original.
            replay_of: Some(original.replay_of.unwrap_or(original.callback_id)),
            replayed_by: Some(by.to_owned()),
            ..original.clone()
        }
    }

    async fn submit(&self, original: Callback, attempt: Callback, dead: Option<Uuid>) -> Result<Replayed, EngineError> {
        let command = Replay {
            core: self.core.clone(),
            original: original.callback_id,
            attempt,
            dead,
        };
        Ok(self.committer.submit(command).await?)
    }
}

/// How many of these are what, by partner and disposition.
pub fn tally(chosen: &[Heard]) -> BTreeMap<(&str, &'static str), usize> {
    let mut counts = BTreeMap::new();
    for heard in chosen {
        *counts
            .entry((heard.partner.as_str(), heard.disposition.as_str()))
            .or_default() += 1;
    }
    counts
}

fn refused(error: impl std::fmt::Display) -> EngineError {
    EngineError::Refused(error.to_string())
}

struct Replay {
    core: Arc<Core>,
    original: Uuid,
    attempt: Callback,
    /// What was set aside, and is applied now.
    dead: Option<Uuid>,
}

impl Command for Replay {
    type Answer = Replayed;

    fn needs(&self) -> Needs {
        Needs {
            callbacks: BTreeSet::from([self.original]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Replayed {
        let Some(state) = unit.callbacks.get(&self.original).map(|it| it.state) else {
            return Replayed::Unknown;
        };
        // Another content under the same id is another thing to tell: it does not wait for the first.
        if self.dead.is_none() && !state.is_settled() {
            return Replayed::Waits(state);
        }
        unit.writes.replayed.extend(self.dead);
        self.core.take_callback(unit, self.attempt.clone());
        Replayed::As(self.attempt.callback_id)
    }
}
