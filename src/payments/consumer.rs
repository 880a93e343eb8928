//! Takes payment events out of their queue.

use async_trait::async_trait;
use tracing::{info, warn};
use waybill_tasks::celery::transport::{Delivery, Handler, KeepError, Keeper as _, Rejected, Verdict};

use super::{Malformed, Told, read};
use crate::engine::payment::Followed;
use crate::engine::{Engine, EngineError};

/// Hands payment events to the engine, and sets aside what is none. Acknowledged is only what is committed.
#[derive(Clone)]
pub struct Consumer {
    /// Where they go.
    pub engine: Engine,
}

#[async_trait]
impl Handler for Consumer {
    async fn handle(&self, delivery: &Delivery) -> Verdict {
        let (verdict, outcome) = match self.take(delivery).await {
            Ok(outcome) => (Verdict::Ack, outcome),
            Err(Unstored(cause)) => {
                warn!(queue = %delivery.queue, "a payment event of {} has to wait: {cause}", delivery.queue);
                (Verdict::Wait, "requeued")
            }
        };
        metrics::counter!("payment_events_total", "outcome" => outcome).increment(1);
        verdict
    }
}

/// The store does not answer: the message must come again.
struct Unstored(String);

impl From<KeepError> for Unstored {
    fn from(error: KeepError) -> Self {
        Self(error.to_string())
    }
}

impl Consumer {
    /// Deals with one message and says in a word what came of it.
    async fn take(&self, delivery: &Delivery) -> Result<&'static str, Unstored> {
        let told = match read(&delivery.message) {
            Ok(told) => told,
            Err(malformed) => return self.set_aside(delivery, malformed, "malformed").await,
        };
        match self.follow(told).await {
            Ok(Followed::Created(_)) => Ok("created"),
            Ok(Followed::Cancelled(_)) => Ok("cancelled"),
            Ok(Followed::Recorded) => Ok("recorded"),
            Ok(Followed::Duplicate) => Ok("duplicate"),
            Ok(Followed::KeyConflict) => {
                let expected = "the content that this key had before";
                let conflict = Malformed::new("event-key-conflict", "event_id", expected, "another");
                self.set_aside(delivery, conflict, "event-key-conflict").await
            }
            // The same message would be refused again, for ever. The store has logged why.
            Err(EngineError::Refused(_)) => {
                let refused = Malformed::new("store-refused", "body", "what the store takes", "what it refuses");
                self.set_aside(delivery, refused, "store-refused").await
            }
            Err(error @ EngineError::Unavailable(_)) => Err(Unstored(error.to_string())),
        }
    }

    async fn follow(&self, told: Told) -> Result<Followed, EngineError> {
        let paid = match told {
            Told::Refunded(refunded) => return self.engine.refunded(refunded).await,
            Told::Paid(paid) => paid,
        };
        let (ordering_id, payment_id) = (paid.ordering_id.clone(), paid.payment_id.clone());
        let followed = self.engine.paid(paid).await?;
        if let Followed::Created(id) = followed {
            info!(
                order.id = %id, ordering.id = %ordering_id, payment.id = %payment_id,
                "created delivery order {id} for ordering {ordering_id}, paid by {payment_id}"
            );
        }
        Ok(followed)
    }

    async fn set_aside(
        &self,
        delivery: &Delivery,
        why: Malformed,
        outcome: &'static str,
    ) -> Result<&'static str, Unstored> {
        warn!(queue = %delivery.queue, reason = why.reason, "a payment event is set aside: {why}");
        let Malformed { reason, place, detail } = why;
        let rejected = Rejected {
            delivery: delivery.clone(),
            reason,
            place,
            detail,
            task: None,
            task_id: None,
        };
        self.engine.quarantine(rejected).await?;
        Ok(outcome)
    }
}
