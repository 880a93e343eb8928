//! Chords: a part has ended, and with the last of them the body starts.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use tracing::{error, warn};

use super::ids::Ids;
use super::message::Lineage;
use super::plan::With;
use super::{Canvas, CanvasError, Sig};
use crate::celery::protocol::Request;
use crate::celery::results::{
    ChordClaim, ChordCounter, ChordPart, ChordProgress, ChordRun, Exception, ResultBackend, ResultError, ResultTree,
    TaskResult,
};

/// How often it is looked whether another worker has published a body, and for how long.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS: u32 = 40;
/// How long a join waits for results that were announced, as `result_chord_join_timeout`.
const JOIN_EVERY: Duration = Duration::from_millis(100);
const JOIN_LOOKS: u32 = 30;

/// Why the results of a header cannot be joined.
pub(super) struct Unjoined {
    /// What Python says of it.
    pub(super) text: String,
    /// The exception of the part that failed.
    pub(super) cause: Box<Exception>,
    /// The part, if one has failed.
    pub(super) part: Option<String>,
}

impl Canvas {
    /// A task's result is stored: if it is part of a chord, it counts. Only errors that pass come back; the message must come again
    /// then.
    pub async fn stored(&self, request: &Request, result: &TaskResult) -> Result<(), CanvasError> {
        let (Some(group_id), true) = (&request.group, result.state.is_ready()) else {
            return Ok(());
        };
        let part = ChordPart {
            group_id: group_id.clone(),
            group_index: request.group_index,
            task_id: request.id.clone(),
            state: result.state.clone(),
            result: result.result.clone(),
        };
        logged(
            self.part_ended(part, request.embed.chord.clone(), Lineage::of(request))
                .await,
            &request.id,
        )
    }

    /// Counts a part where the backend counts; elsewhere `celery.chord_unlock` looks for it.
    pub(super) fn part_ended(
        &self,
        part: ChordPart,
        body: Value,
        lineage: Lineage,
    ) -> BoxFuture<'_, Result<(), CanvasError>> {
        Box::pin(async move {
            let counter = self.backend.as_deref().and_then(ResultBackend::chords);
            let (Some(counter), false) = (counter, body.is_null()) else {
                return Ok(());
            };
            let failed = match self.count(counter, &part, &body, &lineage).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failed)) => failed,
                Err(error) if error.is_passing() => return Err(error),
                Err(error) => unread(&error),
            };
            self.fail_chord(&Sig::read(&body)?, &failed, &part.group_id, lineage)
                .await?;
            left(&part.group_id, counter.abandon(&part.group_id).await);
            Ok(())
        })
    }

    /// Starts the body if the part was the last one.
    async fn count(
        &self,
        counter: &dyn ChordCounter,
        part: &ChordPart,
        body: &Value,
        lineage: &Lineage,
    ) -> Result<Result<(), Unjoined>, CanvasError> {
        for _ in 0..LOOKS {
            match counter.part(part).await? {
                ChordProgress::Waiting | ChordProgress::Done => return Ok(Ok(())),
                ChordProgress::Claimed => tokio::time::sleep(LOOK_EVERY).await,
                ChordProgress::Complete(claim, parts) => {
                    return self.complete(counter, &claim, parts, body, lineage).await;
                }
            }
        }
        Err(CanvasError::Claimed(part.group_id.clone()))
    }

    async fn complete(
        &self,
        counter: &dyn ChordCounter,
        claim: &ChordClaim,
        parts: Vec<ChordPart>,
        body: &Value,
        lineage: &Lineage,
    ) -> Result<Result<(), Unjoined>, CanvasError> {
        let group_id = &claim.group_id;
        let joined = match self.load_group(group_id).await? {
            Some(shape) => self.join_when_there(&shape).await?.map_err(|failed| Unjoined {
                text: format!("Join error: {}", failed.cause.repr()),
                ..failed
            }),
            None => values(parts),
        };
        let values = match joined {
            Ok(values) => values,
            Err(failed) => return Ok(Err(failed)),
        };
        if !counter.keep(claim).await? {
            warn!(group.id = %group_id, "the body of chord {group_id} is published by another worker");
            return Ok(Ok(()));
        }
        match self
            .start_body(&Sig::read(body)?, values, group_id, lineage.clone())
            .await
        {
            Ok(()) => left(group_id, counter.finish(claim).await),
            Err(error) if error.is_passing() => return Err(error),
            Err(error) => return Ok(Err(uncalled(&error))),
        }
        Ok(Ok(()))
    }

    async fn load_group(&self, group_id: &str) -> Result<Option<ResultTree>, CanvasError> {
        match &self.backend {
            Some(backend) => Ok(backend.load_group(group_id).await?),
            None => Ok(None),
        }
    }

    /// Publishes the body with the header's results. Its ids do not depend on which part was the last.
    pub(super) async fn start_body(
        &self,
        body: &Sig,
        values: Value,
        group_id: &str,
        lineage: Lineage,
    ) -> Result<(), CanvasError> {
        let mut planner = self.planner(lineage, Ids::of(&format!("chord/{group_id}")), ChordRun::Once);
        planner.apply(body.clone(), With::args(vec![values]))?;
        self.carry_out(planner.acts).await
    }

    /// The results of a shape that is said to be through; those of nested chords may be a moment late.
    async fn join_when_there(&self, shape: &ResultTree) -> Result<Result<Value, Unjoined>, CanvasError> {
        for _ in 0..JOIN_LOOKS {
            let found = self.look_up(shape).await?;
            if is_through(shape, &found) {
                return Ok(join(shape, &found));
            }
            tokio::time::sleep(JOIN_EVERY).await;
        }
        let cause = Exception::new("TimeoutError", "celery.exceptions", "The operation timed out.");
        Ok(Err(Unjoined {
            text: cause.repr(),
            cause: Box::new(cause),
            part: None,
        }))
    }

    /// What is known of the tasks of a shape.
    pub(super) async fn look_up(&self, shape: &ResultTree) -> Result<BTreeMap<String, TaskResult>, CanvasError> {
        let backend = self.backend.as_deref().ok_or(CanvasError::NoBackend)?;
        let found = backend.load(&shape.leaves()).await?;
        Ok(found
            .into_iter()
            .flatten()
            .map(|result| (result.task_id.clone(), result))
            .collect())
    }
}

