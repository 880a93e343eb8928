//! Deadlines: events that happen by themselves, if the order is still where it was.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;
use waybill_domain::{Actor, Event, Fields};

use super::core::Core;
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::{DueDeadline, Needs, Unit};

impl Engine {
    /// Lets a deadline that is due happen. Answers whether it did: another process may have been first, or the order moved.
    pub async fn fire(&self, due: DueDeadline) -> Result<bool, EngineError> {
        Ok(self
            .committer
            .submit(Fire {
                core: self.core.clone(),
                due,
            })
            .await?)
    }
}

struct Fire {
    core: Arc<Core>,
    due: DueDeadline,
}

impl Command for Fire {
    type Answer = bool;

    fn needs(&self) -> Needs {
        Needs {
            orders: BTreeSet::from([self.due.order_id]),
            births: self.core.may_succeed(&self.due.event),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> bool {
        let DueDeadline {
            order_id,
            sequence,
            event,
        } = &self.due;
        let armed = unit.orders.get(order_id).and_then(|loaded| loaded.deadline.clone());
        let Some(armed) = armed.filter(|it| it.sequence == *sequence && it.event == *event && it.due_at <= unit.now)
        else {
            return false;
        };
        let event = Event {
            name: event.clone(),
            key: format!("deadline:{sequence}"),
            actor: Actor::system(),
            fields: Fields::new(),
            inferred: false,
            occurred_at: armed.due_at,
        };
        match self.core.apply(unit, *order_id, event, &Json::Null) {
            Ok(_) => true,
            Err(refusal) => {
                // The graph's checks make this impossible for a published version; the deadline must not fire for ever.
                tracing::error!(order.id = %order_id, "the deadline of {order_id} cannot happen: {refusal}");
                if let Some(loaded) = unit.orders.get_mut(order_id) {
                    loaded.deadline = None;
                }
                false
            }
        }
    }
}
