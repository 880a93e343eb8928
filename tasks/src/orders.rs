//! What the effects need from the application: orders to read, and a place to say how an effect ended.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;
use waybill_domain::{Actor, EventName, Fields, MachineName, OrderId, StateName};

/// The application, as its tasks see it. The engine implements it.
#[async_trait]
pub trait Orders: Send + Sync + 'static {
    /// Begins an effect that was published with this id. Answers [`Begin::Done`] where it has ended before, so that twice is once.
    async fn begin(&self, effect_id: Uuid) -> Result<Begin, Unavailable>;

    /// Says how an effect ended; its consequences (an event, a booking) are stored in the same transaction.
    async fn finish(&self, effect_id: Uuid, finish: Finish) -> Result<(), Unavailable>;

    /// Brings an instance of a machine into being, once per key; answers its id.
    async fn create_instance(&self, new: NewInstance) -> Result<Taken, Unavailable>;

    /// Takes a payment event that came as a Celery task. `payment` is the `data` of the JSON form.
    async fn create(&self, event_id: String, payment: Value) -> Result<Taken, Unavailable>;

    /// Makes an effect of looking an order up at its partner, for a task that came without one; `None` where the order is unknown or
    /// has ended.
    async fn begin_reconciliation(&self, order_id: OrderId) -> Result<Option<Uuid>, Unavailable>;

    /// Applies a stored partner callback.
    async fn apply_callback(&self, callback_id: Uuid) -> Result<(), Unavailable>;

    /// Reports an event about an order, or an instance of another machine.
    async fn report(&self, report: Report) -> Result<Taken, Unavailable>;

    /// Opens the operator case of an instance that waits for one, of whatever machine; does nothing where it is open already.
    async fn open_case(&self, effect_id: Uuid) -> Result<(), Unavailable>;

    /// Makes (or makes again, the same) the link by which the customer confirms receipt.
    async fn confirmation_link(&self, effect_id: Uuid) -> Result<ConfirmationLink, Unavailable>;

    /// Makes (or makes again, the same) the link to the code that the customer says to the courier; none where codes are off.
    async fn handover_link(&self, _effect_id: Uuid) -> Result<Option<ConfirmationLink>, Unavailable> {
        Ok(None)
    }
}

/// How an effect begins.
#[derive(Debug, Clone)]
pub enum Begin {
    /// Do it.
    Run(Box<Work>),
    /// It has been done, or is no longer wanted: nothing to do.
    Done,
    /// Another effect of the same order is talking to the partner: later.
    Busy,
}

/// An effect to run, with the order read again.
#[derive(Debug, Clone)]
pub struct Work {
    /// The effect's id, and the id of the task.
    pub effect_id: Uuid,
    /// Its name, such as `notify_customer`.
    pub name: String,
    /// Sequence of the transition that asked for it.
    pub sequence: i64,
    /// The state that transition led to.
    pub entered: StateName,
    /// What that state means for the people around the order.
    pub stage: Stage,
    /// The order has left that state since: what was wanted there is wanted no longer.
    pub has_left: bool,
    /// When the order came there, by the reporter.
    pub occurred_at: DateTime<Utc>,
    /// Attempts that ended before this one.
    pub attempts: u32,
    /// The partners that were chosen for it, or are known not to have booked it, by name.
    pub asked: Vec<String>,
    /// For a cancellation without booking: one was sent, and got no clear answer.
    pub booking_unknown: bool,
    /// The order as it is now.
    pub order: OrderRecord,
}

/// What a state means for the people around an order, whatever its graph calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The partner has just got the parcel.
    Collected,
    /// Somebody must step in.
    Attention,
    /// Neither.
    Other,
}

