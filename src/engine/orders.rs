//! The engine as tasks see it.

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use uuid::Uuid;
use waybill_domain::{
    Actor, FieldName, FieldValue, Fields, Graph, GraphVersion, Kind, OrderId, Role, StateName, Transition,
};
use waybill_tasks::orders::{
    Begin, ConfirmationLink, Finish, OrderRecord, Orders, Report as TaskReport, Stage, Taken, Unavailable, Work,
};

use super::apply::{Answer, Report};
use super::booking::{BOOK, CANCEL};
use super::core::{has_left, is_collected, text};
use super::effect::{Lease, NOT_BOOKED_BY, PARTNER_CHOSEN};
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
            return Ok(Begin::Done);
        };
        let log = store.log(order_id).await.map_err(unavailable)?;
        let entry = log.iter().find(|entry| entry.transition.revision.0 == effect.sequence);
        let Some(entry) = entry else {
            return Ok(Begin::Done);
        };
        let graph = self.graph_of(GraphVersion(entry.graph_version)).await;
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

    async fn report(&self, report: TaskReport) -> Result<Taken, Unavailable> {
        let wrong = |code: &str, place: String, detail: String| {
            Ok(Taken::Wrong {
                code: code.to_owned(),
                place,
                detail,
            })
        };
        let (fields, extra) = match split_fields(&report.fields) {
            Ok(split) => split,
            Err(field) => {
                let detail = "expected a text, a whole number, true or false".to_owned();
                return wrong("wrong-field", format!("kwargs.fields.{field}"), detail);
            }
        };
        let key = report.key.clone();
        let report = Report {
            order_id: report.order_id,
            event: report.event,
            fields,
            extra,
            actor: Actor {
                role: Role::Service,
                id: "task".to_owned(),
            },
            key: report.key,
            if_revision: None,
            occurred_at: None,
        };
        match Engine::report(self, report).await? {
            Answer::Applied { revision } | Answer::Repeated { revision } => {
                Ok(Taken::Ok(json!({ "revision": revision })))
            }
            Answer::KeyReused => wrong(
                "idempotency-key-reuse",
                "kwargs.key".to_owned(),
                format!("{key} was used for another event"),
            ),
            Answer::NotFound => wrong(
                "unknown-order",
                "kwargs.delivery_order_id".to_owned(),
                "there is no such order".to_owned(),
            ),
            Answer::Moved { revision } => wrong("revision", "kwargs".to_owned(), format!("the order is at {revision}")),
            Answer::Refused(refusal) => wrong("refused", "kwargs.event".to_owned(), refusal.to_string()),
        }
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

impl Engine {
    async fn effect_of(&self, effect_id: Uuid) -> Result<Option<(Effect, OrderId)>, Unavailable> {
        let effect = self.store().effect(effect_id).await.map_err(unavailable)?;
        Ok(effect.and_then(|effect| effect.order_id.map(|order| (effect, order))))
    }
}

/// What a caller brings, told apart: fields of the graph, and the objects that only the engine takes (`dropoff`, `partner`).
pub fn split_fields(fields: &Json) -> Result<(Fields, Json), String> {
    let mut known = Fields::new();
    let mut extra = serde_json::Map::new();
    match fields {
        Json::Null => {}
        Json::Object(fields) => {
            for (name, value) in fields {
                match serde_json::from_value::<FieldValue>(value.clone()) {
                    _ if matches!(name.as_str(), "dropoff" | "partner") => {
                        extra.insert(name.clone(), value.clone());
                    }
                    Ok(value) => {
                        known.insert(FieldName::from(name.as_str()), value);
                    }
                    Err(_) => return Err(name.clone()),
                }
            }
        }
        _ => return Err(String::new()),
    }
    Ok((
        known,
        if extra.is_empty() {
            Json::Null
        } else {
            Json::Object(extra)
        },
    ))
}

fn stage(graph: Option<&Graph>, entered: &StateName) -> Stage {
    match graph.and_then(|graph| Some((graph, graph.state(entered.as_str())?.kind))) {
        Some((graph, _)) if is_collected(graph, entered) => Stage::Collected,
        Some((_, Kind::Attention)) => Stage::Attention,
        _ => Stage::Other,
    }
}

fn work(effect: Effect, entry: &Transition, stored: &Stored) -> Work {
    let (order, record) = (&stored.loaded.order, &stored.loaded.record);
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
