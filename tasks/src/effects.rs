//! What must follow a transition: each effect one task, named as it, and safe to run twice.

mod apply_partner_callback;
mod book_delivery_partner;
mod cancel_delivery_partner;
mod create_delivery_order;
mod create_instance;
mod notify_customer;
mod notify_order_management;
mod open_operator_case;
mod outside;
mod patience;
mod reconcile_partner;
mod report_event;
mod report_instance_event;
mod request_customer_confirmation;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tracing::{debug, error, info};
use uuid::Uuid;
use waybill_domain::OrderId;

use crate::celery::registry::{Registry, TaskError};
use crate::celery::transport::Transport;
use crate::orders::{Begin, Finish, OrderRecord, Orders, Taken, Unavailable, Work};
use crate::partner::{PartnerClient, Partners};

/// What the application lends to its tasks.
#[derive(Clone)]
pub struct Effects {
    /// The orders.
    pub orders: Arc<dyn Orders>,
    /// The delivery partners.
    pub partners: Arc<Partners>,
    /// What carries messages to other services.
    pub transport: Arc<dyn Transport>,
    /// How those services want to be called.
    pub names: OutsideNames,
    /// Our public URL: partners report to `{callback_base}/webhooks/{partner}`.
    pub callback_base: String,
}

/// Tasks and queues of other services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutsideNames {
    /// Order management's task, by default `oms.delivery_update`.
    pub oms_task: String,
    /// And its queue, by default `oms`.
    pub oms_queue: String,
    /// The task that tells customers, by default `notifications.send`.
    pub notify_task: String,
    /// And its queue, by default `notifications`.
    pub notify_queue: String,
}

impl Default for OutsideNames {
    fn default() -> Self {
        Self {
            oms_task: "oms.delivery_update".to_owned(),
            oms_queue: "oms".to_owned(),
            notify_task: "notifications.send".to_owned(),
            notify_queue: "notifications".to_owned(),
        }
    }
}

/// Adds all tasks of Waybill to a registry.
pub fn register(registry: Registry<Effects>) -> Registry<Effects> {
    registry
        .register::<create_delivery_order::CreateDeliveryOrder>()
        .register::<book_delivery_partner::BookDeliveryPartner>()
        .register::<cancel_delivery_partner::CancelDeliveryPartner>()
        .register::<apply_partner_callback::ApplyPartnerCallback>()
        .register::<notify_customer::NotifyCustomer>()
        .register::<request_customer_confirmation::RequestCustomerConfirmation>()
        .register::<open_operator_case::OpenOperatorCase>()
        .register::<notify_order_management::NotifyOrderManagement>()
        .register::<reconcile_partner::ReconcilePartner>()
        .register::<report_event::ReportEvent>()
        .register::<create_instance::CreateInstance>()
        .register::<report_instance_event::ReportInstanceEvent>()
}

/// The keyword arguments of an effect: ids only, never addresses. What a later release adds is not refused here.
#[derive(Debug, Clone, Copy, Deserialize)]
struct EffectArgs {
    effect_id: Uuid,
    delivery_order_id: OrderId,
    sequence: i64,
}

impl Effects {
    /// Begins an effect; `None` where there is nothing to do any more.
    async fn begin(&self, args: EffectArgs) -> Result<Option<Work>, TaskError> {
        match self.orders.begin(args.effect_id).await? {
            Begin::Run(work) => Ok(Some(*work)),
            Begin::Done => {
                let EffectArgs {
                    effect_id,
                    delivery_order_id,
                    sequence,
                } = args;
                debug!(order.id = %delivery_order_id, sequence, "effect {effect_id} of {delivery_order_id} has ended before");
                Ok(None)
            }
            Begin::Busy => {
                let after = Duration::from_millis(rand::random_range(1_000..3_000));
                Err(TaskError::retry(
                    after,
                    "another effect of this order talks to the partner",
                ))
            }
        }
    }

    /// Ends an effect. It is over for the worker then, even if it is to be repeated: that is the application's business.
    async fn finish(&self, work: &Work, finish: Finish) -> Result<Value, TaskError> {
        let (id, name) = (work.order.order_id, work.name.as_str());
        let answer = match &finish {
            Finish::Done => Ok(json!({"ended": "done"})),
            Finish::Booked(booking) => Ok(json!({"ended": "booked", "partner": booking.partner})),
            Finish::Handed { to, cause, .. } => {
                info!(order.id = %id, effect = name, partner = to, "{name} of {id} goes to {to}: {cause}");
                Ok(json!({"ended": "handed", "partner": to}))
            }
            Finish::Seen(seen) => Ok(json!({"ended": "seen", "partner": seen.partner})),
            Finish::Event(reported) => Ok(json!({"ended": "event", "event": reported.event})),
            Finish::Retry { after, cause, counts } => {
                info!(order.id = %id, effect = name, counts, "{name} of {id} again in {after:?}: {cause}");
                Ok(json!({"ended": "retry", "after_seconds": after.as_secs()}))
            }
            Finish::Failed { cause } => {
                error!(order.id = %id, effect = name, "{name} of {id} failed: {cause}");
                Err(TaskError::failed(cause))
            }
        };
        self.orders.finish(work.effect_id, finish).await?;
        answer
    }

    /// The partner of an order: the one that it names, else the default one.
    fn partner_of(&self, order: &OrderRecord) -> Result<&Arc<PartnerClient>, Finish> {
        let Some(name) = &order.partner else {
            return Ok(self.partners.default_partner());
        };
        let cause = || format!("partner {name} is not in the partners file");
        self.partners.get(name).ok_or_else(|| Finish::Failed { cause: cause() })
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Effects");
        shown
            .field("partners", &self.partners)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl From<Unavailable> for TaskError {
    fn from(unavailable: Unavailable) -> Self {
        Self::Unavailable(unavailable.0)
    }
}

/// Nothing to do any more.
fn ended_before() -> Value {
    json!({"ended": "before"})
}

/// A reason of its own: the same key with another content may be a replay gone wrong, or worse.
const KEY_CONFLICT: &str = "event-key-conflict";

/// What the application says of something that was told, as the sender gets it.
fn taken(taken: Taken) -> Result<Value, TaskError> {
    match taken {
        Taken::Ok(answer) => Ok(answer),
        Taken::Wrong { code, place, detail } if code == KEY_CONFLICT => Err(TaskError::Wrong {
            code: KEY_CONFLICT,
            place: in_body(&place),
            detail,
        }),
        Taken::Wrong { code, place, detail } => {
            let detail = format!("{code}: {detail}");
            Err(TaskError::Wrong {
                code: "wrong-arguments",
                place: in_body(&place),
                detail,
            })
        }
    }
}

/// The application counts from the keyword arguments; they are the second part of the body.
fn in_body(place: &str) -> String {
    match place.strip_prefix("kwargs").unwrap_or(place) {
        "" => "body[1]".to_owned(),
        rest => format!("body[1].{}", rest.trim_start_matches('.')),
    }
}
