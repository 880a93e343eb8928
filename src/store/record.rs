//! What the tables keep, as the engine works with it.

use chrono::{DateTime, Utc};
use serde_json::Value as Json;
use uuid::Uuid;
use waybill_domain::{EventName, Instance, MachineName, OrderId, Outcome, Transition};

/// The delivery order's own record, beside its instance in the engine.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is a column of delivery_orders")]
pub struct Record {
    pub ordering_id: String,
    pub customer_id: String,
    pub payment_id: String,
    pub attempt: i64,
    pub predecessor_id: Option<OrderId>,
    pub successor_id: Option<OrderId>,
    pub partner: Option<String>,
    pub partner_booking_id: Option<String>,
    pub partner_order_number: Option<String>,
    pub tracking_url: Option<String>,
    pub failure_reason: Option<String>,
    pub failed: bool,
    pub outcome: Option<String>,
    pub confirmed_by: Option<String>,
    pub locale: String,
    pub items: Json,
    /// Encrypted.
    pub pickup: Vec<u8>,
    /// Encrypted.
    pub dropoff: Vec<u8>,
    pub live: bool,
}

/// The deadline that is armed for an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Armed {
    /// Sequence of the transition that armed it.
    pub sequence: i64,
    /// What happens then.
    pub event: EventName,
    /// When.
    pub due_at: DateTime<Utc>,
}

/// An instance of a machine, locked by the present transaction.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its machine.
    pub machine: MachineName,
    /// Where it stands.
    pub order: Instance,
    /// How it ended; none while it lives.
    pub outcome: Option<Outcome>,
    /// The record of a delivery order; instances of other machines have none.
    pub record: Option<Record>,
    /// Hash of its newest log row.
    pub log_hash: Vec<u8>,
    /// Its deadline.
    pub deadline: Option<Armed>,
    /// Effects of it wait to be published: newer ones must wait behind them.
    pub waiting: bool,
    /// When it was born.
    pub created_at: DateTime<Utc>,
    /// Its revision as it was read; none for an order that this transaction makes.
    pub(super) read_revision: Option<i64>,
    /// Its record as it was read.
    pub(super) read_record: Option<Record>,
    /// Its deadline as it was read.
    pub(super) read_deadline: Option<Armed>,
}

impl Loaded {
    /// Whether it has not ended.
    pub fn is_live(&self) -> bool {
        self.outcome.is_none()
    }
}

/// A row of the log.
#[derive(Debug, Clone)]
pub struct LogRow {
    /// What was decided.
    pub transition: Transition,
    /// Rank before.
    pub from_rank: Option<u32>,
    /// The version it was decided by.
    pub graph_version: u32,
    /// Hash of the row before, 32 zero bytes for the first.
    pub previous_hash: Vec<u8>,
    /// Hash of this row.
    pub hash: Vec<u8>,
}

/// Something that was told to us, by its key.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// Who numbers the keys: `payment`, `api`, `callback`, …
    pub source: &'static str,
    /// The key.
    pub key: String,
    /// The order it was about.
    pub order_id: Option<OrderId>,
    /// The order's revision after it.
    pub sequence: Option<i64>,
    /// What became of it, in one word.
    pub outcome: String,
    /// SHA-256 of its content: the same key with other content is refused.
    pub payload_hash: Vec<u8>,
}

/// An ordering, locked by the present transaction.
#[derive(Debug, Clone, Default)]
pub struct Ordering {
    /// Its delivery order that is not terminal.
    pub live_order_id: Option<OrderId>,
    /// How many delivery orders it had.
    pub attempts: i64,
}

/// A payment that we know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of payments")]
pub struct Payment {
    pub payment_id: String,
    pub ordering_id: String,
    pub event_key: String,
    pub state: PaymentState,
    pub minor_units: i64,
    pub currency: String,
    pub refunded_units: i64,
}

