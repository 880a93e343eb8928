//! Ids for what has none yet.

use uuid::Uuid;

use crate::celery::protocol::Request;

/// The namespace of ids that are derived from a task and a place.
const NAMESPACE: Uuid = Uuid::from_u128(0x6361_6e76_6173_4c00_8000_666f_6c6c_6f77);

/// Where the ids of one application of signatures come from.
///
/// A worker derives them from the task whose end it deals with: the same message dealt with twice sends the same ids.
#[derive(Debug, Clone)]
pub(super) struct Ids {
    seed: Option<String>,
    given: u32,
}

impl Ids {
    /// New ones, for a client.
    pub(super) fn random() -> Self {
        Self { seed: None, given: 0 }
    }

    /// Those of a request's follow-ups at a place, such as `link`.
    ///
    /// A task that was replaced has the id of the one that replaces it, but sends other things; and one that is tried again may
    /// mean what it sends anew.
    pub(super) fn following(request: &Request, place: &str) -> Self {
        let (id, nesting, retries) = (&request.id, request.replaced_task_nesting, request.retries);
        Self::of(&format!("{id}/{nesting}/{retries}/{place}"))
    }

    /// Those of something with a name of its own.
    pub(super) fn of(seed: &str) -> Self {
        Self {
            seed: Some(seed.to_owned()),
            given: 0,
        }
    }

    pub(super) fn next(&mut self) -> String {
        self.given += 1;
        match &self.seed {
            Some(seed) => Uuid::new_v5(&NAMESPACE, format!("{seed}/{}", self.given).as_bytes()).to_string(),
            None => Uuid::new_v4().to_string(),
        }
    }
}
