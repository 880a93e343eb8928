//! `replace()`: another signature goes on under a task's id.

use serde_json::Value;

use super::ids::Ids;
use super::message::Lineage;
use super::plan::With;
use super::sig::{Shape, Sig, listed};
use super::{Canvas, CanvasError, freeze, task};
use crate::celery::protocol::Request;
use crate::celery::results::ChordRun;

impl Canvas {
    /// Sends a signature in a task's place: with its id, its group and chord, and everything that was to follow it. The task itself
    /// ends without a result.
    pub async fn replace(&self, request: &Request, sig: Sig) -> Result<(), CanvasError> {
        let sig = replacement(request, sig)?;
        let lineage = Lineage {
            parent_id: request.parent_id.clone(),
            ..Lineage::of(request)
        };
        let mut planner = self.planner(lineage, Ids::following(request, "replace"), ChordRun::Once);
        planner.apply(sig, With::default())?;
        self.carry_out(planner.acts).await
    }
}

/// The signature as it is sent.
fn replacement(request: &Request, sig: Sig) -> Result<Sig, CanvasError> {
    if sig.options.contains_key("chord") {
        return Err(CanvasError::Unreplaceable(
            "A signature replacing a task must not be part of a chord",
        ));
    }
    if matches!(&sig.shape, Shape::Chain(steps) if steps.is_empty()) {
        return Err(CanvasError::Unreplaceable("Cannot replace with an empty chain"));
    }
    let mut sig = ending_once(sig);
    listed(Some(&request.embed.callbacks))
        .iter()
        .for_each(|callback| sig.add_link(callback));
    listed(Some(&request.embed.errbacks))
        .iter()
        .for_each(|errback| sig.add_errback(errback));
    let end = freeze::End {
        id: Some(request.id.clone()),
        group_id: request.group.clone(),
        group_index: request.group_index.and_then(|index| usize::try_from(index).ok()),
        chord: Some(request.embed.chord.clone()).filter(|chord| !chord.is_null()),
    };
    freeze::freeze(&mut sig, &mut Ids::following(request, "replace/ids"), &end);
    let nesting = request.replaced_task_nesting + 1;
    let rest = listed(Some(&request.embed.chain));
    let rest = rest.iter().rev().map(Sig::read).collect::<Result<Vec<_>, _>>()?;
    let mut steps = match sig.shape {
        Shape::Chain(_) => super::steps::unchained(sig),
        _ => vec![sig],
    };
    steps.extend(rest);
    steps
        .iter_mut()
        .for_each(|step| step.set("replaced_task_nesting", nesting));
    if let Some(reply_to) = &request.reply_to {
        // Who asked for the task waits for whatever has its id in the end.
        steps.iter_mut().for_each(|step| answer(step, &request.id, reply_to));
    }
    Ok(match steps.len() {
        1 => steps.swap_remove(0),
        _ => Sig::of(Shape::Chain(steps)),
    })
}

/// A group has no single end that could have the task's id: it becomes the header of a chord that answers its results.
fn ending_once(mut sig: Sig) -> Sig {
    let gathered = |group: Sig| {
        Sig::of(Shape::Chord {
            header: Box::new(group),
            body: Box::new(task("celery.accumulate").kwarg("index", 0)),
        })
    };
    match &mut sig.shape {
        Shape::Group(_) => gathered(sig),
        Shape::Chain(steps) => {
            if steps.last().is_some_and(|last| matches!(last.shape, Shape::Group(_)))
                && let Some(group) = steps.pop()
            {
                steps.push(gathered(group));
            }
            sig
        }
        _ => sig,
    }
}

/// Names the queue of answers where the task with that id is.
fn answer(sig: &mut Sig, task_id: &str, reply_to: &str) {
    match &mut sig.shape {
        Shape::Task(_) => {
            if sig.options.get("task_id").and_then(Value::as_str) == Some(task_id) {
                sig.set_if_absent("reply_to", reply_to);
            }
        }
        Shape::Chord { body, .. } => answer(body, task_id, reply_to),
        Shape::Chain(parts) | Shape::Group(parts) => parts.iter_mut().for_each(|part| answer(part, task_id, reply_to)),
    }
}
