//! Events that operators and services report about an order.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use waybill_domain::{EventName, Graph, OrderId, Refusal};

use super::App;
use super::address;
use super::body::{Body, unique_names};
use super::caller::{Action, Caller};
use super::headers::{Id, IdempotencyKey, IfMatch};
use super::openapi::{
    BadRequest, Conflict, Forbidden, NotFound, Ours, PreconditionFailed, TooLarge, Unauthorized, Unprocessable,
    UnsupportedType,
};
use super::orders::show;
use super::problem::{Code, Problem};
use super::views::{LastMove, OrderView, allowed_events};
use crate::engine::orders::split_fields;
use crate::engine::{Answer, MACHINE, Report};

/// Tells that this was reported before, and that nothing was done again.
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What somebody reports.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EventReport {
    /// Such as `REDELIVERY_ARRANGED`.
    event: String,
    /// What the event brings; for REDELIVERY_ARRANGED also `dropoff` (an address) and `partner`.
    #[serde(default, deserialize_with = "unique_names")]
    #[schema(value_type = Object)]
    fields: Value,
}

/// Reports an event. Sending the same `Idempotency-Key` again moves nothing again.
#[utoipa::path(
    post, path = "/v1/delivery-orders/{id}/events", tag = "delivery orders",
    security(("token" = ["operator", "service"])),
    params(
        ("id" = uuid::Uuid, Path, description = "delivery_order_id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters, unique per report of one caller"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the order that the caller has seen"),
    ),
    request_body = EventReport,
    responses(
        (
            status = 200, description = "the order after the event", body = OrderView,
            headers(
                ("ETag" = String, description = "the revision, quoted"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` where this key was told before"),
            ),
        ),
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, PreconditionFailed, TooLarge, UnsupportedType,
        Unprocessable, Ours,
    ),
)]
pub(super) async fn report_event(
    State(app): State<App>,
    may: MayReport,
    IdempotencyKey(key): IdempotencyKey,
    IfMatch(if_revision): IfMatch,
    Body(report): Body<EventReport>,
) -> Result<(HeaderMap, Json<OrderView>), Problem> {
    let MayReport {
        caller,
        order_id,
        graph,
    } = may;
    let (fields, extra) = split_fields(&report.fields)
        .map_err(|field| bad_field(&format!("fields.{field}"), "a text, a whole number, true or false"))?;
    check_extra(&app, graph.as_deref(), &report.event, &extra)?;
    let actor = caller.acting(graph.as_deref(), &report.event);
    let report = Report {
        machine: MACHINE.into(),
        order_id,
        event: EventName::from(report.event),
        fields,
        extra,
        actor,
        key,
        if_revision,
        occurred_at: None,
    };
    match app.engine.report(report).await? {
        Answer::Applied { .. } => latest(&app, order_id).await,
        Answer::Repeated { .. } => {
            let (mut headers, order) = latest(&app, order_id).await?;
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
            Ok((headers, order))
        }
        Answer::KeyReused => {
            let detail = "take a new key for another event, order or payload";
            Err(Problem::new(Code::IdempotencyKeyReuse, detail))
        }
        Answer::NotFound => Err(Problem::not_found()),
        Answer::Moved { revision } => Err(revision_mismatch(&app, order_id, revision).await?),
        Answer::Refused(refusal) => Err(refused(&app, order_id, refusal).await?),
    }
}

/// Who reports about which order: checked before anything of the report is read.
pub(super) struct MayReport {
    caller: Caller,
    order_id: OrderId,
    graph: Option<std::sync::Arc<Graph>>,
}

impl axum::extract::FromRequestParts<App> for MayReport {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut axum::http::request::Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        let Id(id) = Id::from_request_parts(parts, app).await?;
        let store = app.engine.store();
        let order = match store.order(OrderId(id)).await? {
            Some(order) => order,
            // A replica may not have heard of an order that was born a moment ago.
            None => store.latest_order(OrderId(id)).await?.ok_or_else(Problem::not_found)?,
        };
        caller.authorize(Action::ReportEvent(&order.record.customer_id))?;
        let graph = app
            .engine
            .graph_of(&order.loaded.machine, order.loaded.order.graph_version)
            .await?;
        Ok(Self {
            caller,
            order_id: OrderId(id),
            graph,
        })
    }
}

async fn latest(app: &App, order_id: OrderId) -> Result<(HeaderMap, Json<OrderView>), Problem> {
    let found = app.engine.store().latest_order(order_id).await?;
    found.map(show).ok_or_else(Problem::not_found)
}

/// A new address and another partner are for an order that takes over.
fn check_extra(app: &App, graph: Option<&Graph>, event: &str, extra: &Value) -> Result<(), Problem> {
    let Value::Object(extra) = extra else { return Ok(()) };
    let replaces = graph.is_some_and(|graph| graph.edges(event).any(|(_, edge)| edge.successor.is_some()));
    if let Some(name) = extra.keys().next().filter(|_| !replaces) {
        let detail = format!("{name} is only for an event that arranges a new order");
        return Err(Problem::new(Code::UnknownField, detail).with("field", name.as_str()));
    }
    if let Some(dropoff) = extra.get("dropoff") {
        address::check("fields.dropoff", dropoff).map_err(|(place, expected)| bad_field(&place, &expected))?;
    }
    let outside = app.engine.outside();
    match extra.get("partner").map(Value::as_str) {
        None => Ok(()),
        Some(Some(name)) if outside.adapters.contains_key(name) || outside.default_partner == name => Ok(()),
        Some(_) => {
            let names: Vec<&str> = outside.adapters.keys().map(String::as_str).collect();
            Err(bad_field("fields.partner", &format!("one of {}", names.join(", "))))
        }
    }
}

pub(super) fn bad_field(place: &str, expected: &str) -> Problem {
    Problem::new(Code::BadField, format!("{place} must be {expected}")).with("field", place)
}

/// The graph's no.
pub(super) fn refusal_code(refusal: &Refusal) -> Problem {
    let code = match refusal {
        Refusal::WrongActor { .. } => Code::WrongActor,
        Refusal::UnknownEvent { .. } => Code::UnknownEvent,
        Refusal::MissingField { .. } => Code::MissingField,
        Refusal::UnknownField { .. } => Code::UnknownField,
        Refusal::BadField { .. } => Code::BadField,
        Refusal::Duplicate { .. } => Code::DuplicateEvent,
        Refusal::GuardNotMet { .. } => Code::GuardNotMet,
        Refusal::ForOperator { .. } => Code::ForOperator,
        Refusal::Stale { .. } | Refusal::Noted { .. } => Code::StaleEvent,
        Refusal::Early { .. } => Code::EarlyEvent,
        Refusal::Contradiction { .. } => Code::ContradictingEvent,
    };
    let problem = Problem::new(code, refusal.to_string());
    match refusal {
        Refusal::MissingField { field, .. } | Refusal::UnknownField { field } | Refusal::BadField { field, .. } => {
            problem.with("field", field.as_str())
        }
        _ => problem,
    }
}

/// The graph's no, and what the caller needs to see what happened instead.
pub(super) async fn refused(app: &App, id: OrderId, refusal: Refusal) -> Result<Problem, Problem> {
    let problem = refusal_code(&refusal);
    if problem.code().status() == StatusCode::CONFLICT {
        return conflict(app, id, problem).await;
    }
    Ok(problem)
}

pub(super) async fn revision_mismatch(app: &App, id: OrderId, revision: i64) -> Result<Problem, Problem> {
    let detail = format!("the order is at revision {revision}");
    conflict(app, id, Problem::new(Code::RevisionMismatch, detail)).await
}

/// Adds where the instance stands, what may follow, and who was first.
async fn conflict(app: &App, id: OrderId, problem: Problem) -> Result<Problem, Problem> {
    let store = app.engine.store();
    let (instance, _) = store.instance(id).await?.ok_or_else(Problem::not_found)?;
    let last = store.last_move(id).await?;
    let order = instance.order;
    let graph = app.engine.graph_of(&instance.machine, order.graph_version).await?;
    Ok(problem
        .with("state", order.state.as_str())
        .with("revision", order.revision.0)
        .with("allowed", json!(allowed_events(graph.as_deref(), &order)))
        .with("last", json!(last.map(LastMove::from))))
}
