//! Operator cases, confirmation tokens and callbacks to read.

use uuid::Uuid;

use super::db::{DbError, Tx, Value};
use super::record::{Callback, Case, Effect, Token};
use super::rows::{CALLBACK_COLUMNS, CASE_COLUMNS, EFFECT_COLUMNS, callback, case, effect, token};
use super::{Store, sql};

/// Which cases.
#[derive(Debug, Clone, Copy, Default)]
pub struct CaseFilter {
    /// Only open ones (true) or only closed ones (false).
    pub open: Option<bool>,
    /// At most.
    pub limit: i64,
}

impl Store {
    /// Cases, oldest first.
    pub async fn cases(&self, filter: CaseFilter) -> Result<Vec<Case>, DbError> {
        let clause = match filter.open {
            None => "",
            Some(true) => "WHERE closed_at IS NULL",
            Some(false) => "WHERE closed_at IS NOT NULL",
        };
        let sql = format!("SELECT {CASE_COLUMNS} FROM operator_cases {clause} ORDER BY opened_at, case_id LIMIT $1");
        self.db
            .rows(&sql, vec![filter.limit.into()])
            .await?
            .iter()
            .map(case)
            .collect()
    }

    /// One case.
    pub async fn case(&self, id: Uuid) -> Result<Option<Case>, DbError> {
        let sql = format!("SELECT {CASE_COLUMNS} FROM operator_cases WHERE case_id = $1");
        self.db.row(&sql, vec![id.into()]).await?.as_ref().map(case).transpose()
    }

    /// How many cases are open.
    pub async fn count_open_cases(&self) -> Result<i64, DbError> {
        let row = self
            .db
            .row(
                "SELECT COUNT(*) AS count FROM operator_cases WHERE closed_at IS NULL",
                vec![],
            )
            .await?;
        row.map_or(Ok(0), |row| row.int("count"))
    }

    /// How many cases of each kind are open.
    pub async fn count_open_kinds(&self) -> Result<Vec<(String, i64)>, DbError> {
        let sql =
            "SELECT kind, COUNT(*) AS count FROM operator_cases WHERE closed_at IS NULL GROUP BY kind ORDER BY kind";
        let rows = self.db.rows(sql, vec![]).await?;
        rows.iter()
            .map(|row| Ok((row.text("kind")?, row.int("count")?)))
            .collect()
    }

    /// One effect.
    pub async fn effect(&self, id: Uuid) -> Result<Option<Effect>, DbError> {
        let sql = format!("SELECT {EFFECT_COLUMNS} FROM effects WHERE effect_id = $1");
        self.db
            .row(&sql, vec![id.into()])
            .await?
            .as_ref()
            .map(effect)
            .transpose()
    }

    /// One callback.
    pub async fn callback(&self, id: Uuid) -> Result<Option<Callback>, DbError> {
        let sql = format!("SELECT {CALLBACK_COLUMNS} FROM callbacks WHERE callback_id = $1");
        self.db
            .row(&sql, vec![id.into()])
            .await?
            .as_ref()
            .map(callback)
            .transpose()
    }

    /// How many callbacks are in each state.
    pub async fn count_callbacks(&self) -> Result<Vec<(String, i64)>, DbError> {
        let rows = self
            .db
            .rows(
                "SELECT state, COUNT(*) AS count FROM callbacks GROUP BY state ORDER BY state",
                vec![],
            )
            .await?;
        rows.iter()
            .map(|row| Ok((row.text("state")?, row.int("count")?)))
            .collect()
    }

    /// A customer's token by its hash.
    pub async fn token(&self, hash: &[u8]) -> Result<Option<Token>, DbError> {
        let sql =
            "SELECT token_hash, order_id, sequence, purpose, expires_at, answer, answered_at FROM confirmation_tokens
                   WHERE token_hash = $1";
        self.db
            .row(sql, vec![Value::from(hash.to_vec())])
            .await?
            .as_ref()
            .map(token)
            .transpose()
    }
}

/// Opens cases; what one is about already is left as it is.
pub(super) async fn open(tx: &mut Tx, cases: Vec<Case>) -> Result<(), DbError> {
    let columns = [
        "case_id",
        "kind",
        "subject",
        "order_id",
        "reason",
        "detail",
        "opened_at",
    ];
    let row = |it: Case| {
        vec![
            it.case_id.into(),
            it.kind.into(),
            it.subject.into(),
            it.order_id.map(|id| id.0).into(),
            it.reason.into(),
            it.detail.into(),
            it.opened_at.into(),
        ]
    };
    let rows = cases.into_iter().map(row).collect();
    let once = " ON CONFLICT (subject) DO NOTHING";
    sql::insert(tx, "operator_cases", &columns, rows, once).await.map(drop)
}
