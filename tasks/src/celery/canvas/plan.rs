//! What applying a signature sends, worked out before anything is sent.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::CanvasError;
use super::freeze::{End, freeze, freeze_steps};
use super::ids::Ids;
use super::message::{Lineage, Single, queue};
use super::sig::{Shape, Sig, listed};
use super::steps::{self, ends, prepare};
use crate::celery::message::Message;
use crate::celery::results::{ChordRun, ChordStart, ResultTree};

/// One thing to do.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// Publish it.
    Send(Message),
    /// Say how many parts a chord has, then do what starts them.
    Chord(ChordStart, Vec<Act>),
}

/// How the results of a chord's header come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Joining {
    /// There is no result backend.
    Impossible,
    /// `celery.chord_unlock` looks whether they are there.
    Polling,
    /// The backend counts them.
    Counting,
}

/// What a signature is applied with.
#[derive(Debug, Clone, Default)]
pub(super) struct With {
    pub(super) args: Vec<Value>,
    pub(super) kwargs: Map<String, Value>,
    pub(super) options: Map<String, Value>,
}

impl With {
    /// Positional arguments only.
    pub(super) fn args(args: Vec<Value>) -> Self {
        Self {
            args,
            ..Self::default()
        }
    }
}

/// Works out what is to be sent.
pub(super) struct Planner<'a> {
    pub(super) lineage: Lineage,
    pub(super) default_queue: &'a str,
    pub(super) joining: Joining,
    pub(super) run: ChordRun,
    pub(super) now: DateTime<Utc>,
    pub(super) ids: Ids,
    /// What is to be done, in order.
    pub(super) acts: Vec<Act>,
    /// The children of whoever applies: tasks sent, not those that will follow them.
    pub(super) trail: Vec<Value>,
    /// How many groups we are in: their members are no children by themselves.
    pub(super) within: usize,
}

