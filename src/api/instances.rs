//! Instances of any machine: brought into being, listed, shown with their log, and told what happened to them.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use waybill_domain::{Actor, EventName, FieldName, FieldValue, Fields, MachineName, OrderId, Role};

use super::App;
use super::body::{Body, unique_names};
use super::caller::{Action, Caller};
use super::cursor::Cursor;
use super::events::{REPLAYED, bad_field, refusal_code, refused, revision_mismatch};
use super::headers::{IdempotencyKey, IfMatch};
use super::openapi::{
    BadRequest, Conflict, Forbidden, NotFound, Ours, PreconditionFailed, TooLarge, Unauthorized, Unprocessable,
    UnsupportedType,
};
use super::orders::{cut, state_names};
use super::problem::{Code, Problem};
use super::query::Query;
use super::views::{AllowedEvent, DeadlineView, LogRowView, allowed_events};
use crate::engine::instances::{Birth, NewInstance};
use crate::engine::orders::plain_fields;
use crate::engine::{Answer, Report};
use crate::store::InstanceFilter;
use crate::store::record::Loaded;

/// An instance of a machine.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct InstanceView {
    instance_id: Uuid,
    machine: String,
    graph_version: u32,
    state: String,
    /// `success`, `failure` or `cancelled` once it has ended.
    outcome: Option<String>,
    /// How many log rows it has; the ETag.
    revision: i64,
    /// What it knows; a field keeps its first value.
    #[schema(value_type = Object)]
    fields: BTreeMap<FieldName, FieldValue>,
    deadline: Option<DeadlineView>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// An instance with its whole log.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct InstanceHistory {
    #[serde(flatten)]
    instance: InstanceView,
    /// What may move it from where it is.
    allowed: Vec<AllowedEvent>,
    /// Oldest row first.
    log: Vec<LogRowView>,
}

/// A page of instances.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct InstancePage {
    /// In the order of their last change.
    items: Vec<InstanceView>,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

impl From<(Loaded, DateTime<Utc>)> for InstanceView {
    fn from((loaded, updated_at): (Loaded, DateTime<Utc>)) -> Self {
        let order = loaded.order;
        Self {
            instance_id: order.id.0,
            machine: loaded.machine.to_string(),
            graph_version: order.graph_version.0,
            state: order.state.to_string(),
            outcome: loaded.outcome.map(|outcome| outcome.as_str().to_owned()),
            revision: order.revision.0,
            fields: order.fields,
            deadline: loaded.deadline.map(DeadlineView::from),
            created_at: loaded.created_at,
            updated_at,
        }
    }
}

/// An instance to be created.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceCreation {
    /// What it knows from birth: fields of its graph.
    #[serde(default, deserialize_with = "unique_names")]
    #[schema(value_type = Object)]
    fields: Value,
    #[serde(default)]
    actor: Option<SpokenFor>,
}

/// What happened to an instance.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InstanceEvent {
    /// Such as `GOODS_SHIPPED`.
    event: String,
    /// What the event brings.
    #[serde(default, deserialize_with = "unique_names")]
    #[schema(value_type = Object)]
    fields: Value,
    #[serde(default)]
    actor: Option<SpokenFor>,
}

/// For whom a service speaks; left out, it speaks for itself.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SpokenFor {
    /// `customer`, `delivery_partner`, `payment_service` or `service`.
    #[schema(value_type = String)]
    role: Role,
    /// Their name, 1 to 255 characters; the log adds by whom it was told.
    id: String,
}

impl From<SpokenFor> for Actor {
    fn from(SpokenFor { role, id }: SpokenFor) -> Self {
        Self { role, id }
    }
}

/// The machine in a path, for those who may work with its instances.
pub(super) struct OfMachine {
    caller: Caller,
    machine: MachineName,
    id: Option<OrderId>,
}

impl FromRequestParts<App> for OfMachine {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        caller.authorize(Action::TendInstances)?;
        let path = Path::<BTreeMap<String, String>>::from_request_parts(parts, app).await;
        let Ok(Path(mut path)) = path else {
            return Err(Problem::not_found());
        };
        let machine = path.remove("machine").ok_or_else(Problem::not_found)?;
        let id = path.remove("id").map(|id| Uuid::try_parse(&id));
        let id = id.transpose().map_err(|_| Problem::not_found())?;
        Ok(Self {
            caller,
            machine: machine.into(),
            id: id.map(OrderId),
        })
    }
}

