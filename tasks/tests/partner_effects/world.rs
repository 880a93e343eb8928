//! What effects live in: orders in memory, a transport that remembers, a partner on a real socket.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeZone as _, Utc};
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_domain::OrderId;
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::protocol::Signature;
use waybill_tasks::celery::registry::Registry;
use waybill_tasks::celery::transport::{
    Delivery, Handler, Health, KeepError, Keeper, PublishError, Queue, Rejected, Routing, Stop, Transport, Verdict,
};
use waybill_tasks::celery::worker::Worker;
use waybill_tasks::effects::{Effects, OutsideNames, register};
use waybill_tasks::orders::{
    Amount, Begin, ConfirmationLink, Finish, NewInstance, OrderRecord, Orders, Report, Stage, Taken, Unavailable, Work,
};
use waybill_tasks::partner::{PartnerSettings, Partners, PartnersSettings};

use crate::scripted::{Reply, Scripted};

pub(crate) const ORDER: OrderId = OrderId(Uuid::from_u128(7));
pub(crate) const EFFECT: Uuid = Uuid::from_u128(70);

/// The application, in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) work: Mutex<Option<Work>>,
    pub(crate) finished: Mutex<Vec<Finish>>,
    pub(crate) cases: Mutex<BTreeSet<Uuid>>,
    pub(crate) callbacks: Mutex<BTreeSet<Uuid>>,
    pub(crate) payments: Mutex<BTreeMap<String, Value>>,
    pub(crate) reports: Mutex<BTreeMap<String, Report>>,
    pub(crate) instances: Mutex<BTreeMap<String, NewInstance>>,
    pub(crate) wrong: Mutex<Option<Taken>>,
    pub(crate) busy: AtomicBool,
    /// What is due is of an instance of another machine.
    pub(crate) has_no_record: AtomicBool,
    /// The next write is stored, but whoever asked for it is told that nothing answers.
    pub(crate) loses_answer: AtomicBool,
    /// The next end of an effect is not stored: a crash after the act.
    pub(crate) crashes: AtomicBool,
}

impl Memory {
    fn answer<T>(&self, value: T) -> Result<T, Unavailable> {
        if self.loses_answer.swap(false, Ordering::Relaxed) {
            return Err(Unavailable("it is gone".to_owned()));
        }
        Ok(value)
    }

    fn has_ended(&self) -> bool {
        self.finished
            .lock()
            .unwrap()
            .iter()
            .any(|finish| !matches!(finish, Finish::Retry { .. } | Finish::Handed { .. }))
    }
}

#[async_trait]
impl Orders for Memory {
    async fn begin(&self, effect_id: Uuid) -> Result<Begin, Unavailable> {
        if self.busy.load(Ordering::Relaxed) {
            return Ok(Begin::Busy);
        }
        let work = self
            .work
            .lock()
            .unwrap()
            .clone()
            .filter(|work| work.effect_id == effect_id);
        match work {
            Some(work) if !self.has_ended() && !self.has_no_record.load(Ordering::Relaxed) => {
                Ok(Begin::Run(Box::new(work)))
            }
            _ => Ok(Begin::Done),
        }
    }

    async fn finish(&self, effect_id: Uuid, finish: Finish) -> Result<(), Unavailable> {
        if self.crashes.swap(false, Ordering::Relaxed) {
            return Err(Unavailable("crashed before it was stored".to_owned()));
        }
        let mut work = self.work.lock().unwrap();
        let work = work
            .as_mut()
            .filter(|work| work.effect_id == effect_id)
            .expect("only what began can end");
        match &finish {
            Finish::Retry { counts, .. } => work.attempts += u32::from(*counts),
            Finish::Booked(booking) => work.order.partner_booking_id = Some(booking.id.clone()),
            Finish::Handed { from, to, .. } => {
                work.order.partner = Some(to.clone());
                work.asked.extend(from.iter().chain([to]).cloned());
                work.order.revision += 1;
                work.attempts = 0;
            }
            Finish::Done | Finish::Seen(_) | Finish::Event(_) | Finish::Failed { .. } => (),
        }
        self.finished.lock().unwrap().push(finish);
        self.answer(())
    }

