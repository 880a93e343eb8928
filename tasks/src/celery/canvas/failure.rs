//! A task has failed: who is called, and who need not wait any longer.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tracing::warn;

use super::chords::{Unjoined, logged};
use super::ids::Ids;
use super::message::Lineage;
use super::plan::With;
use super::sig::{Shape, Sig, listed};
use super::{Canvas, CanvasError};
use crate::celery::protocol::Request;
use crate::celery::results::rpc::ReplyAddress;
use crate::celery::results::{ChordPart, ChordRun, Exception, ResultTree, State, TaskResult};
use crate::celery::transport::Routing;

/// Why what is in a signature will never run.
struct Loss<'a> {
    exception: &'a Exception,
    state: State,
    lineage: &'a Lineage,
    /// What was sent because of it, by the id of the task that will not run: its children.
    sent: BTreeMap<String, Vec<Value>>,
}

impl Canvas {
    /// A task has raised or was revoked: the rest of its chain fails with it, and its error callbacks are sent. Only errors that
    /// pass come back; the message must come again then.
    pub async fn failed(&self, request: &Request, exception: &Exception, state: State) -> Result<(), CanvasError> {
        let lineage = Lineage::of(request);
        let sends_errbacks = state == State::Failure;
        let loss = Loss {
            exception,
            state,
            lineage: &lineage,
            sent: BTreeMap::new(),
        };
        self.fail_rest(&request.embed.chain, &request.id, &loss).await?;
        if sends_errbacks {
            let errbacks = listed(Some(&request.embed.errbacks));
            let ids = Ids::following(request, "link_error");
            self.call_errbacks(&errbacks, &request.id, ids, lineage).await?;
        }
        Ok(())
    }

    /// Sends error callbacks with the id of the task that failed: only Python's own worker could call them with an exception.
    /// Answers the task's children that they are: one that cannot be sent is none.
    async fn call_errbacks(
        &self,
        errbacks: &[Value],
        task_id: &str,
        ids: Ids,
        lineage: Lineage,
    ) -> Result<Vec<Value>, CanvasError> {
        let readable = |errback: &Value| logged(Sig::read(errback).map(Some).map_err(CanvasError::from), task_id);
        let errbacks: Vec<Option<Sig>> = errbacks.iter().map(readable).collect::<Result<_, _>>()?;
        let errbacks: Vec<Sig> = errbacks.into_iter().flatten().collect();
        if errbacks.is_empty() {
            return Ok(Vec::new());
        }
        logged(self.send_errbacks(errbacks, task_id, ids, lineage).await, task_id)
    }

    async fn send_errbacks(
        &self,
        errbacks: Vec<Sig>,
        task_id: &str,
        ids: Ids,
        lineage: Lineage,
    ) -> Result<Vec<Value>, CanvasError> {
        let mut planner = self.planner(lineage, ids, ChordRun::Once);
        planner.apply(Sig::of(Shape::Group(errbacks)), With::args(vec![task_id.into()]))?;
        let children = std::mem::take(&mut planner.trail);
        self.carry_out(planner.acts).await?;
        Ok(children)
    }

    /// The steps of a chain that will never run after a task.
    async fn fail_rest(&self, chain: &Value, task_id: &str, loss: &Loss<'_>) -> Result<(), CanvasError> {
        for step in listed(Some(chain)).iter().rev() {
            let failing = async { self.fail_sig(&Sig::read(step)?, loss).await };
            logged(failing.await, task_id)?;
        }
        Ok(())
    }

    /// Everything in a signature that somebody may wait for.
    fn fail_sig<'a>(&'a self, sig: &'a Sig, loss: &'a Loss<'_>) -> BoxFuture<'a, Result<(), CanvasError>> {
        Box::pin(async move {
            let parts = match &sig.shape {
                Shape::Task(_) => return self.fail_task(sig, loss).await,
                Shape::Chain(steps) => steps.as_slice(),
                Shape::Group(members) => members.as_slice(),
                Shape::Chord { body, .. } => std::slice::from_ref(&**body),
            };
            for part in parts {
                self.fail_sig(part, loss).await?;
            }
            Ok(())
        })
    }