/// Brings an instance into being, on the version of its graph that is active. Sending the same `Idempotency-Key` again creates nothing
/// again. Delivery orders are not made here: payments make them.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/instances", tag = "machines", security(("token" = ["operator", "service"])),
    params(
        ("machine" = String, Path, description = "such as food-order"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters, unique per creation of one caller"),
    ),
    request_body = InstanceCreation,
    responses(
        (
            status = 201, description = "it is there now", body = InstanceHistory,
            headers(("ETag" = String, description = "the revision, quoted"), ("Location" = String, description = "where it is shown")),
        ),
        (
            status = 200, description = "it was created with this key before", body = InstanceHistory,
            headers(
                ("ETag" = String, description = "the revision, quoted"), ("Location" = String, description = "where it is shown"),
                ("Idempotent-Replayed" = String, description = "`true`"),
            ),
        ),
        BadRequest, Unauthorized, Forbidden, NotFound, TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(super) async fn create_instance(
    State(app): State<App>,
    OfMachine { caller, machine, .. }: OfMachine,
    IdempotencyKey(key): IdempotencyKey,
    Body(creation): Body<InstanceCreation>,
) -> Result<(StatusCode, HeaderMap, Json<InstanceHistory>), Problem> {
    let actor = caller.speaking(None, "", creation.actor.map(Actor::from))?;
    let new = NewInstance {
        fields: fields_of(&creation.fields)?,
        machine: machine.clone(),
        actor,
        key,
    };
    let (status, id) = match app.engine.create_instance(new).await? {
        Birth::Born(id) => (StatusCode::CREATED, id),
        Birth::Repeated(id) => (StatusCode::OK, id),
        Birth::KeyReused => return Err(key_reused()),
        Birth::UnknownMachine => return Err(Problem::not_found()),
        Birth::Refused(refusal) => return Err(refusal_code(&refusal)),
    };
    let (mut headers, view) = find(&app, &machine, id).await?;
    let place = HeaderValue::try_from(format!("/v1/machines/{machine}/instances/{id}"));
    headers.extend(place.ok().map(|place| (LOCATION, place)));
    if status == StatusCode::OK {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok((status, headers, view))
}

/// The instances of a machine, in the order of their last change.
#[utoipa::path(
    get, path = "/v1/machines/{machine}/instances", tag = "machines", security(("token" = ["operator", "service"])),
    params(
        ("machine" = String, Path, description = "such as food-order"),
        ("state" = Option<String>, Query, description = "only instances in this state"),
        ("updated_after" = Option<String>, Query, description = "only instances changed after this instant (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<i64>, Query, description = "rows of a page, 1 to 200, 50 otherwise", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "a page", body = InstancePage), BadRequest, Unauthorized, Forbidden, NotFound, Ours),
)]
pub(super) async fn list_instances(
    State(app): State<App>,
    OfMachine { machine, .. }: OfMachine,
    mut query: Query,
) -> Result<Json<InstancePage>, Problem> {
    let states = state_names(&app, machine.as_str()).await?;
    if states.is_empty() {
        return Err(Problem::not_found());
    }
    let states: Vec<&str> = states.iter().map(String::as_str).collect();
    let limit = query.limit()?;
    let filter = InstanceFilter {
        machine: machine.to_string(),
        state: query.word("state", &states)?,
        updated_after: query.instant("updated_after")?,
        after: query.cursor()?.map(|cursor| (cursor.at, cursor.id)),
        limit: limit + 1,
    };
    query.finish()?;
    let mut instances = app.engine.store().instances(&filter).await?;
    let next_cursor = cut(&mut instances, limit, |(loaded, updated_at)| Cursor {
        at: *updated_at,
        id: loaded.order.id.0,
    });
    Ok(Json(InstancePage {
        items: instances.into_iter().map(InstanceView::from).collect(),
        next_cursor,
    }))
}

/// One instance with its log and what may move it.
#[utoipa::path(
    get, path = "/v1/machines/{machine}/instances/{id}", tag = "machines", security(("token" = ["operator", "service"])),
    params(
        ("machine" = String, Path, description = "such as food-order"),
        ("id" = uuid::Uuid, Path, description = "instance_id"),
    ),
    responses(
        (
            status = 200, description = "the instance", body = InstanceHistory,
            headers(("ETag" = String, description = "the revision, quoted")),
        ),
        Unauthorized, Forbidden, NotFound, Ours,
    ),
)]
pub(super) async fn show_instance(
    State(app): State<App>,
    about: OfMachine,
) -> Result<(HeaderMap, Json<InstanceHistory>), Problem> {
    let id = about.id.ok_or_else(Problem::not_found)?;
    find(&app, &about.machine, id).await
}

/// Reports an event about an instance. Sending the same `Idempotency-Key` again moves nothing again.
#[utoipa::path(
    post, path = "/v1/machines/{machine}/instances/{id}/events", tag = "machines",
    security(("token" = ["operator", "service"])),
    params(
        ("machine" = String, Path, description = "such as food-order"),
        ("id" = uuid::Uuid, Path, description = "instance_id"),
        ("Idempotency-Key" = String, Header, description = "1 to 255 visible ASCII characters, unique per report of one caller"),
        ("If-Match" = Option<String>, Header, description = "the ETag of the instance that the caller has seen"),
    ),
    request_body = InstanceEvent,
    responses(
        (
            status = 200, description = "the instance after the event", body = InstanceHistory,
            headers(
                ("ETag" = String, description = "the revision, quoted"),
                ("Idempotent-Replayed" = Option<String>, description = "`true` where this key was told before"),
            ),
        ),
        BadRequest, Unauthorized, Forbidden, NotFound, Conflict, PreconditionFailed, TooLarge, UnsupportedType,
        Unprocessable, Ours,
    ),
)]
pub(super) async fn report_instance_event(
    State(app): State<App>,
    OfMachine { caller, machine, id }: OfMachine,
    IdempotencyKey(key): IdempotencyKey,
    IfMatch(if_revision): IfMatch,
    Body(told): Body<InstanceEvent>,
) -> Result<(HeaderMap, Json<InstanceHistory>), Problem> {
    let id = id.ok_or_else(Problem::not_found)?;
    let store = app.engine.store();
    let instance = store.instance(id).await?.map(|(instance, _)| instance);
    let instance = instance
        .filter(|it| it.machine == machine)
        .ok_or_else(Problem::not_found)?;
    let graph = app.engine.graph_of(&machine, instance.order.graph_version).await?;
    let actor = caller.speaking(graph.as_deref(), &told.event, told.actor.map(Actor::from))?;
    let report = Report {
        machine: machine.clone(),
        order_id: id,
        event: EventName::from(told.event),
        fields: fields_of(&told.fields)?,
        extra: Value::Null,
        actor,
        key,
        if_revision,
        occurred_at: None,
    };
    match app.engine.report(report).await? {
        Answer::Applied { .. } => find(&app, &machine, id).await,
        Answer::Repeated { .. } => {
            let (mut headers, view) = find(&app, &machine, id).await?;
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
            Ok((headers, view))
        }
        Answer::KeyReused => Err(key_reused()),
        Answer::NotFound => Err(Problem::not_found()),
        Answer::Moved { revision } => Err(revision_mismatch(&app, id, revision).await?),
        Answer::Refused(refusal) => Err(refused(&app, id, refusal).await?),
    }
}

fn key_reused() -> Problem {
    let detail = "take a new key for another event, order or payload";
    Problem::new(Code::IdempotencyKeyReuse, detail)
}

fn fields_of(fields: &Value) -> Result<Fields, Problem> {
    plain_fields(fields).map_err(|field| bad_field(&format!("fields.{field}"), "a text, a whole number, true or false"))
}

async fn find(app: &App, machine: &MachineName, id: OrderId) -> Result<(HeaderMap, Json<InstanceHistory>), Problem> {
    let store = app.engine.store();
    let found = store.instance(id).await?.filter(|(it, _)| it.machine == *machine);
    let found = found.ok_or_else(Problem::not_found)?;
    let order = &found.0.order;
    let graph = app.engine.graph_of(machine, order.graph_version).await?;
    let log = store.log(id).await?;
    let etag = HeaderValue::try_from(format!("\"{}\"", order.revision)).expect("digits are a header value");
    let view = InstanceHistory {
        allowed: allowed_events(graph.as_deref(), order),
        log: log.into_iter().map(LogRowView::from).collect(),
        instance: found.into(),
    };
    Ok((HeaderMap::from_iter([(ETAG, etag)]), Json(view)))
}
