//! What partners told, by what it was: to list, to count, and to apply again. And what claimed to be theirs and was not.

use chrono::{DateTime, Utc};
use uuid::Uuid;
use waybill_domain::OrderId;

use super::db::{DbError, Row, Value};
use super::record::{Callback, CallbackState};
use super::rows::undecodable;
use super::{CryptError, Place, Store, sql};

/// What a callback was, in an operator's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disposition {
    /// Stored and answered; applied, or about to be.
    Accepted,
    /// It came before its turn, and waits or waited for it.
    Early,
    /// It told what was told before: under its own id, or in other words.
    Duplicate,
    /// It came after its turn.
    Stale,
    /// It moves nothing, and was recorded.
    Noted,
    /// It is not understood.
    Unmapped,
    /// Its order is not known.
    Orphan,
    /// It contradicts what is known.
    Conflict,
    /// It came early and its turn never came.
    Unresolved,
    /// It was not believed.
    Rejected,
}

impl Disposition {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Accepted,
        Self::Early,
        Self::Duplicate,
        Self::Stale,
        Self::Noted,
        Self::Unmapped,
        Self::Orphan,
        Self::Conflict,
        Self::Unresolved,
        Self::Rejected,
    ];

    /// The word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Early => "early",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Noted => "noted",
            Self::Unmapped => "unmapped",
            Self::Orphan => "orphan",
            Self::Conflict => "conflict",
            Self::Unresolved => "unresolved",
            Self::Rejected => "rejected",
        }
    }

    /// What a stored callback in this state is.
    pub fn of(state: CallbackState) -> Self {
        match state {
            CallbackState::Received | CallbackState::Applied => Self::Accepted,
            CallbackState::Parked => Self::Early,
            CallbackState::Duplicate => Self::Duplicate,
            CallbackState::Stale => Self::Stale,
            CallbackState::Noted => Self::Noted,
            CallbackState::Unmapped => Self::Unmapped,
            CallbackState::Orphan => Self::Orphan,
            CallbackState::Conflict => Self::Conflict,
            CallbackState::Unresolved => Self::Unresolved,
        }
    }

    /// Which rows of `callbacks` it finds. Who asks for what came early or came again wants also what was settled since.
    fn condition(self) -> &'static str {
        match self {
            Self::Accepted => "state IN ('received', 'applied')",
            Self::Early => "parked_at IS NOT NULL",
            Self::Duplicate => "(state = 'duplicate' OR repeats > 0)",
            Self::Stale => "state = 'stale'",
            Self::Noted => "state = 'noted'",
            Self::Unmapped => "state = 'unmapped'",
            Self::Orphan => "state = 'orphan'",
            Self::Conflict => "state = 'conflict'",
            Self::Unresolved => "state = 'unresolved'",
            Self::Rejected => "1 = 0",
        }
    }
}