    async fn create(&self, event_id: String, payment: Value) -> Result<Taken, Unavailable> {
        if let Some(wrong) = self.wrong.lock().unwrap().clone() {
            return Ok(wrong);
        }
        self.payments.lock().unwrap().insert(event_id, payment);
        self.answer(Taken::Ok(json!({"delivery_order_id": ORDER})))
    }

    async fn begin_reconciliation(&self, order_id: OrderId) -> Result<Option<Uuid>, Unavailable> {
        let work = self.work.lock().unwrap();
        let known = work.as_ref().filter(|work| work.order.order_id == order_id);
        self.answer(known.map(|work| work.effect_id))
    }

    async fn apply_callback(&self, callback_id: Uuid) -> Result<(), Unavailable> {
        self.callbacks.lock().unwrap().insert(callback_id);
        self.answer(())
    }

    async fn create_instance(&self, new: NewInstance) -> Result<Taken, Unavailable> {
        if let Some(wrong) = self.wrong.lock().unwrap().clone() {
            return Ok(wrong);
        }
        self.instances.lock().unwrap().insert(new.key.clone(), new);
        self.answer(Taken::Ok(json!({"instance_id": ORDER})))
    }

    async fn report(&self, report: Report) -> Result<Taken, Unavailable> {
        if let Some(wrong) = self.wrong.lock().unwrap().clone() {
            return Ok(wrong);
        }
        self.reports.lock().unwrap().insert(report.key.clone(), report);
        self.answer(Taken::Ok(json!({"state": "CANCELLED"})))
    }

    async fn open_case(&self, effect_id: Uuid) -> Result<(), Unavailable> {
        self.cases.lock().unwrap().insert(effect_id);
        self.answer(())
    }

    async fn confirmation_link(&self, effect_id: Uuid) -> Result<ConfirmationLink, Unavailable> {
        let expires_at = instant() + Duration::from_secs(14 * 24 * 3600);
        Ok(ConfirmationLink {
            url: format!("https://waybill.example/confirm/{effect_id}"),
            expires_at,
        })
    }
}

/// Remembers what was published, and may lack a queue or answers.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    pub(crate) published: Mutex<Vec<(Message, Routing)>>,
    pub(crate) missing: Mutex<Option<String>>,
    pub(crate) silent: AtomicBool,
}

#[async_trait]
impl Transport for Wire {
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        if self.missing.lock().unwrap().as_ref() == Some(&message.routing_key) {
            let (exchange, routing_key) = (message.exchange, message.routing_key);
            return Err(PublishError::Unroutable { exchange, routing_key });
        }
        if self.silent.load(Ordering::Relaxed) {
            return Err(PublishError::Unconfirmed("no answer in time".to_owned()));
        }
        self.published.lock().unwrap().push((message, routing));
        Ok(())
    }

    async fn consume(&self, _queue: Queue, _handler: Arc<dyn Handler>, _stop: Stop) {
        unreachable!("these tests hand the messages to the worker themselves")
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

/// Remembers what was set aside and what was parked.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    pub(crate) rejected: Mutex<Vec<Rejected>>,
    pub(crate) parked: Mutex<Vec<DateTime<Utc>>>,
}

#[async_trait]
impl Keeper for Shelf {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        self.rejected.lock().unwrap().push(rejected);
        Ok(())
    }

    async fn park(&self, _delivery: &Delivery, until: DateTime<Utc>) -> Result<(), KeepError> {
        self.parked.lock().unwrap().push(until);
        Ok(())
    }
}

/// All of it.
pub(crate) struct World {
    pub(crate) orders: Arc<Memory>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) partner: Scripted,
    worker: Worker<Effects>,
}

impl World {
    pub(crate) async fn new(script: impl IntoIterator<Item = Reply>) -> Self {
        let partner = Scripted::start(script).await;
        let settings = partner.settings();
        Self::with_settings(partner, settings)
    }

    pub(crate) fn with_settings(partner: Scripted, settings: PartnerSettings) -> Self {
        let partners = BTreeMap::from([("scripted".to_owned(), settings)]);
        let partners = PartnersSettings {
            partners,
            default: "scripted".to_owned(),
            routing: Vec::new(),
        };
        Self::with_partners(partner, &partners)
    }

