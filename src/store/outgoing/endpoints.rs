//! Endpoints: registered, listed, changed, removed.

use chrono::{DateTime, Utc};
use serde_json::json;
use uuid::Uuid;

use super::health::Health;
use super::{Filter, KeptKey, place, sealed};
use crate::store::db::{DbError, Row, Tx, Value};
use crate::store::{Store, sql};

/// Whether an endpoint is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// It is.
    Active,
    /// Not until somebody says so.
    Disabled,
}

impl EndpointState {
    /// As the table and the API write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }
}

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of webhook_endpoints")]
pub struct Endpoint {
    pub endpoint_id: Uuid,
    pub url: String,
    pub description: String,
    pub filter: Filter,
    pub state: EndpointState,
    pub disabled_reason: Option<String>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub failures: i64,
    pub failing_since: Option<DateTime<Utc>>,
    pub paused_until: Option<DateTime<Utc>>,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// An endpoint to be registered.
#[derive(Debug)]
#[expect(missing_docs, reason = "each field is a column of webhook_endpoints")]
pub struct NewEndpoint {
    pub url: String,
    pub description: String,
    pub filter: Filter,
    pub created_by: String,
    pub keys: Vec<KeptKey>,
}

/// What is to be otherwise; what is not named stays.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is a column of webhook_endpoints")]
pub struct Change {
    pub url: Option<String>,
    pub description: Option<String>,
    pub event_types: Option<Option<Vec<String>>>,
    pub machine: Option<Option<String>>,
    pub customer_id: Option<Option<String>>,
    pub active: Option<bool>,
}

const COLUMNS: &str =
    "endpoint_id, url, description, event_types, machine, customer_id, state, disabled_reason, disabled_at,
    failures, failing_since, failed_at, paused_until, created_by, created_at, updated_at FROM webhook_endpoints";

impl Store {
    /// Registers an endpoint with its first keys.
    pub async fn register_endpoint(&self, new: NewEndpoint) -> Result<Endpoint, DbError> {
        let now = self.now().await?;
        let endpoint = Endpoint {
            endpoint_id: super::new_id(),
            url: new.url,
            description: new.description,
            filter: new.filter,
            state: EndpointState::Active,
            disabled_reason: None,
            disabled_at: None,
            failures: 0,
            failing_since: None,
            paused_until: None,
            created_by: new.created_by,
            created_at: now,
            updated_at: now,
        };
        let columns = [
            "endpoint_id",
            "url",
            "description",
            "event_types",
            "machine",
            "customer_id",
            "state",
            "created_by",
            "created_at",
            "updated_at",
        ];
        let row = vec![
            endpoint.endpoint_id.into(),
            self.seal_url(endpoint.endpoint_id, &endpoint.url).into(),
            endpoint.description.as_str().into(),
            types(&endpoint.filter),
            endpoint.filter.machine.clone().into(),
            endpoint.filter.customer_id.clone().into(),
            "active".into(),
            endpoint.created_by.as_str().into(),
            now.into(),
            now.into(),
        ];
        let mut tx = self.db.tx().await?;
        sql::insert(&mut tx, "webhook_endpoints", &columns, vec![row], "").await?;
        self.insert_keys(&mut tx, endpoint.endpoint_id, &new.keys, now).await?;
        tx.commit().await?;
        Ok(endpoint)
    }

    /// One endpoint.
    pub async fn endpoint(&self, id: Uuid) -> Result<Option<Endpoint>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE endpoint_id = $1 AND state <> 'removed'");
        let row = self.db.row(&sql, vec![id.into()]).await?;
        row.map(|row| self.read_endpoint(&row)).transpose()
    }

    /// A page of endpoints, oldest first.
    pub async fn endpoints(&self, after: Option<(DateTime<Utc>, Uuid)>, limit: i64) -> Result<Vec<Endpoint>, DbError> {
        let (at, id) = after.unwrap_or((DateTime::UNIX_EPOCH, Uuid::nil()));
        let sql = format!(
            "SELECT {COLUMNS} WHERE state <> 'removed' AND (created_at, endpoint_id) > ($1, $2)
             ORDER BY created_at, endpoint_id LIMIT $3"
        );
        let rows = self.db.rows(&sql, vec![at.into(), id.into(), limit.into()]).await?;
        rows.iter().map(|row| self.read_endpoint(row)).collect()
    }

