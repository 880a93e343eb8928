//! The engine as tasks see it.

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;
use waybill_domain::{
    Actor, FieldName, FieldValue, Fields, Graph, GraphVersion, Kind, OrderId, Role, StateName, Transition,
};
use waybill_tasks::orders::{
    Begin, ConfirmationLink, Finish, NewInstance as TaskInstance, OrderRecord, Orders, Report as TaskReport, Stage,
    Taken, Unavailable, Work,
};

use super::apply::{Answer, Report};
use super::booking::{BOOK, CANCEL};
use super::core::{MACHINE, has_left, text};
use super::delivery::is_collected;
use super::effect::{Lease, NOT_BOOKED_BY, PARTNER_CHOSEN};
use super::instances::{Birth, NewInstance};
use super::payment::Followed;
use super::{Engine, EngineError};
use crate::crash::{self, Point};
use crate::payments;
use crate::store::Stored;
use crate::store::record::{Effect, EffectState};

impl From<EngineError> for Unavailable {
    fn from(error: EngineError) -> Self {
        Self(error.to_string())
    }
}

fn unavailable(error: impl Into<EngineError>) -> Unavailable {
    error.into().into()
}

#[async_trait]
impl Orders for Engine {
    async fn begin(&self, effect_id: Uuid) -> Result<Begin, Unavailable> {
        let Some((effect, order_id)) = self.effect_of(effect_id).await? else {
            return Ok(Begin::Done);
        };
        if matches!(effect.state, EffectState::Done | EffectState::Failed) {
            return Ok(Begin::Done);
        }
        match self.lease(effect_id, &effect.name, order_id).await? {
            Lease::Ended => return Ok(Begin::Done),
            Lease::Busy => return Ok(Begin::Busy),
            Lease::Taken => {}
        }
        // Read again after the lease: whoever talked to the partner before has told by now what came of it.
        let store = self.store();
        let effect = store.effect(effect_id).await.map_err(unavailable)?.unwrap_or(effect);
        let Some(order) = store.order(order_id).await.map_err(unavailable)? else {
            // No graph of another machine asks for it: rule `effect-of-deliveries`.
            return Ok(Begin::Done);
        };
        let log = store.log(order_id).await.map_err(unavailable)?;
        let entry = log.iter().find(|entry| entry.transition.revision.0 == effect.sequence);
        let Some(entry) = entry else {
            return Ok(Begin::Done);
        };
        let graph = self
            .graph_of(&order.loaded.machine, GraphVersion(entry.graph_version))
            .await;
        let stage = stage(graph.map_err(unavailable)?.as_deref(), &entry.transition.to);
        let has_left = has_left(&log, effect.sequence);
        let chosen = log
            .iter()
            .map(|entry| &entry.transition)
            .filter(|it| it.event == PARTNER_CHOSEN);
        let names = |it: &Transition| [text(&it.fields, "partner"), text(&it.fields, NOT_BOOKED_BY)];
        let asked = chosen.flat_map(names).flatten().collect();
        let mut work = work(effect, &entry.transition, &order);
        (work.stage, work.has_left) = (stage, has_left);
        work.asked = asked;
        if work.name == CANCEL && work.order.partner_booking_id.is_none() {
            work.booking_unknown = store.is_outcome_unknown(order_id, BOOK).await.map_err(unavailable)?;
        }
        if work.name == BOOK {
            work.order.amount = store.amount_paid(&work.order.payment_id).await.map_err(unavailable)?;
        }
        Ok(Begin::Run(Box::new(work)))
    }

    async fn finish(&self, effect_id: Uuid, finish: Finish) -> Result<(), Unavailable> {
        match self.effect_of(effect_id).await? {
            Some((_, order_id)) => Ok(self.end(effect_id, order_id, finish).await?),
            None => Ok(()),
        }
    }

    async fn create(&self, event_id: String, payment: Json) -> Result<Taken, Unavailable> {
        let paid = match payments::paid_by_task(&event_id, &payment) {
            Ok(paid) => paid,
            Err(wrong) => {
                return Ok(Taken::Wrong {
                    code: wrong.reason.to_owned(),
                    place: wrong.place,
                    detail: wrong.detail,
                });
            }
        };
        Ok(match self.paid(paid).await? {
            Followed::KeyConflict => Taken::Wrong {
                code: "event-key-conflict".to_owned(),
                place: "kwargs.event_id".to_owned(),
                detail: format!("expected the content that {event_id} had before, found another"),
            },
            Followed::Created(id) => Taken::Ok(json!({ "delivery_order_id": id })),
            Followed::Cancelled(_) | Followed::Recorded | Followed::Duplicate => Taken::Ok(Json::Null),
        })
    }

    async fn begin_reconciliation(&self, order_id: OrderId) -> Result<Option<Uuid>, Unavailable> {
        Ok(self.reconcile(order_id, true).await?)
    }

