//! Signatures made by hand.

use serde_json::Value;

use super::sig::{Shape, Sig};
use super::{Canvas, CanvasError, ResultTree};

/// One task, by name.
///
/// ```
/// use waybill_tasks::celery::canvas::task;
///
/// let add = task("math.add").args([2, 3]).queue("sums").link(task("math.show").immutable());
///
/// assert_eq!(add.write()["options"]["queue"], "sums");
/// ```
pub fn task(name: impl Into<String>) -> Sig {
    Sig::of(Shape::Task(name.into()))
}

/// One after the other, each with the result of the one before as its first argument. A group that is followed by something is
/// the header of a chord.
pub fn chain(steps: impl IntoIterator<Item = Sig>) -> Sig {
    Sig::of(Shape::Chain(steps.into_iter().collect()))
}

/// All at once.
pub fn group(members: impl IntoIterator<Item = Sig>) -> Sig {
    Sig::of(Shape::Group(members.into_iter().collect()))
}

/// All at once, and then the body, with all their results as its first argument.
///
/// ```
/// use waybill_tasks::celery::canvas::{chord, task};
///
/// let total = chord([task("math.add").args([1, 1]), task("math.add").args([2, 2])], task("math.sum"));
///
/// assert_eq!(total.write()["kwargs"]["header"][1]["args"][0], 2);
/// ```
pub fn chord(header: impl IntoIterator<Item = Sig>, body: Sig) -> Sig {
    Sig::of(Shape::Chord {
        header: Box::new(group(header)),
        body: Box::new(body),
    })
}

/// One task for each item, one after the other on one worker.
///
/// ```
/// use serde_json::json;
/// use waybill_tasks::celery::canvas::{map, task};
///
/// assert_eq!(map(task("math.double"), [1, 2]).write()["kwargs"]["it"], json!([1, 2]));
/// ```
pub fn map(task: Sig, items: impl IntoIterator<Item = impl Into<Value>>) -> Sig {
    mapped("celery.map", task, items.into_iter().map(Into::into).collect())
}

/// The same for items that are lists of arguments.
pub fn starmap(task: Sig, items: impl IntoIterator<Item = Vec<Value>>) -> Sig {
    mapped("celery.starmap", task, items.into_iter().map(Value::Array).collect())
}

fn mapped(name: &str, each: Sig, items: Vec<Value>) -> Sig {
    task(name).kwarg("task", each.write()).kwarg("it", items).immutable()
}

/// Lists of arguments in portions: a group of [`starmap`]s.
///
/// # Panics
/// If a portion is to have no items.
pub fn chunks(task: Sig, items: impl IntoIterator<Item = Vec<Value>>, size: usize) -> Sig {
    let items: Vec<_> = items.into_iter().collect();
    group(
        items
            .chunks(size)
            .map(|portion| starmap(task.clone(), portion.iter().cloned())),
    )
}

impl Sig {
    /// Positional arguments. What a signature follows comes before them.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<Value>>) -> Self {
        self.args = args.into_iter().map(Into::into).collect();
        self
    }

    /// A keyword argument.
    #[must_use]
    pub fn kwarg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.kwargs.insert(name.to_owned(), value.into());
        self
    }

    /// Any option of Python's `apply_async`, such as `priority`, `expires` or `time_limit`.
    #[must_use]
    pub fn option(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.set(name, value);
        self
    }

    /// The id: one that is derived from what the task is about makes twice once. A group's is the group's.
    #[must_use]
    pub fn with_id(self, id: impl Into<String>) -> Self {
        self.option("task_id", id.into())
    }

    /// The queue, over the default exchange.
    #[must_use]
    pub fn queue(self, queue: impl Into<String>) -> Self {
        self.option("queue", queue.into())
    }

    /// Takes no results of what it follows.
    #[must_use]
    pub fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    /// A stamp, which everything can be found and revoked by.
    #[must_use]
    pub fn stamp(mut self, name: &str, value: impl Into<Value>) -> Self {
        let mut names = super::listed(self.options.get("stamped_headers"));
        if !names.iter().any(|known| known == name) {
            names.push(name.into());
        }
        self.set("stamped_headers", names);
        self.option(name, value)
    }

    /// Follows on success.
    #[must_use]
    pub fn link(mut self, callback: Self) -> Self {
        self.add_link(&callback.write());
        self
    }

    /// Follows on failure, with the id of what failed.
    #[must_use]
    pub fn link_error(mut self, errback: Self) -> Self {
        self.add_errback(&errback.write());
        self
    }

    /// A chain of this and the next: Python's `|`.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        match self.shape {
            Shape::Chain(mut steps) if self.options.is_empty() && self.args.is_empty() => {
                steps.push(next);
                chain(steps)
            }
            _ => chain([self, next]),
        }
    }

    /// Sends it. The answer is what Python's `result_from_tuple` makes results of.
    ///
    /// ```no_run
    /// use waybill_tasks::celery::canvas::{Canvas, chain, task};
    ///
    /// # async fn send(canvas: &Canvas) -> Result<(), waybill_tasks::celery::canvas::CanvasError> {
    /// let sum = chain([task("math.add").args([2, 2]), task("math.add").args([4])]);
    ///
    /// let result = sum.apply_async(canvas).await?;
    ///
    /// println!("eight is the result of {}", result.id);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn apply_async(self, canvas: &Canvas) -> Result<ResultTree, CanvasError> {
        canvas.apply(self).await
    }
}