impl std::str::FromStr for Disposition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == text);
        found.ok_or_else(|| format!("expected one of {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// Which callbacks, newest first.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "each field is a column of the listing")]
pub struct CallbackFilter {
    pub disposition: Option<Disposition>,
    pub partner: Option<String>,
    pub event_id: Option<String>,
    pub order_id: Option<OrderId>,
    pub received_after: Option<DateTime<Utc>>,
    /// Only attempts that somebody asked for (true), or only what partners sent (false).
    pub replays: Option<bool>,
    /// Only what comes after this one.
    pub after: Option<Uuid>,
    pub limit: i64,
}

impl CallbackFilter {
    /// Whether it says anything of what a callback is.
    pub fn is_narrowed(&self) -> bool {
        self.disposition.is_some()
            || self.partner.is_some()
            || self.event_id.is_some()
            || self.order_id.is_some()
            || self.received_after.is_some()
    }
}

/// A callback, without what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of callbacks or rejected_callbacks")]
pub struct Heard {
    pub callback_id: Uuid,
    pub disposition: Disposition,
    /// None for a rejected one, which has no state.
    pub state: Option<CallbackState>,
    pub partner: String,
    pub event_id: Option<String>,
    pub key_id: Option<String>,
    pub received_at: DateTime<Utc>,
    pub detail: Option<String>,
    pub order_id: Option<OrderId>,
    pub parked_at: Option<DateTime<Utc>>,
    pub parked_until: Option<DateTime<Utc>>,
    pub settled_at: Option<DateTime<Utc>>,
    pub repeats: i64,
    pub repeated_at: Option<DateTime<Utc>>,
    pub replay_of: Option<Uuid>,
    pub replayed_by: Option<String>,
    /// Of a rejected one: where it came from, and its body's size and digest.
    pub address: Option<String>,
    pub size: Option<i64>,
    pub sha256: Option<Vec<u8>>,
}

/// A request that was not believed. Nothing of what it said is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of rejected_callbacks")]
pub struct Rejected {
    pub rejection_id: Uuid,
    pub partner: String,
    pub reason: String,
    pub event_id: Option<String>,
    pub address: Option<String>,
    pub size: Option<i64>,
    pub sha256: Option<Vec<u8>>,
}

const COLUMNS: &str =
    "callback_id, partner, event_id, key_id, received_at, state, detail, order_id, parked_at, parked_until,
    settled_at, repeats, repeated_at, replay_of, replayed_by";

/// Clauses of a query, and the values that they name.
struct Clauses(Vec<String>, Vec<Value>);

impl Clauses {
    fn new(first: &str) -> Self {
        Self(vec![first.to_owned()], Vec::new())
    }

    fn with(&mut self, clause: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.1.push(value.into());
            self.0.push(format!("{clause} ${}", self.1.len()));
        }
    }

    /// The statement, with its limit.
    fn query(mut self, select: &str, order: &str, limit: i64) -> (String, Vec<Value>) {
        self.1.push(limit.into());
        let place = self.1.len();
        (
            format!(
                "{select} WHERE {} ORDER BY {order} DESC LIMIT ${place}",
                self.0.join(" AND ")
            ),
            self.1,
        )
    }
}

impl Store {
    /// Callbacks, newest first. Those that were not believed are listed where they are asked for.
    pub async fn heard(&self, filter: &CallbackFilter) -> Result<Vec<Heard>, DbError> {
        if filter.disposition == Some(Disposition::Rejected) {
            return self.rejected(filter).await;
        }
        let mut clauses = Clauses::new(filter.disposition.map_or("1 = 1", Disposition::condition));
        clauses.with("partner =", filter.partner.clone());
        clauses.with("event_id =", filter.event_id.clone());
        clauses.with("order_id =", filter.order_id.map(|id| id.0));
        clauses.with("received_at >", filter.received_after);
        // Their ids are in the order of time.
        clauses.with("callback_id <", filter.after);
        match filter.replays {
            Some(true) => clauses.0.push("replay_of IS NOT NULL".to_owned()),
            Some(false) => clauses.0.push("replay_of IS NULL".to_owned()),
            None => {}
        }
        let select = format!("SELECT {COLUMNS} FROM callbacks");
        let (sql, values) = clauses.query(&select, "callback_id", filter.limit);
        self.db.rows(&sql, values).await?.iter().map(heard).collect()
    }

    async fn rejected(&self, filter: &CallbackFilter) -> Result<Vec<Heard>, DbError> {
        // They are nobody's, and nobody tries them again.
        if filter.order_id.is_some() || filter.replays == Some(true) {
            return Ok(Vec::new());
        }
        let mut clauses = Clauses::new("1 = 1");
        clauses.with("partner =", filter.partner.clone());
        clauses.with("event_id =", filter.event_id.clone());
        clauses.with("received_at >", filter.received_after);
        clauses.with("rejection_id <", filter.after);
        let select = "SELECT rejection_id, partner, reason, event_id, address, size, sha256, received_at FROM rejected_callbacks";
        let (sql, values) = clauses.query(select, "rejection_id", filter.limit);
        self.db.rows(&sql, values).await?.iter().map(rejected).collect()
    }

    /// What a callback said, decrypted.
    pub fn callback_body(&self, callback: &Callback) -> Result<Vec<u8>, CryptError> {
        self.crypt
            .open(body_place(&callback.callback_id.to_string()), &callback.body)
    }

    /// Encrypts what a callback said, for the row with that id.
    pub fn seal_callback(&self, id: Uuid, body: &[u8]) -> Vec<u8> {
        self.crypt.seal(body_place(&id.to_string()), body)
    }

    /// The other attempts at a callback, oldest first.
    pub async fn replays_of(&self, id: Uuid) -> Result<Vec<Uuid>, DbError> {
        let sql = "SELECT callback_id FROM callbacks WHERE replay_of = $1 ORDER BY callback_id";
        let rows = self.db.rows(sql, vec![id.into()]).await?;
        rows.iter().map(|row| row.uuid("callback_id")).collect()
    }

    /// Keeps requests that were not believed, and of each of their partners no more than the newest.
    pub async fn keep_rejected(&self, all: Vec<Rejected>, most: i64) -> Result<(), DbError> {
        let now = self.now().await?;
        let mut tx = self.db.tx().await?;
        let partners: std::collections::BTreeSet<String> = all.iter().map(|it| it.partner.clone()).collect();
        let columns = [
            "rejection_id",
            "partner",
            "reason",
            "event_id",
            "address",
            "size",
            "sha256",
            "received_at",
        ];
        let rows = all.into_iter().map(|it| {
            vec![
                it.rejection_id.into(),
                it.partner.into(),
                it.reason.into(),
                it.event_id.into(),
                it.address.into(),
                it.size.into(),
                it.sha256.into(),
                now.into(),
            ]
        });
        sql::insert(&mut tx, "rejected_callbacks", &columns, rows.collect(), "").await?;
        for partner in partners {
            let sql = "DELETE FROM rejected_callbacks WHERE partner = $1 AND rejection_id <= (SELECT rejection_id
                FROM rejected_callbacks WHERE partner = $1 ORDER BY rejection_id DESC LIMIT 1 OFFSET $2)";
            tx.execute(sql, vec![partner.into(), most.into()]).await?;
        }
        tx.commit().await
    }
}

