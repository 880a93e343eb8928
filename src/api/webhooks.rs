//! Subscribers of outgoing webhooks: who is told what, where, and with which keys.

pub(super) mod deliveries;
pub(crate) mod views;

use axum::Json;
use axum::extract::State;
use chrono::TimeDelta;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

use super::App;
use super::body::Body;
use super::caller::{Action, Caller};
use super::cursor::Cursor;
use super::headers::Id;
use super::openapi::{BadRequest, Forbidden, NotFound, Ours, TooLarge, Unauthorized, Unprocessable, UnsupportedType};
use super::orders::cut;
use super::problem::{Code, Problem};
use super::query::Query;
use crate::engine::outgoing::{self, OVERLAP_HOURS, Registration, Wrong};
use crate::store::outgoing::{Change, Endpoint, Filter};
use views::{EndpointList, EndpointView, KeysView, RegisteredView, RemovedView};

/// Who wants to hear of what. Without a filter it is everything.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegistrationBody {
    /// Where events are posted to: https, and a public address unless WAYBILL_WEBHOOK_NETWORKS names its network.
    url: String,
    /// For people; at most 500 characters.
    #[serde(default)]
    description: String,
    /// Such as `delivery.delivered.v1`; all of them where none are named.
    event_types: Option<Vec<String>>,
    /// Only instances of this machine.
    machine: Option<String>,
    /// Only orders of this customer.
    customer_id: Option<String>,
}

/// What is to be otherwise; what is left out stays, and null takes a filter away.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeBody {
    url: Option<String>,
    description: Option<String>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<String>>)]
    event_types: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    machine: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    customer_id: Option<Option<String>>,
    /// false: it is told nothing; true: it is told again, from now on.
    active: Option<bool>,
}

/// How long both sets of keys sign.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RotationBody {
    /// Hours for which the old keys sign beside the new ones: 0 to 168, 24 otherwise.
    #[schema(minimum = 0, maximum = 168)]
    overlap_hours: Option<i64>,
}

/// Registers an endpoint. Its secret is shown in this answer, and never again.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints", tag = "webhooks", security(("token" = ["operator", "service"])),
    request_body = RegistrationBody,
    responses(
        (status = 200, description = "the endpoint and its keys", body = RegisteredView), BadRequest, Unauthorized, Forbidden,
        TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(super) async fn register_endpoint(
    State(app): State<App>,
    caller: Caller,
    Body(body): Body<RegistrationBody>,
) -> Result<Json<RegisteredView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let filter = Filter {
        event_types: body.event_types,
        machine: body.machine,
        customer_id: body.customer_id,
    };
    outgoing::check_url(&app.guard, &body.url)?;
    outgoing::check_description(&body.description)?;
    outgoing::check_filter(&app.engine.store().every_graph(), &filter)?;
    let registration = Registration {
        url: body.url,
        description: body.description,
        filter,
        by: caller.subject,
    };
    let (endpoint, keys) = outgoing::register(app.engine.store(), registration).await?;
    Ok(Json(RegisteredView {
        endpoint: view(&app, endpoint).await?,
        secret: keys.secret.expose_secret().to_owned(),
        public_key: keys.public_key,
    }))
}

/// Endpoints, oldest first.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<i64>, Query, description = "rows of a page, 1 to 200, 50 otherwise", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "a page", body = EndpointList), BadRequest, Unauthorized, Forbidden, Ours),
)]
pub(super) async fn list_endpoints(
    State(app): State<App>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<EndpointList>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let limit = query.limit()?;
    let after = query.cursor()?.map(|cursor| (cursor.at, cursor.id));
    query.finish()?;
    let mut endpoints = app.engine.store().endpoints(after, limit + 1).await?;
    let next_cursor = cut(&mut endpoints, limit, |endpoint| Cursor {
        at: endpoint.created_at,
        id: endpoint.endpoint_id,
    });
    let mut items = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints {
        items.push(view(&app, endpoint).await?);
    }
    Ok(Json(EndpointList { items, next_cursor }))
}

/// One endpoint: what it is told, how it has been, and which keys sign for it.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "endpoint_id")),
    responses((status = 200, description = "the endpoint", body = EndpointView), Unauthorized, Forbidden, NotFound, Ours),
)]
pub(super) async fn show_endpoint(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<EndpointView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let endpoint = app.engine.store().endpoint(id).await?;
    Ok(Json(view(&app, endpoint.ok_or_else(Problem::not_found)?).await?))
}

/// Changes an endpoint, disables or enables it. What was not told while it was disabled is told again by `recover`.
#[utoipa::path(
    patch, path = "/v1/webhook-endpoints/{id}", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "endpoint_id")),
    request_body = ChangeBody,
    responses(
        (status = 200, description = "the endpoint", body = EndpointView), BadRequest, Unauthorized, Forbidden, NotFound,
        TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(super) async fn change_endpoint(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<ChangeBody>,
) -> Result<Json<EndpointView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    if let Some(url) = &body.url {
        outgoing::check_url(&app.guard, url)?;
    }
    if let Some(description) = &body.description {
        outgoing::check_description(description)?;
    }
    let filter = Filter {
        event_types: body.event_types.clone().flatten(),
        machine: body.machine.clone().flatten(),
        customer_id: body.customer_id.clone().flatten(),
    };
    outgoing::check_filter(&app.engine.store().every_graph(), &filter)?;
    let change = Change {
        url: body.url,
        description: body.description,
        event_types: body.event_types,
        machine: body.machine,
        customer_id: body.customer_id,
        active: body.active,
    };
    let changed = app.engine.store().change_endpoint(id, change).await?;
    Ok(Json(view(&app, changed.ok_or_else(Problem::not_found)?).await?))
}

/// Removes an endpoint and its keys. What it was told stays to be looked at.
#[utoipa::path(
    delete, path = "/v1/webhook-endpoints/{id}", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "endpoint_id")),
    responses((status = 200, description = "removed", body = RemovedView), Unauthorized, Forbidden, NotFound, Ours),
)]
pub(super) async fn remove_endpoint(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<RemovedView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    if !app.engine.store().remove_endpoint(id).await? {
        return Err(Problem::not_found());
    }
    Ok(Json(RemovedView { endpoint_id: id }))
}

/// Makes new keys; the old ones sign beside them for a while, so that no receiver misses anything.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/rotate-keys", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "endpoint_id")),
    request_body = RotationBody,
    responses(
        (status = 200, description = "the new keys, shown once", body = KeysView), BadRequest, Unauthorized, Forbidden,
        NotFound, TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(super) async fn rotate_keys(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<RotationBody>,
) -> Result<Json<KeysView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let hours = body.overlap_hours.unwrap_or(OVERLAP_HOURS);
    let overlap = outgoing::check_overlap(TimeDelta::try_hours(hours).unwrap_or(TimeDelta::MAX))?;
    let keys = outgoing::rotate(app.engine.store(), id, overlap).await?;
    let keys = keys.ok_or_else(Problem::not_found)?;
    Ok(Json(KeysView {
        secret: keys.secret.expose_secret().to_owned(),
        public_key: keys.public_key,
    }))
}

async fn view(app: &App, endpoint: Endpoint) -> Result<EndpointView, Problem> {
    let keys = app.engine.store().keys_of(endpoint.endpoint_id).await?;
    Ok(EndpointView::new(endpoint, keys))
}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        Self::new(Code::BadField, wrong.to_string()).with("field", wrong.field)
    }
}

/// What was given, null included; what was not given is `None` by default.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
