//! Events about an order, reported by people and services through the API or a task.

use std::collections::BTreeSet;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value as Json, json};
use waybill_domain::{Actor, Event, EventName, Fields, MachineName, OrderId, Refusal};

use super::core::{Core, text};
use super::{Engine, EngineError};
use crate::store::committer::Command;
use crate::store::record::InboxRow;
use crate::store::{Needs, Unit, digest};

/// An event that somebody reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// About an instance of which machine.
    pub machine: MachineName,
    /// About which.
    pub order_id: OrderId,
    /// Which event.
    pub event: EventName,
    /// What it brings to the graph.
    pub fields: Fields,
    /// What it brings to the engine: for REDELIVERY_ARRANGED `dropoff` and `partner`.
    pub extra: Json,
    /// Who reports.
    pub actor: Actor,
    /// The reporter's key, unique among all that this actor reports.
    pub key: String,
    /// Only if the order is at this revision.
    pub if_revision: Option<i64>,
    /// When it happened, by the reporter; now where nobody says.
    pub occurred_at: Option<DateTime<Utc>>,
}

/// What became of a reported event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It moved the order, which is at this revision now.
    Applied {
        /// The revision that it led to.
        revision: i64,
    },
    /// It was told before, and did then what `Applied` says.
    Repeated {
        /// The revision that it led to.
        revision: i64,
    },
    /// The key was used before for something else.
    KeyReused,
    /// The machine has no such instance.
    NotFound,
    /// The order is at another revision than the reporter thought.
    Moved {
        /// At which.
        revision: i64,
    },
    /// The graph says no.
    Refused(Refusal),
}

impl Engine {
    /// Reports an event about an order. Refusals are answered, not recorded.
    pub async fn report(&self, report: Report) -> Result<Answer, EngineError> {
        Ok(self
            .committer
            .submit(TakeReport {
                core: self.core.clone(),
                report,
            })
            .await?)
    }
}

/// The inbox's name for what is reported.
const SOURCE: &str = "report";

struct TakeReport {
    core: Arc<Core>,
    report: Report,
}

impl TakeReport {
    fn key(&self) -> String {
        let Actor { role, id } = &self.report.actor;
        format!("{role}:{id}:{}", self.report.key)
    }
}

impl TakeReport {
    /// A refusal is an answer; but what the graph wants noted is noted, and what it wants an operator to see is shown to one.
    fn refused(&self, unit: &mut Unit, event: Event, refusal: Refusal, content: Vec<u8>) -> Answer {
        let id = self.report.order_id;
        let revision = match refusal {
            Refusal::Noted { .. } => self.core.note(unit, id, event).map(|noted| noted.revision.0),
            Refusal::ForOperator { .. } => {
                self.core.contradict(unit, id, event, "contradiction");
                None
            }
            _ => None,
        };
        match revision {
            Some(revision) => self.applied(unit, revision, content),
            None => Answer::Refused(refusal),
        }
    }

    fn applied(&self, unit: &mut Unit, revision: i64, content: Vec<u8>) -> Answer {
        unit.writes.inbox.push(InboxRow {
            source: SOURCE,
            key: self.key(),
            order_id: Some(self.report.order_id),
            sequence: Some(revision),
            outcome: "applied".to_owned(),
            payload_hash: content,
        });
        Answer::Applied { revision }
    }
}

impl Command for TakeReport {
    type Answer = Answer;

    fn needs(&self) -> Needs {
        Needs {
            inbox: vec![(SOURCE, self.key())],
            orders: BTreeSet::from([self.report.order_id]),
            numbers: text(&self.report.fields, "partner_order_number").into_iter().collect(),
            births: self.core.may_succeed(&self.report.event),
            ..Needs::default()
        }
    }

    fn run(&self, unit: &mut Unit) -> Answer {
        let report = &self.report;
        let content = digest(&json!([report.order_id, report.event, report.fields, report.extra]));
        if let Some(before) = unit.inbox.get(&(SOURCE, self.key())) {
            return match before.sequence {
                Some(revision) if before.payload_hash == content => Answer::Repeated { revision },
                _ => Answer::KeyReused,
            };
        }
        let about = unit.orders.get(&report.order_id);
        let Some(loaded) = about.filter(|loaded| loaded.machine == report.machine) else {
            return Answer::NotFound;
        };
        let revision = loaded.order.revision.0;
        if report.if_revision.is_some_and(|expected| expected != revision) {
            return Answer::Moved { revision };
        }
        let event = Event {
            name: report.event.clone(),
            key: format!("{SOURCE}:{}", self.key()),
            actor: report.actor.clone(),
            fields: report.fields.clone(),
            inferred: false,
            occurred_at: report.occurred_at.unwrap_or(unit.now),
        };
        let reported = self
            .core
            .graph_in(unit, report.order_id)
            .map(|graph| graph.accept_reported(&event.fields));
        if let Some(Err(refusal)) = reported {
            return Answer::Refused(refusal);
        }
        match self.core.apply(unit, report.order_id, event.clone(), &report.extra) {
            Err(refusal) => self.refused(unit, event, refusal, content),
            Ok(applied) => {
                let revision = applied.transitions.last().map_or(revision, |last| last.revision.0);
                self.applied(unit, revision, content)
            }
        }
    }
}
