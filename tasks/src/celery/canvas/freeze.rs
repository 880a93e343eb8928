//! Giving everything in a signature its id, so that its results are known before anything has run.

use serde_json::Value;

use super::ids::Ids;
use super::sig::{Shape, Sig};
use super::steps;
use crate::celery::results::ResultTree;

/// What the task that ends a signature carries.
#[derive(Debug, Clone, Default)]
pub(super) struct End {
    /// Its id, if it has none.
    pub(super) id: Option<String>,
    /// The group that it counts in, if it is in none.
    pub(super) group_id: Option<String>,
    /// Its place in there.
    pub(super) group_index: Option<usize>,
    /// The chord's body that waits for it.
    pub(super) chord: Option<Value>,
}

impl End {
    fn mark(&self, sig: &mut Sig) {
        if let Some(group_id) = &self.group_id {
            sig.set_if_absent("group_id", group_id.as_str());
        }
        if let Some(chord) = &self.chord {
            sig.set("chord", chord.clone());
        }
        if let Some(index) = self.group_index {
            sig.set("group_index", index);
        }
    }
}

/// Gives ids to what has none, in place, and answers the shape of the results.
pub(super) fn freeze(sig: &mut Sig, ids: &mut Ids, end: &End) -> ResultTree {
    match &mut sig.shape {
        Shape::Task(_) => {
            end.mark(sig);
            let id = sig
                .id()
                .map(str::to_owned)
                .or_else(|| end.id.clone())
                .unwrap_or_else(|| ids.next());
            sig.set("task_id", id.as_str());
            ResultTree::task(id)
        }
        Shape::Chain(steps) => {
            *steps = steps::prepare(std::mem::take(steps));
            let own = sig.options.get("task_id").and_then(Value::as_str);
            let end = End {
                id: own.map(str::to_owned).or_else(|| end.id.clone()),
                ..end.clone()
            };
            let tree = freeze_steps(steps, ids, &end).unwrap_or_else(|| ResultTree::group(ids.next(), Vec::new()));
            sig.set("task_id", tree.id.as_str());
            tree
        }
        Shape::Group(members) => {
            *members = steps::members(std::mem::take(members));
            let inner = |index| End {
                id: None,
                group_index: Some(index),
                ..end.clone()
            };
            let trees = members
                .iter_mut()
                .enumerate()
                .map(|(index, member)| freeze(member, ids, &inner(index)));
            let trees = trees.collect();
            end.mark(sig);
            let id = sig.id().map_or_else(|| ids.next(), str::to_owned);
            sig.set("task_id", id.as_str());
            ResultTree::group(id, trees)
        }
        Shape::Chord { header, body } => {
            // The body is in the signature already; the header's tasks get it when they are sent.
            let header_tree = freeze(header, ids, &End::default());
            let mut tree = freeze(body, ids, end);
            tree.set_root(header_tree.clone());
            sig.set("task_id", header_tree.id);
            tree
        }
    }
}

/// The last step carries the end; each result knows what came before it.
pub(super) fn freeze_steps(steps: &mut [Sig], ids: &mut Ids, end: &End) -> Option<ResultTree> {
    let last = steps.len().checked_sub(1)?;
    let mut before: Option<ResultTree> = None;
    for (index, step) in steps.iter_mut().enumerate() {
        let mut tree = if index == last {
            freeze(step, ids, end)
        } else {
            freeze(step, ids, &End::default())
        };
        if let Some(before) = before {
            tree.set_root(before);
        }
        before = Some(tree);
    }
    before
}
