//! A signature as data: it reads what Python writes as JSON, and writes it again without loss.

use serde_json::{Map, Value, json};

/// What is to be sent, and what is to follow it: a task, a chain, a group or a chord.
#[derive(Debug, Clone, PartialEq)]
pub struct Sig {
    pub(super) shape: Shape,
    pub(super) args: Vec<Value>,
    /// Without what the shape holds.
    pub(super) kwargs: Map<String, Value>,
    pub(super) options: Map<String, Value>,
    pub(super) immutable: bool,
    /// Keys that mean nothing to us, such as `chord_size` of old producers.
    pub(super) more: Map<String, Value>,
}

/// What a signature is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// One task, by name.
    Task(String),
    /// One after the other.
    Chain(Vec<Sig>),
    /// All at once.
    Group(Vec<Sig>),
    /// A group, and what gets all of its results.
    Chord {
        /// A group; Python writes it as a list until it has an id.
        header: Box<Sig>,
        /// What gets the results.
        body: Box<Sig>,
    },
}

/// A signature that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a signature at {place} is wrong: expected {expected}")]
pub struct BadSignature {
    /// Where in the signature.
    pub place: String,
    /// What should be there.
    pub expected: &'static str,
}

impl Sig {
    /// Nothing but its shape.
    pub(super) fn of(shape: Shape) -> Self {
        Self {
            shape,
            args: Vec::new(),
            kwargs: Map::new(),
            options: Map::new(),
            immutable: false,
            more: Map::new(),
        }
    }

    /// Reads a signature.
    pub fn read(value: &Value) -> Result<Self, BadSignature> {
        read(value, "signature")
    }

    /// Writes it as Python does.
    pub fn write(&self) -> Value {
        let mut kwargs = self.kwargs.clone();
        let (task, subtask_type) = match &self.shape {
            Shape::Task(name) => (name.as_str(), Value::Null),
            Shape::Chain(steps) => {
                kwargs.insert("tasks".to_owned(), write_all(steps));
                ("celery.chain", "chain".into())
            }
            Shape::Group(members) => {
                kwargs.insert("tasks".to_owned(), write_all(members));
                ("celery.group", "group".into())
            }
            Shape::Chord { header, body } => {
                kwargs.entry("kwargs").or_insert_with(|| json!({}));
                let members = header.members();
                let listed = header.options.is_empty();
                let header = if listed { write_all(members) } else { header.write() };
                kwargs.insert("header".to_owned(), header);
                kwargs.insert("body".to_owned(), body.write());
                ("celery.chord", "chord".into())
            }
        };
        let mut object = self.more.clone();
        object.insert("task".to_owned(), task.into());
        object.insert("args".to_owned(), Value::Array(self.args.clone()));
        object.insert("kwargs".to_owned(), Value::Object(kwargs));
        object.insert("options".to_owned(), Value::Object(self.options.clone()));
        object.entry("subtask_type").or_insert(subtask_type);
        object.insert("immutable".to_owned(), self.immutable.into());
        Value::Object(object)
    }

    /// An option that is text.
    pub(super) fn text(&self, option: &str) -> Option<&str> {
        self.options.get(option).and_then(Value::as_str)
    }

    /// The task's id, or the group's, if it has one yet.
    pub(super) fn id(&self) -> Option<&str> {
        self.text("task_id")
    }

    /// Sets an option.
    pub(super) fn set(&mut self, option: &str, value: impl Into<Value>) {
        self.options.insert(option.to_owned(), value.into());
    }

    /// Sets an option that has no value yet.
    pub(super) fn set_if_absent(&mut self, option: &str, value: impl Into<Value>) {
        if self.options.get(option).is_none_or(Value::is_null) {
            self.set(option, value);
        }
    }

    /// The members of a group; of anything else, itself.
    pub(super) fn members(&self) -> &[Self] {
        match &self.shape {
            Shape::Group(members) => members,
            _ => std::slice::from_ref(self),
        }
    }

    /// A group without members, or a chain without steps: there is nothing to send.
    pub(super) fn is_empty(&self) -> bool {
        match &self.shape {
            Shape::Chain(members) | Shape::Group(members) => members.is_empty(),
            _ => false,
        }
    }

