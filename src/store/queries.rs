//! Reads that only the API asks: answers to a write, and pages of operator cases.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::Store;
use super::db::{DbError, Value};
use super::orders::{LOG_COLUMNS, LogEntry, Stored, log_entry};
use super::record::Case;
use super::rows::ORDER_COLUMNS;
use super::rows::{CASE_COLUMNS, case};

/// Which cases, and from where on.
#[derive(Debug, Clone, Copy, Default)]
pub struct CasePage {
    /// Only open ones (true) or only closed ones (false).
    pub open: Option<bool>,
    /// Only what comes after this one, in the order of (opened, id).
    pub after: Option<(DateTime<Utc>, Uuid)>,
    /// At most.
    pub limit: i64,
}

impl Store {
    /// One delivery order, as the last commit left it.
    pub async fn latest_order(&self, id: OrderId) -> Result<Option<Stored>, DbError> {
        let order = format!("SELECT {ORDER_COLUMNS} WHERE i.id = $1");
        let order = self.db().rows(&order, vec![id.0.into()]).await?;
        order.first().map(|row| self.stored(row)).transpose()
    }

    /// What last moved an instance.
    pub async fn last_move(&self, id: OrderId) -> Result<Option<LogEntry>, DbError> {
        let moved = format!(
            "SELECT {LOG_COLUMNS} FROM transitions WHERE order_id = $1 AND kind IN ('born', 'moved') ORDER BY sequence DESC LIMIT 1"
        );
        let moved = self.db().rows(&moved, vec![id.0.into()]).await?;
        moved.first().map(log_entry).transpose()
    }

    /// Several orders at once.
    pub async fn orders_by_id(&self, ids: BTreeSet<OrderId>) -> Result<HashMap<OrderId, Stored>, DbError> {
        let Some(last) = ids.last().copied() else {
            return Ok(HashMap::new());
        };
        // Few sizes, so that few statements are prepared.
        let size = ids.len().next_power_of_two();
        let mut keys: Vec<Value> = ids.into_iter().map(|id| id.0.into()).collect();
        keys.resize(size, last.0.into());
        let places: Vec<String> = (1..=size).map(|place| format!("${place}")).collect();
        let query = format!("SELECT {ORDER_COLUMNS} WHERE i.id IN ({})", places.join(", "));
        let rows = self.db().rows(&query, keys).await?;
        rows.iter()
            .map(|row| self.stored(row).map(|stored| (stored.loaded.order.id, stored)))
            .collect()
    }

    /// Asks the database for nothing.
    pub async fn ping(&self) -> Result<(), DbError> {
        self.db().row("SELECT 1 AS one", vec![]).await.map(drop)
    }

    /// A page of cases, oldest first.
    pub async fn case_page(&self, page: CasePage) -> Result<Vec<Case>, DbError> {
        let mut clauses = vec!["1 = 1".to_owned()];
        let mut values: Vec<Value> = Vec::new();
        match page.open {
            None => {}
            Some(true) => clauses.push("closed_at IS NULL".to_owned()),
            Some(false) => clauses.push("closed_at IS NOT NULL".to_owned()),
        }
        if let Some((at, id)) = page.after {
            values.extend([at.into(), id.into()]);
            clauses.push("(opened_at, case_id) > ($1, $2)".to_owned());
        }
        values.push(page.limit.into());
        let query = format!(
            "SELECT {CASE_COLUMNS} FROM operator_cases WHERE {} ORDER BY opened_at, case_id LIMIT ${}",
            clauses.join(" AND "),
            values.len()
        );
        self.db().rows(&query, values).await?.iter().map(case).collect()
    }
}