/// What a payment led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentState {
    /// Nothing to deliver.
    Seen,
    /// It made a delivery order.
    Ordered,
    /// The ordering had a live delivery order already.
    Second,
    /// It was refunded before it was told.
    Prevented,
    /// It was refunded.
    Refunded,
}

impl PaymentState {
    const ALL: [Self; 5] = [Self::Seen, Self::Ordered, Self::Second, Self::Prevented, Self::Refunded];

    /// As the table writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Ordered => "ordered",
            Self::Second => "second",
            Self::Prevented => "prevented",
            Self::Refunded => "refunded",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// An effect: what must follow, and how far that has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// Id of the effect and of the task that carries it.
    pub effect_id: Uuid,
    /// Whose; none for a callback that is not matched yet.
    pub order_id: Option<OrderId>,
    /// Sequence of the transition that asked for it.
    pub sequence: i64,
    /// Its place among the effects of that transition.
    pub ordinal: i64,
    /// Such as `notify_customer`.
    pub name: String,
    /// What it is about, where that is not an order: a callback's id.
    pub subject: Option<Uuid>,
    /// What it carries beside ids.
    pub payload: Option<Json>,
    /// How far it has come.
    pub state: EffectState,
    /// Attempts that ended.
    pub attempts: i64,
    /// Not before.
    pub due_at: DateTime<Utc>,
    /// When the broker first had it.
    pub published_at: Option<DateTime<Utc>>,
    /// Nobody else runs it until then.
    pub lease_until: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Why it is where it is.
    pub cause: Option<String>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
}

/// The effect that applies a stored callback.
pub(super) const APPLY_CALLBACK: &str = "apply_partner_callback";

impl Effect {
    /// An effect that is asked for now: by that transition of that order, if by any.
    pub(crate) fn requested(id: Uuid, by: Option<(OrderId, i64)>, name: &str, now: DateTime<Utc>) -> Self {
        Self {
            effect_id: id,
            order_id: by.map(|(id, _)| id),
            sequence: by.map_or(0, |(_, sequence)| sequence),
            ordinal: 0,
            name: name.to_owned(),
            subject: None,
            payload: None,
            state: EffectState::Requested,
            attempts: 0,
            due_at: now,
            published_at: None,
            lease_until: None,
            finished_at: None,
            cause: None,
            created_at: now,
        }
    }

    /// What a stored callback asks for: its task, which has its id.
    pub(crate) fn of_callback(id: Uuid, now: DateTime<Utc>) -> Self {
        Self {
            subject: Some(id),
            ..Self::requested(id, None, APPLY_CALLBACK, now)
        }
    }
}

/// How far an effect has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectState {
    /// To be published when due.
    Requested,
    /// The broker has it.
    Sent,
    /// A worker is talking to the partner.
    Running,
    /// Ended well.
    Done,
    /// Ended badly; an operator case tells.
    Failed,
    /// Its outcome is not known.
    Unknown,
}

impl EffectState {
    const ALL: [Self; 6] = [
        Self::Requested,
        Self::Sent,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Unknown,
    ];

    /// As the table writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Sent => "sent",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

/// A partner's callback, stored before it was answered.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is a column of callbacks")]
pub struct Callback {
    pub callback_id: Uuid,
    pub partner: String,
    pub event_id: String,
    pub key_id: String,
    pub signed_at: Option<DateTime<Utc>>,
    pub received_at: DateTime<Utc>,
    pub headers: Json,
    /// Encrypted.
    pub body: Vec<u8>,
    pub sha256: Vec<u8>,
    pub state: CallbackState,
    pub detail: Option<String>,
    pub order_id: Option<OrderId>,
    pub parked_until: Option<DateTime<Utc>>,
    pub settled_at: Option<DateTime<Utc>>,
    /// It came early: since then it waited, or waits.
    pub parked_at: Option<DateTime<Utc>>,
    /// How often it came again under its id, and when it last did.
    pub repeats: i64,
    pub repeated_at: Option<DateTime<Utc>>,
    /// Another attempt at that one, asked for by somebody.
    pub replay_of: Option<Uuid>,
    pub replayed_by: Option<String>,
}

/// What became of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackState {
    /// Stored, its task is under way.
    Received,
    /// It moved its order.
    Applied,
    /// It told what was told before.
    Duplicate,
    /// It came late.
    Stale,
    /// Recorded without moving the order.
    Noted,
    /// It came early and waits for its turn.
    Parked,
    /// It is not understood.
    Unmapped,
    /// Its order is not known.
    Orphan,
    /// It contradicts what is known; an operator case tells.
    Conflict,
    /// It came early and its turn never came; an operator case tells.
    Unresolved,
}

