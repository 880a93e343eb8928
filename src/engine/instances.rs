//! Instances of any machine: born by somebody's word, moved by the same reports, deadlines and effects as delivery orders.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;
use waybill_domain::{Actor, Event, Fields, MachineName, OrderId, Refusal};

use super::core::{CREATED, Core, MACHINE};
use super::{Engine, EngineError, new_order_id};
use crate::store::committer::Command;
use crate::store::record::InboxRow;
use crate::store::{Needs, Unit, digest};

/// An instance that somebody wants to come into being.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInstance {
    /// Of which machine; delivery orders are made by payments only.
    pub machine: MachineName,
    /// What it knows from birth.
    pub fields: Fields,
    /// Who says so.
    pub actor: Actor,
    /// Their key: told twice is told once, among all that this actor creates of the machine.
    pub key: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Birth {
    /// It is there now.
    Born(OrderId),
    /// It was told before, and is there since.
    Repeated(OrderId),
    /// The key was used before for something else.
    KeyReused,
    /// There is no such machine, it has no active version, or its instances are not made so.
    UnknownMachine,
    /// The graph does not take what it would know.
    Refused(Refusal),
}

impl Engine {
    /// Brings an instance of a machine into being, on the version that is active for it. Refusals are answered, not recorded.
    pub async fn create_instance(&self, new: NewInstance) -> Result<Birth, EngineError> {
        if new.machine == MACHINE || !is_name(new.machine.as_str()) {
            return Ok(Birth::UnknownMachine);
        }
        let create = Create {
            core: self.core.clone(),
            new,
            id: new_order_id(),
        };
        Ok(self.committer.submit(create).await?)
    }
}

/// Whether a machine can be called so.
fn is_name(text: &str) -> bool {
    let is_letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    !text.is_empty() && text.chars().all(is_letter)
}

/// The inbox's name for what is created.
const SOURCE: &str = "create";

struct Create {
    core: Arc<Core>,
    new: NewInstance,
    id: OrderId,
}

impl Create {
    fn key(&self) -> String {
        let NewInstance {
            machine, actor, key, ..
        } = &self.new;
        format!("{machine}:{}:{}:{key}", actor.role, actor.id)
    }
}

impl Command for Create {
    type Answer = Birth;

    fn needs(&self) -> Needs {
        Needs {
            inbox: vec![(SOURCE, self.key())],
            births: BTreeSet::from([self.new.machine.clone()]),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Birth {
        let NewInstance {
            machine, fields, actor, ..
        } = &self.new;
        let content = digest(&json!([machine, fields]));
        if let Some(before) = unit.inbox.get(&(SOURCE, self.key())) {
            return match before.order_id {
                Some(id) if before.payload_hash == content => Birth::Repeated(id),
                _ => Birth::KeyReused,
            };
        }
        let Some(graph) = self.core.birth_graph(unit, machine, self.id) else {
            return Birth::UnknownMachine;
        };
        if let Err(refusal) = graph.accept_birth(fields) {
            return Birth::Refused(refusal);
        }
        let event = Event {
            name: CREATED.into(),
            key: format!("{SOURCE}:{}", self.key()),
            actor: actor.clone(),
            fields: fields.clone(),
            inferred: false,
            occurred_at: unit.now,
        };
        let Some(birth) = self.core.give_birth(unit, machine, self.id, event, None) else {
            return Birth::UnknownMachine;
        };
        unit.writes.inbox.push(InboxRow {
            source: SOURCE,
            key: self.key(),
            order_id: Some(self.id),
            sequence: Some(birth.revision.0),
            outcome: "created".to_owned(),
            payload_hash: content,
        });
        Birth::Born(self.id)
    }
}