impl Planner<'_> {
    /// Applies a signature, and answers the shape of its results.
    pub(super) fn apply(&mut self, sig: Sig, with: With) -> Result<ResultTree, CanvasError> {
        let options = merged(&sig.options, &with.options);
        let args = if sig.immutable {
            sig.args
        } else {
            [with.args, sig.args].concat()
        };
        let kwargs = if sig.immutable { Map::new() } else { with.kwargs };
        let with = With { args, kwargs, options };
        match sig.shape {
            Shape::Task(task) => Ok(self.send(task, sig.kwargs, with)),
            Shape::Chain(steps) => self.apply_chain(steps, with),
            Shape::Group(members) => self.apply_group(members, with),
            Shape::Chord { header, body } => self.apply_chord(*header, *body, sig.kwargs, with),
        }
    }

    fn send(&mut self, task: String, mut kwargs: Map<String, Value>, with: With) -> ResultTree {
        kwargs.extend(with.kwargs);
        let id = with.options.get("task_id").and_then(Value::as_str).map(str::to_owned);
        let id = id.unwrap_or_else(|| self.ids.next());
        let single = Single {
            task,
            id: id.clone(),
            args: with.args,
            kwargs,
            options: with.options,
        };
        let message = single.message(&self.lineage, self.default_queue, self.now);
        self.acts.push(Act::Send(message));
        self.child(ResultTree::task(id))
    }

    fn child(&mut self, tree: ResultTree) -> ResultTree {
        if self.within == 0 {
            self.trail.push(tree.to_value());
        }
        tree
    }

    /// Sends the first step, which carries the others.
    fn apply_chain(&mut self, steps: Vec<Sig>, with: With) -> Result<ResultTree, CanvasError> {
        let With {
            args,
            kwargs,
            mut options,
        } = with;
        let mut take = |name: &str| options.remove(name).unwrap_or_default();
        let text = |value: Value| value.as_str().map(str::to_owned);
        let end = End {
            id: text(take("task_id")),
            group_id: text(take("group_id")),
            group_index: take("group_index")
                .as_u64()
                .and_then(|index| usize::try_from(index).ok()),
            chord: Some(take("chord")).filter(|chord| !chord.is_null()),
        };
        let (links, errbacks) = (listed(Some(&take("link"))), listed(Some(&take("link_error"))));
        let mut rest = listed(Some(&take("chain")));
        let mut steps = prepare(steps);
        for errback in &errbacks {
            steps.iter_mut().for_each(|step| step.add_errback(errback));
        }
        if let Some(last) = steps.last_mut() {
            links.iter().for_each(|callback| last.add_link(callback));
        }
        let frozen = freeze_steps(&mut steps, &mut self.ids, &end);
        let mut steps = steps.into_iter();
        let (Some(frozen), Some(first)) = (frozen, steps.next()) else {
            return Ok(ResultTree::group(self.ids.next(), Vec::new()));
        };
        // Reversed: a worker takes the next step off the end.
        rest.extend(steps.map(|step| step.write()).rev());
        if !rest.is_empty() {
            options.insert("chain".to_owned(), Value::Array(rest));
        }
        self.apply(first, With { args, kwargs, options })?;
        Ok(frozen)
    }

    /// Sends the members, under one group id.
    fn apply_group(&mut self, members: Vec<Sig>, with: With) -> Result<ResultTree, CanvasError> {
        let mut with = with;
        let id = with
            .options
            .remove("task_id")
            .and_then(|id| id.as_str().map(str::to_owned));
        let id = id.unwrap_or_else(|| self.ids.next());
        with.options.remove("group_index");
        with.options.insert("group_id".to_owned(), id.as_str().into());
        let mut trees = Vec::new();
        self.within += 1;
        for (index, mut member) in steps::members(members).into_iter().enumerate() {
            let end = End {
                group_id: Some(id.clone()),
                group_index: Some(index),
                ..End::default()
            };
            trees.push(freeze(&mut member, &mut self.ids, &end));
            self.apply(member, with.clone())?;
        }
        self.within -= 1;
        let only_a_group = trees.len() == 1 && trees[0].members.is_some();
        let tree = match trees.pop() {
            Some(tree) if only_a_group => tree,
            last => {
                trees.extend(last);
                ResultTree::group(id, trees)
            }
        };
        Ok(self.child(tree))
    }

    /// Sends the header, whose tasks carry the body.
    fn apply_chord(
        &mut self,
        header: Sig,
        body: Sig,
        own: Map<String, Value>,
        with: With,
    ) -> Result<ResultTree, CanvasError> {
        let (mut header, mut body) = (header, body);
        let With {
            args,
            kwargs,
            mut options,
        } = with;
        let mut take = |name: &str| options.remove(name).filter(|value| !value.is_null());
        let own_id = take("task_id").and_then(|id| id.as_str().map(str::to_owned));
        let delay: Vec<_> = ["countdown", "eta"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), take(name)?)))
            .collect();
        take("parent_id");
        let (links, errbacks) = (listed(take("link").as_ref()), listed(take("link_error").as_ref()));
        links.iter().for_each(|callback| body.add_link(callback));
        errbacks.iter().for_each(|errback| body.add_errback(errback));
        body.options.extend(options.clone());

        let group_id = header
            .id()
            .map(str::to_owned)
            .or_else(|| own_id.clone())
            .unwrap_or_else(|| self.ids.next());
        let end = End {
            id: own_id,
            group_id: Some(group_id.clone()),
            ..End::default()
        };
        let mut result = freeze(&mut body, &mut self.ids, &end);
        if header.is_empty() {
            self.apply(body, With::args(vec![json!([])]))?;
            return Ok(result);
        }
        header.set("task_id", group_id.as_str());
        let end = End {
            group_id: Some(group_id.clone()),
            chord: Some(body.write()),
            ..End::default()
        };
        let shape = freeze(&mut header, &mut self.ids, &end);
        options.remove("chain");
        options.remove("chord");
        options.extend(delay);
        let mut header_kwargs = own
            .get("kwargs")
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default();
        header_kwargs.extend(kwargs);
        // Freezing has marked the header too; its members carry what counts.
        header
            .options
            .retain(|name, _| !["chord", "group_id", "group_index"].contains(&name.as_str()));
        let with = With {
            args,
            kwargs: header_kwargs,
            options,
        };
        self.start_chord(header, &body, shape.clone(), with)?;
        result.set_root(shape);
        Ok(result)
    }

    fn start_chord(&mut self, header: Sig, body: &Sig, shape: ResultTree, with: With) -> Result<(), CanvasError> {
        let group_id = shape.id.clone();
        match self.joining {
            Joining::Impossible => Err(CanvasError::NoBackend),
            Joining::Counting => {
                let members = shape.members.as_deref().unwrap_or_default();
                let complex = members.iter().any(|member| member.members.is_some());
                let size = ends(&header);
                let shape = complex.then_some(shape);
                let before = std::mem::take(&mut self.acts);
                self.apply(header, with)?;
                let parts = std::mem::replace(&mut self.acts, before);
                let start = ChordStart {
                    group_id,
                    size,
                    shape,
                    run: self.run,
                };
                self.acts.push(Act::Chord(start, parts));
                Ok(())
            }
            Joining::Polling => {
                self.apply(header, with)?;
                self.send_unlock(&group_id, body, &shape);
                Ok(())
            }
        }
    }

    /// The task that looks whether the header is through; on whatever worker takes the body's queue.
    fn send_unlock(&mut self, group_id: &str, body: &Sig, shape: &ResultTree) {
        let members = shape.members.as_deref().unwrap_or_default();
        let kwargs = json!({
            "interval": null,
            "max_retries": null,
            "result": members.iter().map(ResultTree::to_value).collect::<Vec<_>>(),
            "_chord_unlock_exchange_type": "direct",
        });
        let options = json!({
            "queue": queue(&body.options, self.default_queue),
            "priority": body.options.get("priority").cloned().unwrap_or_else(|| 0.into()),
            "countdown": 1,
            "ignore_result": true,
        });
        let object = |value: Value| value.as_object().cloned().unwrap_or_default();
        let with = With {
            args: vec![group_id.into(), body.write()],
            kwargs: Map::new(),
            options: object(options),
        };
        // It is nobody's child: who waits for a task's children would wait for ever.
        self.within += 1;
        self.send("celery.chord_unlock".to_owned(), object(kwargs), with);
        self.within -= 1;
    }
}

/// A signature's options under those that it is applied with. What says where it counts, and its stamps, stay.
fn merged(own: &Map<String, Value>, given: &Map<String, Value>) -> Map<String, Value> {
    let stamps = listed(own.get("stamped_headers"));
    let fixed =
        |name: &String| name == "group_id" || name == "stamped_headers" || stamps.iter().any(|stamp| stamp == name);
    let mut options = own.clone();
    options.retain(|_, value| !value.is_null());
    for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
        if !(fixed(name) && options.contains_key(name)) {
            options.insert(name.clone(), value.clone());
        }
    }
    options
}