    async fn apply_callback(&self, callback_id: Uuid) -> Result<(), Unavailable> {
        crash::pass(Point::BeforeApply);
        Engine::apply_callback(self, callback_id).await?;
        crash::pass(Point::BeforeAck);
        Ok(())
    }

    async fn create_instance(&self, new: TaskInstance) -> Result<Taken, Unavailable> {
        let told = plain_fields(&new.fields).map_err(|field| wrong_field(&field));
        let (fields, actor) = match told.and_then(|fields| Ok((fields, sender(&new.key, new.actor)?))) {
            Ok(told) => told,
            Err(wrong) => return Ok(wrong),
        };
        let (machine, key) = (new.machine.clone(), new.key.clone());
        let new = NewInstance {
            machine: new.machine,
            fields,
            actor,
            key: new.key,
        };
        Ok(match Engine::create_instance(self, new).await? {
            Birth::Born(id) | Birth::Repeated(id) => Taken::Ok(json!({ "instance_id": id })),
            Birth::KeyReused => key_reused(&key),
            Birth::UnknownMachine => wrong(
                "unknown-machine",
                "kwargs.machine".to_owned(),
                format!("{machine} has no active version that instances are created with"),
            ),
            Birth::Refused(refusal) => wrong("refused", "kwargs.fields".to_owned(), refusal.to_string()),
        })
    }

    async fn report(&self, report: TaskReport) -> Result<Taken, Unavailable> {
        let (told, place) = match report.machine {
            None => (split_fields(&report.fields), "kwargs.delivery_order_id"),
            Some(_) => (
                plain_fields(&report.fields).map(|fields| (fields, Json::Null)),
                "kwargs.instance_id",
            ),
        };
        let told = told.map_err(|field| wrong_field(&field));
        let ((fields, extra), actor) = match told.and_then(|told| Ok((told, sender(&report.key, report.actor)?))) {
            Ok(told) => told,
            Err(wrong) => return Ok(wrong),
        };
        let key = report.key.clone();
        let report = Report {
            machine: report.machine.unwrap_or_else(|| MACHINE.into()),
            order_id: report.order_id,
            event: report.event,
            fields,
            extra,
            actor,
            key: report.key,
            if_revision: None,
            occurred_at: None,
        };
        Ok(match Engine::report(self, report).await? {
            Answer::Applied { revision } | Answer::Repeated { revision } => Taken::Ok(json!({ "revision": revision })),
            Answer::KeyReused => key_reused(&key),
            Answer::NotFound => wrong("unknown-order", place.to_owned(), "there is no such order".to_owned()),
            Answer::Moved { revision } => wrong("revision", "kwargs".to_owned(), format!("the order is at {revision}")),
            Answer::Refused(refusal) => wrong("refused", "kwargs.event".to_owned(), refusal.to_string()),
        })
    }

    async fn open_case(&self, effect_id: Uuid) -> Result<(), Unavailable> {
        match self.effect_of(effect_id).await? {
            Some((_, order_id)) => Ok(self.open_pending_case(effect_id, order_id).await?),
            None => Ok(()),
        }
    }

    async fn confirmation_link(&self, effect_id: Uuid) -> Result<ConfirmationLink, Unavailable> {
        let Some((effect, order_id)) = self.effect_of(effect_id).await? else {
            return Err(Unavailable(format!("effect {effect_id} is not known")));
        };
        self.confirm_if_handed_over(order_id).await?;
        let (token, expires_at) = self.issue_token(order_id, effect.sequence).await?;
        Ok(ConfirmationLink {
            url: format!("{}/confirm/{token}", self.outside().public_url),
            expires_at,
        })
    }

    async fn handover_link(&self, effect_id: Uuid) -> Result<Option<ConfirmationLink>, Unavailable> {
        let Some((effect, order_id)) = self.effect_of(effect_id).await? else {
            return Ok(None);
        };
        let issued = self.issue_code(order_id, effect.sequence).await?;
        Ok(issued.map(|(token, expires_at)| ConfirmationLink {
            url: format!("{}/code/{token}", self.outside().public_url),
            expires_at,
        }))
    }
}

/// Characters of a key, and of the name of whom somebody speaks for.
const LONGEST_NAME: usize = 255;

fn is_short_text(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.chars().count()) && !text.contains('\0')
}

impl Engine {
    async fn effect_of(&self, effect_id: Uuid) -> Result<Option<(Effect, OrderId)>, Unavailable> {
        let effect = self.store().effect(effect_id).await.map_err(unavailable)?;
        Ok(effect.and_then(|effect| effect.order_id.map(|order| (effect, order))))
    }
}

fn wrong(code: &str, place: String, detail: String) -> Taken {
    Taken::Wrong {
        code: code.to_owned(),
        place,
        detail,
    }
}

