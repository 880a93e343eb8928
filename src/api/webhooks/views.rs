//! What the API and the command line show of subscribers.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::outgoing::{AttemptRow, Delivery, Endpoint, StoredKey, event_id};

/// An endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointView {
    endpoint_id: Uuid,
    url: String,
    description: String,
    /// Null: all.
    event_types: Option<Vec<String>>,
    machine: Option<String>,
    customer_id: Option<String>,
    /// `active` or `disabled`.
    state: String,
    /// `operator`, `gone` (it answered 410) or `failing` (for days).
    disabled_reason: Option<String>,
    disabled_at: Option<DateTime<Utc>>,
    /// Attempts in a row that failed.
    failures: i64,
    failing_since: Option<DateTime<Utc>>,
    /// Left alone until then.
    paused_until: Option<DateTime<Utc>>,
    /// What signs for it now, without secrets.
    keys: Vec<KeyView>,
    created_by: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// A key that signs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyView {
    key_id: Uuid,
    /// `v1` (HMAC-SHA256) or `v1a` (ed25519).
    scheme: String,
    /// Of `v1a`.
    public_key: Option<String>,
    created_at: DateTime<Utc>,
    /// It signs until then.
    expires_at: Option<DateTime<Utc>>,
}

/// A page of endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointList {
    /// Oldest first.
    pub(crate) items: Vec<EndpointView>,
    /// For the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// A new endpoint with its keys, shown once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegisteredView {
    /// The endpoint.
    pub(crate) endpoint: EndpointView,
    /// `whsec_…`: verifies `v1`.
    pub(crate) secret: String,
    /// `whpk_…`: verifies `v1a`.
    pub(crate) public_key: String,
}

/// New keys, shown once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeysView {
    /// `whsec_…`: verifies `v1`.
    pub(crate) secret: String,
    /// `whpk_…`: verifies `v1a`.
    pub(crate) public_key: String,
}

/// An endpoint that is no more.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RemovedView {
    /// Which.
    pub(crate) endpoint_id: Uuid,
}

impl EndpointView {
    /// An endpoint with the keys that sign for it.
    pub(crate) fn new(endpoint: Endpoint, keys: Vec<StoredKey>) -> Self {
        let filter = endpoint.filter;
        Self {
            endpoint_id: endpoint.endpoint_id,
            url: endpoint.url,
            description: endpoint.description,
            event_types: filter.event_types,
            machine: filter.machine,
            customer_id: filter.customer_id,
            state: endpoint.state.as_str().to_owned(),
            disabled_reason: endpoint.disabled_reason,
            disabled_at: endpoint.disabled_at,
            failures: endpoint.failures,
            failing_since: endpoint.failing_since,
            paused_until: endpoint.paused_until,
            keys: keys.into_iter().map(KeyView::from).collect(),
            created_by: endpoint.created_by,
            created_at: endpoint.created_at,
            updated_at: endpoint.updated_at,
        }
    }
}

impl From<StoredKey> for KeyView {
    fn from(key: StoredKey) -> Self {
        Self {
            key_id: key.secret_id,
            scheme: key.scheme,
            public_key: key.public_key,
            created_at: key.created_at,
            expires_at: key.expires_at,
        }
    }
}

/// One event for one endpoint.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    delivery_id: Uuid,
    endpoint_id: Uuid,
    /// Null: a test event.
    delivery_order_id: Option<Uuid>,
    sequence: i64,
    /// As the receiver sees it, the same in every attempt.
    webhook_id: String,
    event_type: String,
    /// `pending`, `delivered` or `failed`.
    state: String,
    /// Since it was last asked for.
    attempts: i64,
    /// When it is tried next.
    next_attempt_at: Option<DateTime<Utc>>,
    /// Why it was not delivered, last time.
    cause: Option<String>,
    created_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
}

impl From<Delivery> for DeliveryView {
    fn from(delivery: Delivery) -> Self {
        let test = || format!("test/{}", delivery.delivery_id);
        let of_order = |order| event_id(order, delivery.sequence);
        Self {
            delivery_id: delivery.delivery_id,
            endpoint_id: delivery.endpoint_id,
            delivery_order_id: delivery.order_id.map(|id| id.0),
            sequence: delivery.sequence,
            webhook_id: delivery.order_id.map_or_else(test, of_order),
            next_attempt_at: (delivery.state == "pending").then_some(delivery.due_at),
            event_type: delivery.event_type,
            state: delivery.state,
            attempts: delivery.attempts,
            cause: delivery.cause,
            created_at: delivery.created_at,
            finished_at: delivery.finished_at,
        }
    }
}

/// A page of deliveries.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryList {
    /// Newest first.
    pub(crate) items: Vec<DeliveryView>,
    /// For the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// A delivery with its attempts.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeliveryHistory {
    /// The delivery.
    #[serde(flatten)]
    pub(crate) delivery: DeliveryView,
    /// Oldest first.
    pub(crate) history: Vec<AttemptView>,
}

/// One attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AttemptView {
    /// Counted from 1 since it was asked for.
    attempt: i64,
    started_at: DateTime<Utc>,
    duration_ms: i64,
    /// Null: nothing was answered.
    status: Option<i64>,
    cause: Option<String>,
    /// The first kilobyte of what was answered.
    response: Option<String>,
}

impl From<AttemptRow> for AttemptView {
    fn from(row: AttemptRow) -> Self {
        Self {
            attempt: row.number,
            started_at: row.started_at,
            duration_ms: row.duration_ms,
            status: row.status,
            cause: row.cause,
            response: row.response,
        }
    }
}

/// What will be told again.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecoveryView {
    /// How many events.
    pub(crate) events: i64,
    /// There are more: ask again.
    pub(crate) more: bool,
}