/// An order with what the relational record says of it.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is named and described in interfaces: the order view"
)]
pub struct OrderRecord {
    pub order_id: OrderId,
    pub ordering_id: String,
    pub customer_id: String,
    pub payment_id: String,
    pub attempt: i32,
    pub predecessor_id: Option<OrderId>,
    pub successor_id: Option<OrderId>,
    pub state: StateName,
    pub outcome: Option<String>,
    pub revision: i64,
    pub partner: Option<String>,
    pub partner_booking_id: Option<String>,
    pub partner_order_number: Option<String>,
    pub failure_reason: Option<String>,
    pub confirmed_by: Option<String>,
    pub locale: String,
    pub tracking_url: Option<String>,
    /// Address of the shop: `name, line1, line2, postal_code, city, region, country, phone, email`.
    pub pickup: Value,
    /// Address of the customer, of the same shape.
    pub dropoff: Value,
    /// Lines of `sku, title, quantity, format`.
    pub items: Value,
    /// What was paid for the ordering.
    pub amount: Option<Amount>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Amount {
    /// In the smallest unit of the currency.
    pub minor_units: i64,
    /// ISO 4217, in capitals.
    pub currency: String,
}

/// How an effect ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Finish {
    /// Done.
    Done,
    /// The partner has the booking; recorded with the order.
    Booked(Booking),
    /// The partner was asked how the delivery stands; what differs from what is known becomes an event like any callback.
    Seen(Seen),
    /// Another partner takes the order, for this one surely has not booked it: recorded with the order, and begun again at once.
    Handed {
        /// Who was asked and is known not to have booked; none where nobody was asked yet.
        from: Option<String>,
        /// The other one's name in the partners file.
        to: String,
        /// Why, for the operator.
        cause: String,
    },
    /// Done, and it tells something about the order (a rejected booking, say).
    Event(Box<Reported>),
    /// Not now. `counts` is false where no attempt was made (an open breaker, a full bulkhead).
    Retry {
        /// How long to wait.
        after: Duration,
        /// Why, for the operator.
        cause: String,
        /// Whether an attempt is used up.
        counts: bool,
    },
    /// Never: an operator has to look.
    Failed {
        /// Why, for the operator.
        cause: String,
    },
}

/// What the partner answered to a booking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Booking {
    /// The partner's name in the partners file.
    pub partner: String,
    /// Its id of the delivery.
    pub id: String,
    /// Where the customer can follow it.
    pub tracking_url: Option<String>,
}

/// How a delivery stands, in its partner's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The partner's name in the partners file.
    pub partner: String,
    /// Its id of the delivery.
    pub booking_id: String,
    /// Its status.
    pub status: String,
    /// Why, where the status has a reason.
    pub reason: Option<String>,
    /// Its number of the delivery, where that is another than the id.
    pub partner_order_number: Option<String>,
}

/// An event that an effect found out.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// Which.
    pub event: EventName,
    /// By whom.
    pub actor: Actor,
    /// With what.
    pub fields: Fields,
}

/// An instance that a Celery task (`waybill.create_instance`) wants to come into being.
#[derive(Debug, Clone, PartialEq)]
pub struct NewInstance {
    /// Of which machine.
    pub machine: MachineName,
    /// What it knows from birth.
    pub fields: Value,
    /// For whom the sender speaks; for itself, as a service, where it names nobody.
    pub actor: Option<Actor>,
    /// Its key: told twice is told once.
    pub key: String,
}

/// An event reported by a Celery task (`waybill.report_event`, `waybill.report_instance_event`).
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// About an instance of which machine; none is a delivery order.
    pub machine: Option<MachineName>,
    /// About which.
    pub order_id: OrderId,
    /// For whom the sender speaks; for itself, as a service, where it names nobody.
    pub actor: Option<Actor>,
    /// Which event.
    pub event: EventName,
    /// With what.
    pub fields: Value,
    /// Its key: told twice is told once.
    pub key: String,
}

/// What became of something that was told.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// Taken (or known already); the answer for the caller.
    Ok(Value),
    /// Wrong: told so, by name and place, and nothing was stored.
    Wrong {
        /// A stable word, such as `missing-field`.
        code: String,
        /// Where in what was told.
        place: String,
        /// What was expected and what was found.
        detail: String,
    },
}

/// The link that a notice carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfirmationLink {
    /// Where the customer answers.
    pub url: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// The store does not answer; nothing is known to have happened.
#[derive(Debug, thiserror::Error)]
#[error("the store does not answer: {0}")]
pub struct Unavailable(pub String);
