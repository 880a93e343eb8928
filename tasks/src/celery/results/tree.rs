//! The shape of what was sent: tasks, what came before them, and groups.

use serde_json::{Value, json};

/// A task or a group as Python's `as_tuple` writes it: `[[id, parent], null]` or `[[id, parent], [members…]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultTree {
    /// The task's id, or the group's.
    pub id: String,
    /// What came before it in a chain.
    pub parent: Option<Box<ResultTree>>,
    /// The members, if it is a group.
    pub members: Option<Vec<ResultTree>>,
}

impl ResultTree {
    /// A task.
    pub fn task(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            parent: None,
            members: None,
        }
    }

    /// A group.
    pub fn group(id: impl Into<String>, members: Vec<Self>) -> Self {
        Self {
            id: id.into(),
            parent: None,
            members: Some(members),
        }
    }

    /// Puts something before the first of those that came before.
    pub fn set_root(&mut self, root: Self) {
        match &mut self.parent {
            Some(parent) => parent.set_root(root),
            None => self.parent = Some(Box::new(root)),
        }
    }

    /// The ids of the tasks whose results make its own; those of nested groups too.
    pub fn leaves(&self) -> Vec<String> {
        match &self.members {
            Some(members) => members.iter().flat_map(Self::leaves).collect(),
            None => vec![self.id.clone()],
        }
    }

    /// Python's tuple.
    pub fn to_value(&self) -> Value {
        let parent = self.parent.as_ref().map(|parent| parent.to_value());
        let members = self.members.as_ref();
        let members = members.map(|members| members.iter().map(Self::to_value).collect::<Vec<_>>());
        json!([[self.id, parent], members])
    }

    /// Reads a tuple, or the id alone that old workers wrote; `None` if it is neither.
    pub fn from_value(value: &Value) -> Option<Self> {
        let [head, members] = value.as_array()?.as_slice() else {
            return None;
        };
        let (id, parent) = match head {
            Value::String(id) => (id, &Value::Null),
            Value::Array(pair) => (
                match pair.first()? {
                    Value::String(id) => id,
                    _ => return None,
                },
                pair.get(1).unwrap_or(&Value::Null),
            ),
            _ => return None,
        };
        let parent = match parent {
            Value::Null => None,
            parent => Some(Box::new(Self::from_value(parent)?)),
        };
        let members = match members {
            Value::Null => None,
            members => Some(
                members
                    .as_array()?
                    .iter()
                    .map(Self::from_value)
                    .collect::<Option<_>>()?,
            ),
        };
        Some(Self {
            id: id.clone(),
            parent,
            members,
        })
    }
}
