//! Deliveries to subscribers: looked at, sent again, told again since an instant, tested.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::views::{DeliveryHistory, DeliveryList, DeliveryView, RecoveryView};
use crate::api::App;
use crate::api::body::Body;
use crate::api::caller::{Action, Caller};
use crate::api::cursor::Cursor;
use crate::api::headers::Id;
use crate::api::openapi::{
    BadRequest, Disabled, Forbidden, NotFound, Ours, TooLarge, Unauthorized, Unprocessable, UnsupportedType,
};
use crate::api::orders::cut;
use crate::api::problem::{Code, Problem};
use crate::api::query::Query;
use crate::store::outgoing::DeliveryFilter;

/// Deliveries to an endpoint, newest first.
#[utoipa::path(
    get, path = "/v1/webhook-endpoints/{id}/deliveries", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(
        ("id" = uuid::Uuid, Path, description = "endpoint_id"),
        ("state" = Option<String>, Query, description = "`pending`, `delivered` or `failed`"),
        ("delivery_order_id" = Option<String>, Query, description = "only those of this order"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<i64>, Query, description = "rows of a page, 1 to 200, 50 otherwise", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "a page", body = DeliveryList), BadRequest, Unauthorized, Forbidden, NotFound, Ours),
)]
pub(in crate::api) async fn list_deliveries(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    mut query: Query,
) -> Result<Json<DeliveryList>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let limit = query.limit()?;
    let order = query.text("delivery_order_id")?;
    let order_id = order
        .map(|text| Uuid::try_parse(&text).map(OrderId))
        .transpose()
        .map_err(|_| Problem::new(Code::BadParameter, "delivery_order_id must be a UUID"))?;
    let filter = DeliveryFilter {
        endpoint_id: id,
        state: query.word("state", &["pending", "delivered", "failed"])?,
        order_id,
        after: query.cursor()?.map(|cursor| (cursor.at, cursor.id)),
        limit: limit + 1,
    };
    query.finish()?;
    let store = app.engine.store();
    store.endpoint(id).await?.ok_or_else(Problem::not_found)?;
    let mut deliveries = store.deliveries(&filter).await?;
    let next_cursor = cut(&mut deliveries, limit, |delivery| Cursor {
        at: delivery.created_at,
        id: delivery.delivery_id,
    });
    let items = deliveries.into_iter().map(DeliveryView::from).collect();
    Ok(Json(DeliveryList { items, next_cursor }))
}

/// One delivery with every attempt: status, duration, and the first kilobyte of the answer.
#[utoipa::path(
    get, path = "/v1/webhook-deliveries/{id}", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "delivery_id")),
    responses((status = 200, description = "the delivery", body = DeliveryHistory), Unauthorized, Forbidden, NotFound, Ours),
)]
pub(in crate::api) async fn show_delivery(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<DeliveryHistory>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let store = app.engine.store();
    let delivery = store.delivery(id).await?.ok_or_else(Problem::not_found)?;
    let history = store.attempts(id).await?;
    Ok(Json(DeliveryHistory {
        delivery: delivery.into(),
        history: history.into_iter().map(Into::into).collect(),
    }))
}

/// Sends a delivery again, now, whatever became of it. Under its old `webhook-id`.
#[utoipa::path(
    post, path = "/v1/webhook-deliveries/{id}/resend", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "delivery_id")),
    responses(
        (status = 200, description = "the delivery, pending", body = DeliveryView), Unauthorized, Forbidden, NotFound, Disabled,
        Ours,
    ),
)]
pub(in crate::api) async fn resend_delivery(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<DeliveryView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let store = app.engine.store();
    let delivery = store.delivery(id).await?.ok_or_else(Problem::not_found)?;
    let again = store.resend(id).await?;
    let Some(again) = again else {
        return Err(disabled(&app, delivery.endpoint_id).await?);
    };
    app.told.notify_one();
    Ok(Json(again.into()))
}

/// Sends an event `waybill.test.v1` that says nothing, to find out whether the endpoint listens.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/test", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "endpoint_id")),
    responses(
        (status = 200, description = "the delivery, pending", body = DeliveryView), Unauthorized, Forbidden, NotFound, Disabled,
        Ours,
    ),
)]
pub(in crate::api) async fn test_endpoint(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<DeliveryView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let Some(delivery) = app.engine.store().send_test(id).await? else {
        return Err(disabled(&app, id).await?);
    };
    app.told.notify_one();
    Ok(Json(delivery.into()))
}

/// Since when.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::api) struct RecoveryBody {
    /// Everything that was recorded from then on and was not taken is told again.
    since: DateTime<Utc>,
}

/// Tells again, from the log, what the endpoint has not taken since an instant. Safe to ask twice.
#[utoipa::path(
    post, path = "/v1/webhook-endpoints/{id}/recover", tag = "webhooks", security(("token" = ["operator", "service"])),
    params(("id" = uuid::Uuid, Path, description = "endpoint_id")),
    request_body = RecoveryBody,
    responses(
        (status = 200, description = "how many events", body = RecoveryView), BadRequest, Unauthorized, Forbidden, NotFound,
        Disabled, TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(in crate::api) async fn recover_endpoint(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(body): Body<RecoveryBody>,
) -> Result<Json<RecoveryView>, Problem> {
    caller.authorize(Action::TendWebhooks)?;
    let Some(recovered) = app.engine.store().recover(id, body.since).await? else {
        return Err(disabled(&app, id).await?);
    };
    app.told.notify_one();
    Ok(Json(RecoveryView {
        events: recovered.events,
        more: recovered.more,
    }))
}

/// Why nothing is sent to that endpoint.
async fn disabled(app: &App, id: Uuid) -> Result<Problem, Problem> {
    let endpoint = app.engine.store().endpoint(id).await?;
    let endpoint = endpoint.ok_or_else(Problem::not_found)?;
    let detail = "enable it first: PATCH with active true";
    Ok(Problem::new(Code::EndpointDisabled, detail).with("disabled_reason", endpoint.disabled_reason))
}