    /// Changes an endpoint. Enabled, it begins with a clean slate; disabled, it is told no more of what waits.
    pub async fn change_endpoint(&self, id: Uuid, change: Change) -> Result<Option<Endpoint>, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let Some(mut endpoint) = self.locked_endpoint(&mut tx, id).await? else {
            tx.rollback().await?;
            return Ok(None);
        };
        if let Some(active) = change.active.filter(|active| *active != endpoint.is_active()) {
            set_state(&mut tx, id, if active { None } else { Some("operator") }, now).await?;
            if !active {
                give_up(&mut tx, id, "the endpoint was disabled", now).await?;
            }
        }
        let filter = &mut endpoint.filter;
        filter.event_types = change.event_types.unwrap_or(filter.event_types.take());
        filter.machine = change.machine.unwrap_or(filter.machine.take());
        filter.customer_id = change.customer_id.unwrap_or(filter.customer_id.take());
        let values = vec![
            id.into(),
            self.seal_url(id, &change.url.unwrap_or(endpoint.url)).into(),
            change.description.unwrap_or(endpoint.description).into(),
            types(&endpoint.filter),
            endpoint.filter.machine.into(),
            endpoint.filter.customer_id.into(),
            now.into(),
        ];
        tx.execute(
            "UPDATE webhook_endpoints SET url = $2, description = $3, event_types = $4, machine = $5, customer_id = $6,
             updated_at = $7 WHERE endpoint_id = $1",
            values,
        )
        .await?;
        let changed = self.locked_endpoint(&mut tx, id).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// Removes an endpoint with its keys; what was told it, and how that went, stays. Answers whether there was one.
    pub async fn remove_endpoint(&self, id: Uuid) -> Result<bool, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let Some(endpoint) = self.locked_endpoint(&mut tx, id).await? else {
            tx.rollback().await?;
            return Ok(false);
        };
        if endpoint.is_active() {
            set_state(&mut tx, id, Some("operator"), now).await?;
        }
        give_up(&mut tx, id, "the endpoint was removed", now).await?;
        let removed = "UPDATE webhook_endpoints SET state = 'removed', updated_at = $2 WHERE endpoint_id = $1";
        tx.execute(removed, vec![id.into(), now.into()]).await?;
        let keys = "DELETE FROM webhook_secrets WHERE endpoint_id = $1";
        tx.execute(keys, vec![id.into()]).await?;
        tx.commit().await?;
        Ok(true)
    }

    async fn locked_endpoint(&self, tx: &mut Tx, id: Uuid) -> Result<Option<Endpoint>, DbError> {
        let sql = format!(
            "SELECT {COLUMNS} WHERE endpoint_id = $1 AND state <> 'removed'{}",
            super::lock(tx)
        );
        let rows = tx.rows(&sql, vec![id.into()]).await?;
        rows.first().map(|row| self.read_endpoint(row)).transpose()
    }

    fn read_endpoint(&self, row: &Row) -> Result<Endpoint, DbError> {
        let endpoint_id = row.uuid("endpoint_id")?;
        let id = endpoint_id.to_string();
        let url = self
            .crypt
            .open(place("webhook_endpoints", "url", &id), &row.bytes("url")?);
        Ok(Endpoint {
            endpoint_id,
            url: String::from_utf8_lossy(&url.map_err(sealed)?).into_owned(),
            description: row.text("description")?,
            filter: Filter::of_row(row)?,
            state: match row.text("state")?.as_str() {
                "active" => EndpointState::Active,
                _ => EndpointState::Disabled,
            },
            disabled_reason: row.opt_text("disabled_reason")?,
            disabled_at: row.opt_time("disabled_at")?,
            failures: row.int("failures")?,
            failing_since: row.opt_time("failing_since")?,
            paused_until: row.opt_time("paused_until")?,
            created_by: row.text("created_by")?,
            created_at: row.time("created_at")?,
            updated_at: row.time("updated_at")?,
        })
    }

    fn seal_url(&self, id: Uuid, url: &str) -> Vec<u8> {
        self.crypt
            .seal(place("webhook_endpoints", "url", &id.to_string()), url.as_bytes())
    }
}

impl Endpoint {
    /// Whether it is told.
    pub fn is_active(&self) -> bool {
        self.state == EndpointState::Active
    }
}

/// Disables an endpoint for that reason, or enables it where there is none.
pub(super) async fn set_state(
    tx: &mut Tx,
    id: Uuid,
    disabled: Option<&str>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let state = if disabled.is_some() { "disabled" } else { "active" };
    let values: Vec<Value> = vec![
        id.into(),
        state.into(),
        disabled.map(str::to_owned).into(),
        disabled.map(|_| now).into(),
        now.into(),
    ];
    tx.execute(
        "UPDATE webhook_endpoints SET state = $2, disabled_reason = $3, disabled_at = $4, updated_at = $5 WHERE endpoint_id = $1",
        values,
    )
    .await?;
    if disabled.is_none() {
        write_health(tx, id, &Health::default()).await?;
    }
    Ok(())
}

/// Ends what waits for an endpoint: it can be told again from the log.
pub(super) async fn give_up(tx: &mut Tx, id: Uuid, cause: &str, now: DateTime<Utc>) -> Result<u64, DbError> {
    tx.execute(
        "UPDATE webhook_deliveries SET state = 'failed', finished_at = $3, cause = $2, lease_id = NULL, lease_until = NULL
         WHERE endpoint_id = $1 AND state = 'pending'",
        vec![id.into(), cause.into(), now.into()],
    )
    .await
}

pub(super) async fn write_health(tx: &mut Tx, id: Uuid, health: &Health) -> Result<(), DbError> {
    let values = vec![
        id.into(),
        health.failures.into(),
        health.failing_since.into(),
        health.failed_at.into(),
        health.paused_until.into(),
    ];
    tx.execute(
        "UPDATE webhook_endpoints SET failures = $2, failing_since = $3, failed_at = $4, paused_until = $5 WHERE endpoint_id = $1",
        values,
    )
    .await?;
    Ok(())
}

pub(super) fn health(row: &Row) -> Result<Health, DbError> {
    Ok(Health {
        failures: row.int("failures")?,
        failing_since: row.opt_time("failing_since")?,
        failed_at: row.opt_time("failed_at")?,
        paused_until: row.opt_time("paused_until")?,
    })
}

fn types(filter: &Filter) -> Value {
    Value::Json(filter.event_types.as_ref().map(|types| json!(types)))
}