    async fn fail_task(&self, sig: &Sig, loss: &Loss<'_>) -> Result<(), CanvasError> {
        let Some(id) = sig.id() else {
            return Ok(());
        };
        let mut result = TaskResult::raised(id, loss.state.clone(), loss.exception, (self.clock)())
            .with_children(loss.sent.get(id).cloned().unwrap_or_default());
        result.group_id = sig.text("group_id").map(str::to_owned);
        if let Some(backend) = &self.backend {
            backend.store(&result).await?;
        }
        if let Some(address) = ReplyAddress::waiting(sig.text("reply_to"), id)
            && let Err(error) = self
                .transport
                .publish(address.message(&result), Routing::Optional)
                .await
        {
            warn!(task.id = %id, "who waits for task {id} was not told of its failure: {error}");
        }
        let (Some(body), Some(group_id)) = (sig.options.get("chord"), result.group_id) else {
            return Ok(());
        };
        let part = ChordPart {
            group_id,
            group_index: sig.options.get("group_index").and_then(Value::as_i64),
            task_id: result.task_id,
            state: result.state,
            result: result.result,
        };
        self.part_ended(part, body.clone(), loss.lineage.clone()).await
    }

    /// A chord whose body will never run: the body fails, its error callbacks are sent, and what was to follow it fails too.
    pub(super) async fn fail_chord(
        &self,
        body: &Sig,
        failed: &Unjoined,
        group_id: &str,
        lineage: Lineage,
    ) -> Result<(), CanvasError> {
        warn!(group.id = %group_id, "chord {group_id} fails: {}", failed.text);
        let chord_error = Exception::chord_error(&failed.text);
        // The tasks of a group that is a body get what the part has raised.
        let exception = match body.shape {
            Shape::Group(_) => &*failed.cause,
            _ => &chord_error,
        };
        let mut sent = BTreeMap::new();
        let has_called = self.has_called(failed).await?;
        let waiting = waiting(body).into_iter().enumerate();
        for (place, (task_id, errbacks)) in waiting.filter(|_| !has_called) {
            let lineage = Lineage {
                parent_id: Some(task_id.clone()),
                ..lineage.clone()
            };
            let ids = Ids::of(&format!("chord/{group_id}/link_error/{place}"));
            let children = self.call_errbacks(&errbacks, &task_id, ids, lineage).await?;
            sent.insert(task_id, children);
        }
        let loss = Loss {
            exception,
            state: State::Failure,
            lineage: &lineage,
            sent,
        };
        self.fail_sig(body, &loss).await?;
        let rest = body.options.get("chain").cloned().unwrap_or_default();
        let loss = Loss {
            exception: &chord_error,
            ..loss
        };
        self.fail_rest(&rest, body.id().unwrap_or(group_id), &loss).await
    }
}

impl Canvas {
    /// Whether the part that failed was a chord that has called error callbacks: Python links those of a chord to the chords in its
    /// header too, and nobody is called twice for one failure.
    async fn has_called(&self, failed: &Unjoined) -> Result<bool, CanvasError> {
        let (Some(part), "ChordError") = (&failed.part, failed.cause.exc_type.as_str()) else {
            return Ok(false);
        };
        let found = self.look_up(&ResultTree::task(part.clone())).await?;
        Ok(found.values().any(|result| !result.children.is_empty()))
    }
}

/// The ids that a body's results have, each with its error callbacks.
fn waiting(body: &Sig) -> Vec<(String, Vec<Value>)> {
    let own = listed(body.options.get("link_error"));
    match &body.shape {
        Shape::Group(members) => members
            .iter()
            .flat_map(waiting)
            .map(|(id, mut errbacks)| {
                let more: Vec<_> = own
                    .iter()
                    .filter(|errback| !errbacks.contains(errback))
                    .cloned()
                    .collect();
                errbacks.extend(more);
                (id, errbacks)
            })
            .collect(),
        Shape::Chord { body, .. } => waiting(body)
            .into_iter()
            .map(|(id, errbacks)| (id, [own.clone(), errbacks].concat()))
            .collect(),
        Shape::Task(_) | Shape::Chain(_) => body.id().map(|id| (id.to_owned(), own)).into_iter().collect(),
    }
}