    /// With more partners than the one that is watched.
    pub(crate) fn with_partners(partner: Scripted, partners: &PartnersSettings) -> Self {
        let (orders, wire, shelf) = (
            Arc::<Memory>::default(),
            Arc::<Wire>::default(),
            Arc::<Shelf>::default(),
        );
        let effects = Effects {
            orders: orders.clone(),
            partners: Arc::new(Partners::new(partners).unwrap()),
            transport: wire.clone(),
            names: OutsideNames::default(),
            callback_base: "https://waybill.example/".to_owned(),
        };
        let registry = register(Registry::new(Arc::new(effects)));
        let worker = Worker::new(registry, wire.clone(), shelf.clone());
        Self {
            orders,
            wire,
            shelf,
            partner,
            worker,
        }
    }

    /// An effect of that name is due, after a transition to that state, where the order still is.
    pub(crate) fn due(&self, name: &str, entered: &str) {
        let work = Work {
            effect_id: EFFECT,
            name: name.to_owned(),
            sequence: 3,
            entered: entered.into(),
            stage: Stage::Other,
            has_left: false,
            occurred_at: instant(),
            attempts: 0,
            asked: Vec::new(),
            booking_unknown: false,
            order: order(entered),
        };
        *self.orders.work.lock().unwrap() = Some(work);
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Work)) {
        change(self.orders.work.lock().unwrap().as_mut().unwrap());
    }

    /// Runs the task of the effect that is due.
    pub(crate) async fn run(&self) -> Verdict {
        let name = self
            .orders
            .work
            .lock()
            .unwrap()
            .as_ref()
            .map(|work| work.name.clone())
            .unwrap();
        self.send(&format!("waybill.{name}"), effect_kwargs()).await
    }

    pub(crate) async fn send(&self, task: &str, kwargs: Value) -> Verdict {
        let message = Signature::new(task)
            .id(EFFECT)
            .kwargs(kwargs)
            .queue("waybill")
            .into_message();
        self.worker
            .handle(&Delivery {
                queue: "waybill".to_owned(),
                message,
                redelivered: false,
            })
            .await
    }

    pub(crate) fn last(&self) -> Finish {
        self.orders
            .finished
            .lock()
            .unwrap()
            .last()
            .cloned()
            .expect("nothing has ended")
    }

    /// Ids of the tasks that went to that queue.
    pub(crate) fn told(&self, queue: &str) -> BTreeSet<String> {
        let published = self.wire.published.lock().unwrap();
        let there = published.iter().filter(|(message, _)| message.routing_key == queue);
        there
            .map(|(message, _)| message.properties.message_id.clone().unwrap())
            .collect()
    }

    /// Deliveries that the partner would carry.
    pub(crate) fn booked(&self) -> usize {
        self.partner
            .deliveries
            .lock()
            .unwrap()
            .values()
            .filter(|status| *status == "booked")
            .count()
    }

    pub(crate) fn partner_has(&self, status: &str) {
        self.partner
            .deliveries
            .lock()
            .unwrap()
            .insert(ORDER.to_string(), status.to_owned());
    }
}

pub(crate) fn effect_kwargs() -> Value {
    json!({"effect_id": EFFECT, "delivery_order_id": ORDER, "sequence": 3})
}

pub(crate) fn instant() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 20, 11, 0, 0).unwrap()
}

fn order(state: &str) -> OrderRecord {
    OrderRecord {
        order_id: ORDER,
        ordering_id: "ord_1".to_owned(),
        customer_id: "cus_1".to_owned(),
        payment_id: "pay_1".to_owned(),
        attempt: 1,
        predecessor_id: None,
        successor_id: None,
        state: state.into(),
        outcome: None,
        revision: 3,
        partner: None,
        partner_booking_id: None,
        partner_order_number: None,
        failure_reason: None,
        confirmed_by: None,
        locale: "de".to_owned(),
        tracking_url: None,
        pickup: json!({"name": "Bookstore Mitte"}),
        dropoff: json!({"name": "A. Reader", "phone": "+4930000000", "email": "reader@example.org"}),
        items: json!([{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}]),
        amount: Some(Amount {
            minor_units: 4599,
            currency: "EUR".to_owned(),
        }),
    }
}
