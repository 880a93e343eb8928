//! What the simulated partner tells by itself: the walk of a delivery, each leg a signed callback.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use reqwest::redirect::Policy;
use tokio::sync::Semaphore;

use super::Partner;
use super::dialects::{Dialect, Leg, News};
use super::ledger::CallbackRecord;
use super::plan::{End, Fate};

const AT_ONCE: usize = 32;
const MOST_ATTEMPTS: u32 = 40;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How much later a pick-up is told than the end it belongs before.
const REORDERED_BY: Duration = Duration::from_millis(300);

#[derive(Debug)]
pub(super) struct Callbacks {
    http: reqwest::Client,
    slots: Semaphore,
}

/// One thing to tell, under its id.
#[derive(Debug)]
struct Callback {
    kind: &'static str,
    id: String,
    reference: String,
    url: String,
    body: String,
}

impl Callbacks {
    pub(super) fn new() -> Result<Self, reqwest::Error> {
        let http = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(15))
            .pool_max_idle_per_host(AT_ONCE)
            .build()?;
        Ok(Self {
            http,
            slots: Semaphore::new(AT_ONCE),
        })
    }

    /// The status answered, or 0. `forged` signs something else than what is sent.
    async fn post(&self, dialect: &dyn Dialect, callback: &Callback, forged: bool) -> u16 {
        let Ok(_slot) = self.slots.acquire().await else {
            return 0;
        };
        let signed = if forged { "{}" } else { callback.body.as_str() };
        let request = self.http.post(&callback.url).header("Content-Type", "application/json");
        let proof = dialect.sign(&callback.id, Utc::now(), signed);
        let request = proof
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value));
        let response = request.body(callback.body.clone()).send().await;
        response.map_or(0, |response| response.status().as_u16())
    }
}

impl Partner {
    /// Lets a delivery walk to its end, telling each leg.
    pub(super) fn walk(self: &Arc<Self>, reference: String) {
        let partner = Arc::clone(self);
        self.ledger.begin_walk();
        self.walkers.spawn(async move {
            let stop = partner.stop.clone();
            stop.run_until_cancelled(partner.walk_to_the_end(&reference)).await;
            let delivery = partner.ledger.find(&reference);
            if delivery.is_none_or(|delivery| delivery.state != "cancelled") {
                partner.ledger.end_walk();
            }
        });
    }

    /// Tells that a delivery was cancelled, as it was asked to. Its walk has ended here, though its walker may sleep on.
    pub(super) fn tell_cancelled(self: &Arc<Self>, reference: &str) {
        let callbacks = self.news(reference, Leg::Cancelled);
        let partner = Arc::clone(self);
        self.walkers.spawn(async move {
            let stop = partner.stop.clone();
            stop.run_until_cancelled(partner.tell_all(&callbacks)).await;
            partner.ledger.end_walk();
        });
    }

    async fn walk_to_the_end(&self, reference: &str) {
        let fate = Fate::of(&self.options, reference);
        let end = fate.end(&*self.dialect);
        self.tell_all(&self.news(reference, Leg::Booked)).await;
        tokio::time::sleep(fate.leg("pick-up")).await;
        if let End::FailedAtPickUp(reason) = end {
            if self.ledger.fail(reference, reason) {
                self.tell_all(&self.news(reference, Leg::Failed(reason))).await;
            }
            return;
        }
        if !self.ledger.advance(reference, "picked_up") {
            return;
        }
        let picked_up = self.news(reference, Leg::PickedUp);
        if !fate.is_reordered() {
            self.tell_all(&picked_up).await;
        }
        tokio::time::sleep(fate.leg("delivery")).await;
        let end = match end {
            End::FailedAtDelivery(reason) => {
                self.ledger.fail(reference, reason);
                self.news(reference, Leg::Failed(reason))
            }
            End::Delivered | End::FailedAtPickUp(_) => {
                self.ledger.advance(reference, "delivered");
                self.news(reference, Leg::Delivered)
            }
        };
        if fate.is_reordered() {
            let late = async {
                tokio::time::sleep(REORDERED_BY).await;
                self.tell_all(&picked_up).await;
            };
            tokio::join!(self.tell_all(&end), late);
        } else {
            self.tell_all(&end).await;
        }
    }

    /// What is to be told of a delivery that was booked and has come so far.
    fn news(&self, reference: &str, leg: Leg) -> Vec<Callback> {
        let Some(delivery) = self.ledger.find(reference) else {
            return Vec::new();
        };
        let fate = Fate::of(&self.options, reference);
        let url = self.ledger.callback_url(reference);
        let news = self.dialect.news(leg, &delivery).into_iter();
        news.map(|News { kind, mut body, id_at }| {
            let id = fate.callback_id(kind);
            if let Some(place) = id_at {
                body[place] = id.clone().into();
            }
            Callback {
                kind,
                id,
                reference: reference.to_owned(),
                url: url.clone(),
                body: body.to_string(),
            }
        })
        .collect()
    }

    async fn tell_all(&self, callbacks: &[Callback]) {
        for callback in callbacks {
            self.tell(callback).await;
        }
    }

    /// Tells it until it is taken; with a forged copy before it and another copy after it, where the fates want so.
    async fn tell(&self, callback: &Callback) {
        let fate = Fate::of(&self.options, &callback.reference);
        if fate.is_lost(callback.kind) {
            return self.ledger.lose_callback();
        }
        self.ledger.begin_callback();
        if fate.is_forged(callback.kind) {
            self.attempt(callback, 1, true).await;
        }
        let told = self.tell_until_taken(callback, fate.is_unheard(callback.kind)).await;
        self.ledger.end_callback(told);
        if told && fate.is_duplicated(callback.kind) {
            self.attempt(callback, 2, false).await;
        }
    }

    async fn tell_until_taken(&self, callback: &Callback, unheard: bool) -> bool {
        let mut pause = FIRST_PAUSE;
        for attempt in 1..=MOST_ATTEMPTS {
            let status = self.attempt(callback, attempt, false).await;
            if (200..300).contains(&status) && !(unheard && attempt == 1) {
                return true;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        false
    }

    async fn attempt(&self, callback: &Callback, attempt: u32, forged: bool) -> u16 {
        let status = self.callbacks.post(&*self.dialect, callback, forged).await;
        let record = CallbackRecord {
            kind: callback.kind,
            id: callback.id.clone(),
            at: Utc::now(),
            status,
            attempt,
            forged,
        };
        self.ledger.note_callback(&callback.reference, record);
        status
    }
}
