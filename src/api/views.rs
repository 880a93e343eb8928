//! What the API shows, in the shapes that docs and clients know.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Json;
use utoipa::ToSchema;
use uuid::Uuid;
use waybill_domain::{Actor, DeliveryOrder, FieldName, FieldValue, Graph, Role};

use crate::store::record::{Armed, Case};
use crate::store::{LogEntry, Stored};

/// A delivery order.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each field is named and described in interfaces: HTTP")]
pub struct OrderView {
    pub delivery_order_id: Uuid,
    pub ordering_id: String,
    pub customer_id: String,
    pub payment_id: String,
    /// Counted from 1 per ordering.
    pub attempt: i64,
    pub predecessor_id: Option<Uuid>,
    pub successor_id: Option<Uuid>,
    pub machine: String,
    pub graph_version: u32,
    pub state: String,
    /// `success`, `failure` or `cancelled` once it has ended.
    pub outcome: Option<String>,
    /// How many log rows it has; the ETag.
    pub revision: i64,
    pub partner: Option<String>,
    pub partner_booking_id: Option<String>,
    pub partner_order_number: Option<String>,
    pub failure_reason: Option<String>,
    /// `customer`, `system` or `operator`.
    pub confirmed_by: Option<String>,
    #[schema(value_type = Vec<Object>)]
    pub items: Json,
    #[schema(value_type = Object)]
    pub pickup: Json,
    #[schema(value_type = Object)]
    pub dropoff: Json,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deadline: Option<DeadlineView>,
}

/// What happens by itself, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub struct DeadlineView {
    pub event: String,
    pub at: DateTime<Utc>,
}

impl From<Armed> for DeadlineView {
    fn from(armed: Armed) -> Self {
        Self {
            event: armed.event.to_string(),
            at: armed.due_at,
        }
    }
}

impl From<Stored> for OrderView {
    fn from(stored: Stored) -> Self {
        let Stored {
            loaded,
            record,
            pickup,
            dropoff,
            updated_at,
        } = stored;
        let order = loaded.order;
        Self {
            delivery_order_id: order.id.0,
            ordering_id: record.ordering_id,
            customer_id: record.customer_id,
            payment_id: record.payment_id,
            attempt: record.attempt,
            predecessor_id: record.predecessor_id.map(|id| id.0),
            successor_id: record.successor_id.map(|id| id.0),
            machine: loaded.machine.to_string(),
            graph_version: order.graph_version.0,
            state: order.state.to_string(),
            outcome: record.outcome,
            revision: order.revision.0,
            partner: record.partner,
            partner_booking_id: record.partner_booking_id,
            partner_order_number: record.partner_order_number,
            failure_reason: record.failure_reason,
            confirmed_by: record.confirmed_by,
            items: record.items,
            pickup,
            dropoff,
            created_at: loaded.created_at,
            updated_at,
            deadline: loaded.deadline.map(DeadlineView::from),
        }
    }
}

/// A page of orders.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct OrderPage {
    /// In the order of their last change.
    pub items: Vec<OrderView>,
    /// For the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// Who reported an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub struct ActorView {
    #[schema(value_type = String)]
    pub role: Role,
    pub id: String,
}

impl From<Actor> for ActorView {
    fn from(actor: Actor) -> Self {
        Self {
            role: actor.role,
            id: actor.id,
        }
    }
}

/// A row of an order's log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "each field is named and described in interfaces: HTTP")]
pub struct LogRowView {
    pub sequence: i64,
    /// `born`, `moved`, `noted` or `migrated`.
    pub kind: &'static str,
    pub event: String,
    pub actor: ActorView,
    pub from: Option<String>,
    pub to: String,
    #[schema(value_type = Object)]
    pub fields: BTreeMap<FieldName, FieldValue>,
    /// Concluded from a later fact, not reported.
    pub inferred: bool,
    /// By the reporter's clock.
    pub occurred_at: DateTime<Utc>,
    pub recorded_at: DateTime<Utc>,
    /// SHA-256 over this row and the hash before, in hexadecimal.
    pub hash: String,
}

impl From<LogEntry> for LogRowView {
    fn from(entry: LogEntry) -> Self {
        let row = entry.transition;
        Self {
            sequence: row.revision.0,
            kind: row.change.as_str(),
            event: row.event.to_string(),
            actor: row.actor.into(),
            from: row.from.map(|state| state.to_string()),
            to: row.to.to_string(),
            fields: row.fields,
            inferred: row.inferred,
            occurred_at: row.occurred_at,
            recorded_at: row.at,
            hash: hex::encode(entry.hash),
        }
    }
}

/// What last moved an order: who was first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub struct LastMove {
    pub event: String,
    pub actor: ActorView,
    pub at: DateTime<Utc>,
}

impl From<LogEntry> for LastMove {
    fn from(entry: LogEntry) -> Self {
        let row = entry.transition;
        Self {
            event: row.event.to_string(),
            actor: row.actor.into(),
            at: row.at,
        }
    }
}

/// An event that may move an order from where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub struct AllowedEvent {
    pub event: String,
    pub to: String,
    /// Who may report it.
    #[schema(value_type = Vec<String>)]
    pub roles: Vec<Role>,
    /// Fields that its reporter has to bring: those that the order does not know yet.
    pub requires: Vec<String>,
}

/// What may move this order, by its own version of the graph.
pub fn allowed_events(graph: Option<&Graph>, order: &DeliveryOrder) -> Vec<AllowedEvent> {
    let Some(state) = graph.and_then(|graph| graph.state(order.state.as_str())) else {
        return vec![];
    };
    let is_known = |name: &&FieldName| order.fields.get(*name).is_some_and(FieldValue::says_something);
    let edges = state.edges.values().map(|edge| AllowedEvent {
        event: edge.event.to_string(),
        to: edge.to.to_string(),
        roles: edge.actors.iter().copied().collect(),
        requires: edge
            .asks()
            .iter()
            .filter(|name| !is_known(name))
            .map(ToString::to_string)
            .collect(),
    });
    edges.collect()
}

/// An operator case.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[expect(missing_docs, reason = "the words say it")]
pub struct CaseView {
    pub case_id: Uuid,
    /// Such as `pending` or `goods-at-large`.
    pub kind: String,
    pub reason: String,
    #[schema(value_type = Object)]
    pub detail: Json,
    /// How long it has been open, or was.
    pub age_seconds: i64,
    pub opened_at: DateTime<Utc>,
    pub claimed_by: Option<String>,
    pub claimed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<String>,
    pub closed_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
    /// What it is about, where that is an instance of any machine.
    pub instance_id: Option<Uuid>,
    /// The same, where that is a delivery order.
    pub order: Option<OrderView>,
}

impl CaseView {
    /// A case at an instant, with its order.
    pub fn new(case: Case, order: Option<OrderView>, now: DateTime<Utc>) -> Self {
        let age = case.closed_at.unwrap_or(now) - case.opened_at;
        Self {
            case_id: case.case_id,
            kind: case.kind,
            reason: case.reason,
            detail: case.detail,
            age_seconds: age.num_seconds().max(0),
            opened_at: case.opened_at,
            claimed_by: case.claimed_by,
            claimed_at: case.claimed_at,
            closed_by: case.closed_by,
            closed_at: case.closed_at,
            note: case.note,
            instance_id: case.order_id.map(|id| id.0),
            order,
        }
    }
}

/// A page of operator cases.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CaseList {
    /// Oldest first.
    pub items: Vec<CaseView>,
    /// For the next page; null on the last.
    pub next_cursor: Option<String>,
}
