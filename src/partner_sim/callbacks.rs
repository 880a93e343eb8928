//! What the simulated partner tells by itself: the walk of a delivery, each leg a signed callback.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use reqwest::redirect::Policy;
use serde_json::json;
use tokio::sync::Semaphore;

use super::Partner;
use super::ledger::CallbackRecord;
use super::plan::{End, Fate};
use super::signature::CallbackSecret;

const AT_ONCE: usize = 32;
const MOST_ATTEMPTS: u32 = 40;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How much later a pick-up is told than the end it belongs before.
const REORDERED_BY: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) struct Callbacks {
    http: reqwest::Client,
    secret: CallbackSecret,
    slots: Semaphore,
}

/// One thing to tell.
#[derive(Debug)]
struct Callback {
    kind: &'static str,
    reference: String,
    url: String,
    body: String,
}

/// What a callback says beside its type.
#[derive(Debug, Default)]
struct Says {
    partner_order_number: Option<String>,
    failure_reason: Option<&'static str>,
    note: Option<&'static str>,
}

impl Callbacks {
    pub(super) fn new(secret: CallbackSecret) -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(AT_ONCE)
            .build()?;
        Ok(Self {
            http,
            secret,
            slots: Semaphore::new(AT_ONCE),
        })
    }

    /// The status answered, or 0. `forged` signs something else than what is sent.
    async fn post(&self, callback: &Callback, id: &str, forged: bool) -> u16 {
        let Ok(_slot) = self.slots.acquire().await else {
            return 0;
        };
        let timestamp = Utc::now().timestamp();
        let signed = if forged { "{}" } else { callback.body.as_str() };
        let request = self
            .http
            .post(&callback.url)
            .header("Content-Type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", self.secret.sign(id, timestamp, signed))
            .body(callback.body.clone());
        request.send().await.map_or(0, |response| response.status().as_u16())
    }
}

impl Partner {
    /// Lets a delivery walk to its end, telling each leg.
    pub(super) fn walk(self: &Arc<Self>, reference: String) {
        let partner = Arc::clone(self);
        self.walkers.spawn(async move {
            let stop = partner.stop.clone();
            stop.run_until_cancelled(partner.walk_to_the_end(&reference)).await;
        });
    }

    /// Tells that a delivery was cancelled, as it was asked to.
    pub(super) fn tell_cancelled(self: &Arc<Self>, reference: &str) {
        let says = Says {
            note: Some("cancelled on request"),
            ..Says::default()
        };
        let callback = self.callback(reference, "delivery.cancelled", says, Utc::now());
        let partner = Arc::clone(self);
        self.walkers.spawn(async move {
            let stop = partner.stop.clone();
            stop.run_until_cancelled(partner.tell(&callback)).await;
        });
    }

    async fn walk_to_the_end(&self, reference: &str) {
        let fate = Fate::of(&self.options, reference);
        tokio::time::sleep(fate.leg("pick-up")).await;
        if let End::FailedAtPickUp(reason) = fate.end() {
            if self.ledger.advance(reference, "failed") {
                self.tell(&self.failed(reference, reason)).await;
            }
            return;
        }
        if !self.ledger.advance(reference, "picked_up") {
            return;
        }
        let says = Says {
            partner_order_number: Some(fate.order_number()),
            ..Says::default()
        };
        let picked_up = self.callback(reference, "delivery.picked_up", says, Utc::now());
        if !fate.is_reordered() {
            self.tell(&picked_up).await;
        }
        tokio::time::sleep(fate.leg("delivery")).await;
        let end = match fate.end() {
            End::FailedAtDelivery(reason) => {
                self.ledger.advance(reference, "failed");
                self.failed(reference, reason)
            }
            End::Delivered | End::FailedAtPickUp(_) => {
                self.ledger.advance(reference, "delivered");
                self.callback(reference, "delivery.delivered", Says::default(), Utc::now())
            }
        };
        if fate.is_reordered() {
            let late = async {
                tokio::time::sleep(REORDERED_BY).await;
                self.tell(&picked_up).await;
            };
            tokio::join!(self.tell(&end), late);
        } else {
            self.tell(&end).await;
        }
    }

    fn failed(&self, reference: &str, reason: &'static str) -> Callback {
        let says = Says {
            failure_reason: Some(reason),
            note: Some("simulated"),
            ..Says::default()
        };
        self.callback(reference, "delivery.failed", says, Utc::now())
    }

    fn callback(&self, reference: &str, kind: &'static str, says: Says, at: DateTime<Utc>) -> Callback {
        let body = json!({
            "type": kind,
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "data": {
                "reference": reference,
                "partner_order_number": says.partner_order_number,
                "failure_reason": says.failure_reason,
                "note": says.note,
            },
        });
        let url = self.ledger.callback_url(reference);
        Callback {
            kind,
            reference: reference.to_owned(),
            url,
            body: body.to_string(),
        }
    }

    /// Tells it until it is taken; with a forged copy before it and another copy after it, where the fates want so.
    async fn tell(&self, callback: &Callback) {
        let fate = Fate::of(&self.options, &callback.reference);
        let id = fate.callback_id(callback.kind);
        self.ledger.begin_callback();
        if fate.is_forged(callback.kind) {
            self.attempt(callback, &id, 1, true).await;
        }
        let told = self.tell_until_taken(callback, &id).await;
        self.ledger.end_callback(told);
        if told && fate.is_duplicated(callback.kind) {
            self.attempt(callback, &id, 2, false).await;
        }
    }

    async fn tell_until_taken(&self, callback: &Callback, id: &str) -> bool {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MOST_ATTEMPTS {
            let status = self.attempt(callback, id, attempt, false).await;
            if (200..300).contains(&status) {
                return true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        false
    }

    async fn attempt(&self, callback: &Callback, id: &str, attempt: u32, forged: bool) -> u16 {
        let status = self.callbacks.post(callback, id, forged).await;
        let (kind, id, at) = (callback.kind, id.to_owned(), Utc::now());
        let record = CallbackRecord {
            kind,
            id,
            at,
            status,
            attempt,
            forged,
        };
        self.ledger.note_callback(&callback.reference, record);
        status
    }
}