    /// Follows a success. Of a chord, its body's; of a group, its first member's, which has no value for all to give; of a chain,
    /// its last step's.
    pub(super) fn add_link(&mut self, callback: &Value) {
        match &mut self.shape {
            Shape::Chord { body, .. } => body.add_link(callback),
            Shape::Group(members) if !members.is_empty() => {
                let mut callback = callback.clone();
                callback["immutable"] = true.into();
                members[0].add_link(&callback);
            }
            Shape::Chain(_) | Shape::Group(_) | Shape::Task(_) => self.append("link", callback),
        }
    }

    /// Follows a failure: of each member of a group; of a chord's body, and of the chords in its header.
    pub(super) fn add_errback(&mut self, errback: &Value) {
        match &mut self.shape {
            Shape::Group(members) => members.iter_mut().for_each(|member| member.add_errback(errback)),
            Shape::Chord { header, body } => {
                if let Shape::Group(members) = &mut header.shape {
                    let chords = members
                        .iter_mut()
                        .filter(|member| matches!(member.shape, Shape::Chord { .. }));
                    chords.for_each(|chord| chord.add_errback(errback));
                }
                body.add_errback(errback);
            }
            Shape::Chain(_) | Shape::Task(_) => self.append("link_error", errback),
        }
    }

    fn append(&mut self, option: &str, value: &Value) {
        let mut list = listed(self.options.get(option));
        if !list.contains(value) {
            list.push(value.clone());
        }
        self.set(option, list);
    }
}

/// Options such as `link` are one signature or a list of them.
pub(super) fn listed(option: Option<&Value>) -> Vec<Value> {
    match option {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
    }
}

fn write_all(sigs: &[Sig]) -> Value {
    sigs.iter().map(Sig::write).collect()
}

fn read(value: &Value, place: &str) -> Result<Sig, BadSignature> {
    let bad = |key: &str, expected| BadSignature {
        place: format!("{place}{key}"),
        expected,
    };
    let mut more = value.as_object().ok_or_else(|| bad("", "an object"))?.clone();
    let Some(Value::String(task)) = more.remove("task") else {
        return Err(bad(".task", "a task's name"));
    };
    let args = match more.remove("args") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(args)) => args,
        Some(_) => return Err(bad(".args", "a list")),
    };
    let mut object = |key: &str| match more.remove(key) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(entries)) => Ok(entries),
        Some(_) => Err(bad(&format!(".{key}"), "an object")),
    };
    let (mut kwargs, options) = (object("kwargs")?, object("options")?);
    let immutable = matches!(more.remove("immutable"), Some(Value::Bool(true)));
    let shape = match more.get("subtask_type").and_then(Value::as_str) {
        Some("chain") => Shape::Chain(read_all(kwargs.remove("tasks"), &format!("{place}.tasks"))?),
        Some("group") => Shape::Group(read_all(kwargs.remove("tasks"), &format!("{place}.tasks"))?),
        Some("chord") => {
            let header = kwargs.remove("header").unwrap_or_default();
            let body = kwargs.remove("body").unwrap_or_default();
            Shape::Chord {
                header: Box::new(read_header(header, &format!("{place}.header"))?),
                body: Box::new(read(&body, &format!("{place}.body"))?),
            }
        }
        _ => Shape::Task(task),
    };
    Ok(Sig {
        shape,
        args,
        kwargs,
        options,
        immutable,
        more,
    })
}

fn read_all(tasks: Option<Value>, place: &str) -> Result<Vec<Sig>, BadSignature> {
    let Some(Value::Array(tasks)) = tasks else {
        return Err(BadSignature {
            place: place.to_owned(),
            expected: "a list of signatures",
        });
    };
    let tasks = tasks.iter().enumerate();
    tasks
        .map(|(index, task)| read(task, &format!("{place}[{index}]")))
        .collect()
}

/// A list, a group, or (from hand-written producers) anything else as its one member.
fn read_header(header: Value, place: &str) -> Result<Sig, BadSignature> {
    if header.is_array() {
        return Ok(Sig::of(Shape::Group(read_all(Some(header), place)?)));
    }
    let header = read(&header, place)?;
    match header.shape {
        Shape::Group(_) => Ok(header),
        Shape::Chain(steps) => Ok(Sig::of(Shape::Group(steps))),
        _ => Ok(Sig::of(Shape::Group(vec![header]))),
    }
}
