//! Codes of contactless handovers: kept as keyed digests, tried five times at most.

use chrono::{DateTime, Utc};
use serde_json::json;
use subtle::ConstantTimeEq as _;
use waybill_domain::OrderId;

use super::db::{DbError, Row, Tx};
use super::record::Case;
use super::{Store, cases, sql};

/// Wrong codes that are heard out; after them an operator decides.
pub const TRIES: i64 = 5;

/// A code to keep.
#[derive(Debug, Clone)]
pub struct NewCode {
    /// Of which order.
    pub order_id: OrderId,
    /// SHA-256 of the token of the customer's page.
    pub token_hash: Vec<u8>,
    /// Sequence of the transition that the code was made for.
    pub sequence: i64,
    /// Keyed digest of the code.
    pub code_digest: Vec<u8>,
    /// It is worth nothing after that.
    pub expires_at: DateTime<Utc>,
}

/// A code as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of handover_codes")]
pub struct HandoverCode {
    pub order_id: OrderId,
    pub sequence: i64,
    pub code_digest: Vec<u8>,
    pub wrong: i64,
    pub verified_at: Option<DateTime<Utc>>,
    pub expires_at: DateTime<Utc>,
}

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// It is the code.
    Right,
    /// It is not; so many tries are left.
    Wrong(i64),
    /// It was tried too often: no code is heard any more.
    Locked,
    /// The order has no code, or its time is over.
    Unknown,
}

const COLUMNS: &str = "order_id, sequence, code_digest, wrong, verified_at, expires_at FROM handover_codes";

impl Store {
    /// Keeps a code. Made again for the same order, it takes the place of the former; tries that were used up stay so.
    pub async fn keep_code(&self, code: NewCode) -> Result<(), DbError> {
        let now = self.now().await?;
        let columns = [
            "order_id",
            "token_hash",
            "sequence",
            "code_digest",
            "expires_at",
            "created_at",
        ];
        let row = vec![
            code.order_id.0.into(),
            code.token_hash.into(),
            code.sequence.into(),
            code.code_digest.into(),
            code.expires_at.into(),
            now.into(),
        ];
        let again =
            " ON CONFLICT (order_id) DO UPDATE SET token_hash = excluded.token_hash, sequence = excluded.sequence,
            code_digest = excluded.code_digest";
        let mut tx = self.db.tx().await?;
        sql::insert(&mut tx, "handover_codes", &columns, vec![row], again).await?;
        tx.commit().await
    }

    /// The code that a customer's page shows.
    pub async fn code_of_page(&self, token_hash: &[u8]) -> Result<Option<HandoverCode>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE token_hash = $1");
        let row = self.db.row(&sql, vec![token_hash.to_vec().into()]).await?;
        row.as_ref().map(code).transpose()
    }

    /// The code of an order.
    pub async fn code_of_order(&self, order_id: OrderId) -> Result<Option<HandoverCode>, DbError> {
        let sql = format!("SELECT {COLUMNS} WHERE order_id = $1");
        let row = self.db.row(&sql, vec![order_id.0.into()]).await?;
        row.as_ref().map(code).transpose()
    }

    /// Tries a code, by the digests that it has under our keys. The fifth wrong one opens an operator case, in the same
    /// transaction; who tries at the same time waits, so that nobody has more tries than that.
    pub async fn try_code(&self, order_id: OrderId, digests: &[Vec<u8>]) -> Result<Tried, DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let sql = format!("SELECT {COLUMNS} WHERE order_id = $1{}", tx.for_update());
        let rows = tx.rows(&sql, vec![order_id.0.into()]).await?;
        let known = rows.first().map(code).transpose()?;
        let Some(known) = known.filter(|known| known.expires_at > now) else {
            tx.rollback().await?;
            return Ok(Tried::Unknown);
        };
        let right = digests.iter().fold(false, |found, digest| {
            bool::from(known.code_digest.ct_eq(digest)) | found
        });
        let tried = match (known.wrong >= TRIES, right) {
            (true, _) => Tried::Locked,
            (false, true) => {
                let verified = "UPDATE handover_codes SET verified_at = COALESCE(verified_at, $2) WHERE order_id = $1";
                tx.execute(verified, vec![order_id.0.into(), now.into()]).await?;
                Tried::Right
            }
            (false, false) => {
                let counted = "UPDATE handover_codes SET wrong = wrong + 1 WHERE order_id = $1";
                tx.execute(counted, vec![order_id.0.into()]).await?;
                Tried::Wrong(TRIES - known.wrong - 1)
            }
        };
        if tried == Tried::Wrong(0) {
            open_case(&mut tx, order_id, "WRONG_CODE", now).await?;
        }
        tx.commit().await?;
        Ok(tried)
    }

    /// The code was right, and the order does not take the customer's yes: an operator looks at it.
    pub async fn open_handover_case(&self, order_id: OrderId, reason: &str) -> Result<(), DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        open_case(&mut tx, order_id, reason, now).await?;
        tx.commit().await
    }
}

async fn open_case(tx: &mut Tx, order_id: OrderId, reason: &str, now: DateTime<Utc>) -> Result<(), DbError> {
    let subject = format!("handover-code:{order_id}:{reason}");
    let case = Case::opened("handover-code", subject, reason, json!({ "tries": TRIES }), now);
    cases::open(tx, vec![case.about(order_id)]).await
}

fn code(row: &Row) -> Result<HandoverCode, DbError> {
    Ok(HandoverCode {
        order_id: OrderId(row.uuid("order_id")?),
        sequence: row.int("sequence")?,
        code_digest: row.bytes("code_digest")?,
        wrong: row.int("wrong")?,
        verified_at: row.opt_time("verified_at")?,
        expires_at: row.time("expires_at")?,
    })
}