fn key_reused(key: &str) -> Taken {
    let detail = format!("{key} was used for another event");
    wrong("idempotency-key-reuse", "kwargs.key".to_owned(), detail)
}

fn wrong_field(field: &str) -> Taken {
    let detail = "expected a text, a whole number, true or false".to_owned();
    wrong("wrong-field", format!("kwargs.fields.{field}"), detail)
}

/// Whoever sends tasks to our queue is a service, and may speak for others. What it says has a key.
fn sender(key: &str, spoken_for: Option<Actor>) -> Result<Actor, Taken> {
    if !is_short_text(key) {
        let detail = format!("expected 1 to {LONGEST_NAME} characters without NUL, the same for the same event");
        return Err(wrong("wrong-key", "kwargs.key".to_owned(), detail));
    }
    let task = Actor {
        role: Role::Service,
        id: "task".to_owned(),
    };
    speak(task, spoken_for).map_err(|detail| wrong("wrong-actor", "kwargs.actor".to_owned(), detail))
}

/// The actor of what a service reports for somebody: their role and name, and by whom it was told. What is wrong with it otherwise.
pub fn speak(service: Actor, spoken_for: Option<Actor>) -> Result<Actor, String> {
    let Some(actor) = spoken_for else {
        return Ok(service);
    };
    if !actor.role.has_a_voice_elsewhere() {
        return Err(format!("nobody speaks for {}", actor.role));
    }
    if !is_short_text(&actor.id) {
        return Err(format!("id must be text of 1 to {LONGEST_NAME} characters without NUL"));
    }
    Ok(Actor {
        role: actor.role,
        id: format!("{} by {}", actor.id, service.id),
    })
}

/// What a caller brings to a graph. What has another shape than a field may have is named otherwise.
pub fn plain_fields(fields: &Json) -> Result<Fields, String> {
    let one = |(name, value): (&String, &Json)| match serde_json::from_value::<FieldValue>(value.clone()) {
        Ok(value) => Ok((FieldName::from(name.as_str()), value)),
        Err(_) => Err(name.clone()),
    };
    match fields {
        Json::Null => Ok(Fields::new()),
        Json::Object(fields) => fields.iter().map(one).collect(),
        _ => Err(String::new()),
    }
}

/// What a caller brings to a delivery order, told apart: fields of the graph, and the objects that only the engine takes (`dropoff`,
/// `partner`).
pub fn split_fields(fields: &Json) -> Result<(Fields, Json), String> {
    let Json::Object(all) = fields else {
        return Ok((plain_fields(fields)?, Json::Null));
    };
    let is_extra = |name: &str| matches!(name, "dropoff" | "partner");
    let (extra, plain): (Map<_, _>, Map<_, _>) = all.clone().into_iter().partition(|(name, _)| is_extra(name));
    let extra = if extra.is_empty() {
        Json::Null
    } else {
        Json::Object(extra)
    };
    Ok((plain_fields(&Json::Object(plain))?, extra))
}

fn stage(graph: Option<&Graph>, entered: &StateName) -> Stage {
    match graph.and_then(|graph| Some((graph, graph.state(entered.as_str())?.kind))) {
        Some((graph, _)) if is_collected(graph, entered) => Stage::Collected,
        Some((_, Kind::Attention)) => Stage::Attention,
        _ => Stage::Other,
    }
}

fn work(effect: Effect, entry: &Transition, stored: &Stored) -> Work {
    let (order, record) = (&stored.loaded.order, &stored.record);
    Work {
        effect_id: effect.effect_id,
        name: effect.name,
        sequence: effect.sequence,
        entered: entry.to.clone(),
        stage: Stage::Other,
        has_left: false,
        occurred_at: entry.occurred_at,
        attempts: u32::try_from(effect.attempts).unwrap_or(u32::MAX),
        asked: Vec::new(),
        booking_unknown: false,
        order: OrderRecord {
            order_id: order.id,
            ordering_id: record.ordering_id.clone(),
            customer_id: record.customer_id.clone(),
            payment_id: record.payment_id.clone(),
            attempt: i32::try_from(record.attempt).unwrap_or(i32::MAX),
            predecessor_id: record.predecessor_id,
            successor_id: record.successor_id,
            state: order.state.clone(),
            outcome: record.outcome.clone(),
            revision: order.revision.0,
            partner: record.partner.clone(),
            partner_booking_id: record.partner_booking_id.clone(),
            partner_order_number: record.partner_order_number.clone(),
            failure_reason: record.failure_reason.clone(),
            confirmed_by: record.confirmed_by.clone(),
            locale: record.locale.clone(),
            tracking_url: record.tracking_url.clone(),
            pickup: stored.pickup.clone(),
            dropoff: stored.dropoff.clone(),
            items: record.items.clone(),
            amount: None,
        },
    }
}