/// The body is sent, or failed, and is not to be so a second time: what is left of its parts expires.
fn left(group_id: &str, cleaned: Result<(), ResultError>) {
    if let Err(error) = cleaned {
        warn!(group.id = %group_id, "the parts of chord {group_id} are not cleaned up: {error}");
    }
}

/// Parts that cannot be read: they will not be the next time either.
pub(super) fn unread(error: &CanvasError) -> Unjoined {
    let cause = error.exception();
    Unjoined {
        text: format!("Join error: {}", cause.repr()),
        cause: Box::new(cause),
        part: None,
    }
}

/// A body that cannot be published.
pub(super) fn uncalled(error: &CanvasError) -> Unjoined {
    let cause = error.exception();
    Unjoined {
        text: format!("Callback error: {}", cause.repr()),
        cause: Box::new(cause),
        part: None,
    }
}

/// All parts' values, or the first failure.
fn values(parts: Vec<ChordPart>) -> Result<Value, Unjoined> {
    let value = |part: ChordPart| match part.state.propagates() {
        true => Err(failed(&part.task_id, Exception::from_json(&part.result))),
        false => Ok(part.result),
    };
    parts.into_iter().map(value).collect()
}

fn failed(task_id: &str, cause: Exception) -> Unjoined {
    Unjoined {
        text: format!("Dependency {task_id} raised {}", cause.repr()),
        cause: Box::new(cause),
        part: Some(task_id.to_owned()),
    }
}

/// Whether every task of a shape has ended.
pub(super) fn is_through(shape: &ResultTree, found: &BTreeMap<String, TaskResult>) -> bool {
    shape
        .leaves()
        .iter()
        .all(|id| found.get(id).is_some_and(|result| result.state.is_ready()))
}

/// The values of a shape: of a group, a list.
pub(super) fn join(shape: &ResultTree, found: &BTreeMap<String, TaskResult>) -> Result<Value, Unjoined> {
    if let Some(members) = &shape.members {
        return members.iter().map(|member| join(member, found)).collect();
    }
    let Some(result) = found.get(&shape.id) else {
        return Ok(json!(null));
    };
    match result.exception().filter(|_| result.state.propagates()) {
        Some(cause) => Err(failed(&shape.id, cause)),
        None => Ok(result.result.clone()),
    }
}

/// What will be the same next time is told to people, and not tried again; nothing else is held up by it.
pub(super) fn logged<T: Default>(done: Result<T, CanvasError>, task_id: &str) -> Result<T, CanvasError> {
    match done {
        Err(failed) if !failed.is_passing() => {
            error!(task.id = %task_id, "what should follow task {task_id} cannot: {failed}");
            Ok(T::default())
        }
        other => other,
    }
}
