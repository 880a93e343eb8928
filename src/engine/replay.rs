//! Callbacks that an operator wants applied again: a new attempt each time, linked to the original, which stays as it is.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::core::Core;
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::{Callback, CallbackState};
use crate::store::{Needs, Unit};

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
    /// Has a settled callback applied again as a new attempt: by the adapter and the graph of today, so that one that was
    /// not understood then may be now. An event that it reported before is not reported twice: the graph notes a duplicate.
    pub async fn replay_callback(&self, id: Uuid, by: &str) -> Result<Replayed, EngineError> {
        let Some(original) = self.core.store.callback(id).await? else {
            return Ok(Replayed::Unknown);
        };
        let attempt = Uuid::now_v7();
        let store = &self.core.store;
        let body = store.callback_body(&original);
        let body = body.map_err(|error| EngineError::Refused(error.to_string()))?;
        let command = Replay {
            core: self.core.clone(),
            original,
            attempt,
            body: store.seal_callback(attempt, &body),
            by: by.to_owned(),
        };
        Ok(self.committer.submit(command).await?)
    }
}

struct Replay {
    core: Arc<Core>,
    original: Callback,
    attempt: Uuid,
    body: Vec<u8>,
    by: String,
}

impl Command for Replay {
    type Answer = Replayed;

    fn needs(&self) -> Needs {
        Needs {
            callbacks: BTreeSet::from([self.original.callback_id]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Replayed {
        let Some(state) = unit.callbacks.get(&self.original.callback_id).map(|it| it.state) else {
            return Replayed::Unknown;
        };
        if !state.is_settled() {
            return Replayed::Waits(state);
        }
        let original = &self.original;
        let callback = Callback {
            callback_id: self.attempt,
            // Its own, because the partner's stands for what the partner sent.
            event_id: format!("replay:{}", self.attempt),
            received_at: unit.now,
            body: self.body.clone(),
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
            replayed_by: Some(self.by.clone()),
            ..original.clone()
        };
        self.core.take_callback(unit, callback);
        Replayed::As(self.attempt)
    }
}