fn body_place(row: &str) -> Place<'_> {
    Place {
        table: "callbacks",
        column: "body",
        row,
    }
}

impl From<Callback> for Heard {
    fn from(it: Callback) -> Self {
        Self {
            callback_id: it.callback_id,
            disposition: Disposition::of(it.state),
            state: Some(it.state),
            partner: it.partner,
            event_id: Some(it.event_id),
            key_id: Some(it.key_id),
            received_at: it.received_at,
            detail: it.detail,
            order_id: it.order_id,
            parked_at: it.parked_at,
            parked_until: it.parked_until,
            settled_at: it.settled_at,
            repeats: it.repeats,
            repeated_at: it.repeated_at,
            replay_of: it.replay_of,
            replayed_by: it.replayed_by,
            address: None,
            size: None,
            sha256: None,
        }
    }
}

fn heard(row: &Row) -> Result<Heard, DbError> {
    let text = row.text("state")?;
    let state = CallbackState::parse(&text).ok_or_else(|| undecodable("callbacks.state", &text))?;
    Ok(Heard {
        callback_id: row.uuid("callback_id")?,
        disposition: Disposition::of(state),
        state: Some(state),
        partner: row.text("partner")?,
        event_id: Some(row.text("event_id")?),
        key_id: Some(row.text("key_id")?),
        received_at: row.time("received_at")?,
        detail: row.opt_text("detail")?,
        order_id: row.opt_uuid("order_id")?.map(OrderId),
        parked_at: row.opt_time("parked_at")?,
        parked_until: row.opt_time("parked_until")?,
        settled_at: row.opt_time("settled_at")?,
        repeats: row.int("repeats")?,
        repeated_at: row.opt_time("repeated_at")?,
        replay_of: row.opt_uuid("replay_of")?,
        replayed_by: row.opt_text("replayed_by")?,
        address: None,
        size: None,
        sha256: None,
    })
}

fn rejected(row: &Row) -> Result<Heard, DbError> {
    Ok(Heard {
        callback_id: row.uuid("rejection_id")?,
        disposition: Disposition::Rejected,
        state: None,
        partner: row.text("partner")?,
        event_id: row.opt_text("event_id")?,
        key_id: None,
        received_at: row.time("received_at")?,
        detail: Some(row.text("reason")?),
        order_id: None,
        parked_at: None,
        parked_until: None,
        settled_at: None,
        repeats: 0,
        repeated_at: None,
        replay_of: None,
        replayed_by: None,
        address: row.opt_text("address")?,
        size: row.opt_int("size")?,
        sha256: row.opt_bytes("sha256")?,
    })
}

/// The columns of a callback that nobody told before.
pub(super) const NEW_CALLBACK: [&str; 10] = [
    "callback_id",
    "partner",
    "event_id",
    "key_id",
    "signed_at",
    "received_at",
    "headers",
    "body",
    "sha256",
    "state",
];

/// Its values, in the order of [`NEW_CALLBACK`].
pub(super) fn new_callback(it: Callback, received_at: DateTime<Utc>) -> Vec<Value> {
    vec![
        it.callback_id.into(),
        it.partner.into(),
        it.event_id.into(),
        it.key_id.into(),
        it.signed_at.into(),
        received_at.into(),
        it.headers.into(),
        it.body.into(),
        it.sha256.into(),
        it.state.as_str().into(),
    ]
}
