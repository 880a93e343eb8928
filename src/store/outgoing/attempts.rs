//! How attempts went: written many at once, with what follows for the delivery and for its endpoint.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use uuid::Uuid;

use super::endpoints::{give_up, health, set_state, write_health};
use super::health::Health;
use super::{Claimed, place};
use crate::store::db::{DbError, Tx, Value};
use crate::store::record::Case;
use crate::store::{Store, cases, sql};

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The endpoint has taken it.
    Delivered,
    /// It has not.
    Failed {
        /// When it is tried again; never where none is given.
        again: Option<TimeDelta>,
        /// How long the endpoint asked to be left alone.
        asked: Option<TimeDelta>,
    },
    /// The endpoint wants nothing any more (410).
    Gone,
}

/// An attempt that ended.
#[derive(Debug, Clone)]
pub struct Attempted {
    /// What was sent.
    pub claimed: Claimed,
    /// How it ended.
    pub verdict: Verdict,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// How long it took, in milliseconds.
    pub duration_ms: i64,
    /// The status that was answered.
    pub status: Option<i64>,
    /// Why it failed, for people.
    pub cause: Option<String>,
    /// The first kilobyte that was answered.
    pub response: Option<Vec<u8>>,
}

/// Why an endpoint is told no more.
struct Disabled {
    reason: &'static str,
    cause: &'static str,
}

const GONE: Disabled = Disabled {
    reason: "gone",
    cause: "the endpoint answered 410 and was disabled",
};
const FAILING: Disabled = Disabled {
    reason: "failing",
    cause: "the endpoint has failed for days and was disabled",
};

impl Store {
    /// Writes how attempts went. Whoever has lost the lease meanwhile changes nothing but the list of attempts.
    pub async fn record_attempts(&self, ended: &[Attempted]) -> Result<(), DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        // Endpoints first and in order, so that two processes wait for each other and never in a circle.
        let mut healths = BTreeMap::new();
        for attempt in ended {
            healths.insert(attempt.claimed.endpoint_id, None);
        }
        for (endpoint, known) in &mut healths {
            *known = locked_health(&mut tx, *endpoint).await?;
        }
        settle(&mut tx, ended, now).await?;
        self.insert_attempts(&mut tx, ended).await?;
        for (endpoint, known) in healths {
            if let Some(health) = known {
                let ended = ended.iter().filter(|it| it.claimed.endpoint_id == endpoint);
                follow(&mut tx, endpoint, health, ended, now).await?;
            }
        }
        tx.commit().await
    }

    async fn insert_attempts(&self, tx: &mut Tx, ended: &[Attempted]) -> Result<(), DbError> {
        let columns = [
            "attempt_id",
            "delivery_id",
            "number",
            "started_at",
            "duration_ms",
            "status",
            "cause",
            "response",
        ];
        let rows = ended.iter().map(|it| {
            let id = super::new_id();
            let row = id.to_string();
            let seal = |plain: &Vec<u8>| self.crypt.seal(place("webhook_attempts", "response", &row), plain);
            vec![
                id.into(),
                it.claimed.delivery_id.into(),
                (it.claimed.attempts + 1).into(),
                it.started_at.into(),
                it.duration_ms.into(),
                it.status.into(),
                it.cause.clone().into(),
                it.response.as_ref().map(seal).into(),
            ]
        });
        sql::insert(tx, "webhook_attempts", &columns, rows.collect(), "").await?;
        Ok(())
    }
}

async fn locked_health(tx: &mut Tx, endpoint: Uuid) -> Result<Option<Health>, DbError> {
    let sql = format!(
        "SELECT failures, failing_since, failed_at, paused_until FROM webhook_endpoints
         WHERE endpoint_id = $1 AND state = 'active'{}",
        super::lock(tx)
    );
    tx.rows(&sql, vec![endpoint.into()])
        .await?
        .first()
        .map(health)
        .transpose()
}

async fn settle(tx: &mut Tx, ended: &[Attempted], now: DateTime<Utc>) -> Result<(), DbError> {
    let rows = ended.iter().map(|it| settled(it, now)).collect();
    sql::with_values(
        tx,
        "UPDATE webhook_deliveries SET state = v.column3, attempts = v.column4, due_at = v.column5, finished_at = v.column6,
         cause = v.column7, lease_id = NULL, lease_until = NULL FROM",
        rows,
        "AS v WHERE webhook_deliveries.delivery_id = v.column1 AND webhook_deliveries.lease_id = v.column2
         AND webhook_deliveries.state = 'pending'",
    )
    .await?;
    Ok(())
}

fn settled(it: &Attempted, now: DateTime<Utc>) -> Vec<Value> {
    let (state, due_at) = match it.verdict {
        Verdict::Delivered => ("delivered", None),
        Verdict::Failed { again: Some(again), .. } => ("pending", Some(now + again)),
        Verdict::Failed { again: None, .. } | Verdict::Gone => ("failed", None),
    };
    vec![
        it.claimed.delivery_id.into(),
        it.claimed.lease_id.into(),
        state.into(),
        (it.claimed.attempts + 1).into(),
        due_at.unwrap_or(now).into(),
        Value::Time((state != "pending").then_some(now)),
        it.cause.clone().into(),
    ]
}

/// What the attempts mean for their endpoint.
async fn follow<'a>(
    tx: &mut Tx,
    endpoint: Uuid,
    mut health: Health,
    ended: impl Iterator<Item = &'a Attempted>,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    let before = health.clone();
    let mut gone = false;
    for attempt in ended {
        match attempt.verdict {
            Verdict::Delivered => health.succeed(),
            Verdict::Failed { asked, .. } => health.fail(now, asked),
            Verdict::Gone => gone = true,
        }
    }
    if health != before {
        write_health(tx, endpoint, &health).await?;
    }
    if gone {
        disable(tx, endpoint, &GONE, &health, now).await?;
    } else if health.is_hopeless(now) {
        disable(tx, endpoint, &FAILING, &health, now).await?;
    }
    Ok(())
}

async fn disable(
    tx: &mut Tx,
    endpoint: Uuid,
    why: &Disabled,
    health: &Health,
    now: DateTime<Utc>,
) -> Result<(), DbError> {
    set_state(tx, endpoint, Some(why.reason), now).await?;
    let untold = give_up(tx, endpoint, why.cause, now).await?;
    let detail = json!({
        "endpoint_id": endpoint,
        "cause": why.cause,
        "failing_since": health.failing_since,
        "untold": untold,
    });
    // Disabled again after it was enabled, it is a case again.
    let subject = format!("webhook-endpoint:{endpoint}:{}", now.timestamp_micros());
    let reason = why.reason.to_uppercase();
    let case = Case::opened("webhook-endpoint-disabled", subject, &reason, detail, now);
    cases::open(tx, vec![case]).await
}