impl CallbackState {
    const ALL: [Self; 10] = [
        Self::Received,
        Self::Applied,
        Self::Duplicate,
        Self::Stale,
        Self::Noted,
        Self::Parked,
        Self::Unmapped,
        Self::Orphan,
        Self::Conflict,
        Self::Unresolved,
    ];

    /// As the table writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Stale => "stale",
            Self::Noted => "noted",
            Self::Parked => "parked",
            Self::Unmapped => "unmapped",
            Self::Orphan => "orphan",
            Self::Conflict => "conflict",
            Self::Unresolved => "unresolved",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing will change it any more.
    pub fn is_settled(self) -> bool {
        !matches!(self, Self::Received | Self::Parked)
    }
}

/// Something an operator has to look at.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is a column of operator_cases")]
pub struct Case {
    pub case_id: Uuid,
    /// What sort of case, such as `pending` or `goods-at-large`.
    pub kind: String,
    /// What it is about; one case per subject.
    pub subject: String,
    pub order_id: Option<OrderId>,
    pub reason: String,
    pub detail: Json,
    pub opened_at: DateTime<Utc>,
    pub claimed_by: Option<String>,
    pub claimed_at: Option<DateTime<Utc>>,
    pub closed_by: Option<String>,
    pub closed_at: Option<DateTime<Utc>>,
    pub note: Option<String>,
}

impl Case {
    /// One that is opened now and that nobody has claimed.
    pub fn opened(kind: &str, subject: String, reason: &str, detail: Json, now: DateTime<Utc>) -> Self {
        Self {
            case_id: Uuid::now_v7(),
            kind: kind.to_owned(),
            subject,
            order_id: None,
            reason: reason.to_owned(),
            detail,
            opened_at: now,
            claimed_by: None,
            claimed_at: None,
            closed_by: None,
            closed_at: None,
            note: None,
        }
    }

    /// About a delivery order.
    pub fn about(self, order: impl Into<Option<OrderId>>) -> Self {
        Self {
            order_id: order.into(),
            ..self
        }
    }
}

/// A customer's token, by its hash.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each field is a column of confirmation_tokens")]
pub struct Token {
    pub token_hash: Vec<u8>,
    pub order_id: OrderId,
    pub sequence: i64,
    pub purpose: String,
    pub expires_at: DateTime<Utc>,
    pub answer: Option<String>,
    pub answered_at: Option<DateTime<Utc>>,
}

/// A message of the in-process transport, or one that waits until it is due. Its content is encrypted.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is a column of messages and parked_messages")]
pub struct StoredMessage {
    pub message_id: Uuid,
    pub queue: String,
    pub message: Vec<u8>,
    pub due_at: DateTime<Utc>,
    pub attempts: i64,
}

/// A message set aside, whole and encrypted.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "each field is a column of quarantine")]
pub struct Dead {
    pub id: Uuid,
    pub source: String,
    pub queue: String,
    pub task: Option<String>,
    pub task_id: Option<String>,
    pub reason: String,
    pub place: String,
    pub detail: String,
    pub size: i64,
    pub message: Vec<u8>,
    pub digest: Vec<u8>,
    pub received_at: DateTime<Utc>,
    pub replayed_at: Option<DateTime<Utc>>,
}
