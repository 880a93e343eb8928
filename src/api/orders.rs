//! Delivery orders to read.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::header::ETAG;
use axum::http::{HeaderMap, HeaderValue};
use waybill_domain::OrderId;

use super::App;
use super::caller::{Action, Caller};
use super::cursor::Cursor;
use super::headers::Id;
use super::openapi::{BadRequest, Forbidden, NotFound, Ours, Unauthorized};
use super::problem::Problem;
use super::query::Query;
use super::views::{AllowedEvent, LogRowView, OrderPage, OrderView, allowed_events};
use crate::engine::MACHINE;
use crate::store::{OrderFilter, Stored};

/// Delivery orders, in the order of their last change.
#[utoipa::path(
    get, path = "/v1/delivery-orders", tag = "delivery orders", security(("token" = ["operator", "service"])),
    params(
        ("state" = Option<String>, Query, description = "only orders in this state"),
        ("ordering_id" = Option<String>, Query, description = "only orders of this ordering"),
        ("customer_id" = Option<String>, Query, description = "only orders of this customer"),
        ("partner_order_number" = Option<String>, Query, description = "only orders with this number of the partner"),
        ("updated_after" = Option<String>, Query, description = "only orders changed after this instant (RFC 3339)"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<i64>, Query, description = "rows of a page, 1 to 200, 50 otherwise", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "a page", body = OrderPage), BadRequest, Unauthorized, Forbidden, Ours),
)]
pub(super) async fn list_orders(
    State(app): State<App>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<OrderPage>, Problem> {
    caller.authorize(Action::ListOrders)?;
    let states = state_names(&app, MACHINE).await?;
    let states: Vec<&str> = states.iter().map(String::as_str).collect();
    let limit = query.limit()?;
    let filter = OrderFilter {
        state: query.word("state", &states)?,
        ordering_id: query.text("ordering_id")?,
        customer_id: query.text("customer_id")?,
        partner_order_number: query.text("partner_order_number")?,
        updated_after: query.instant("updated_after")?,
        after: query.cursor()?.map(|cursor| (cursor.at, cursor.id)),
        limit: limit + 1,
    };
    query.finish()?;
    let mut orders = app.engine.store().orders(&filter).await?;
    let next_cursor = cut(&mut orders, limit, |order| Cursor {
        at: order.updated_at,
        id: order.loaded.order.id.0,
    });
    Ok(Json(OrderPage {
        items: orders.into_iter().map(OrderView::from).collect(),
        next_cursor,
    }))
}

/// One delivery order.
#[utoipa::path(
    get, path = "/v1/delivery-orders/{id}", tag = "delivery orders",
    security(("token" = ["operator", "service", "customer"])),
    params(("id" = uuid::Uuid, Path, description = "delivery_order_id")),
    responses(
        (status = 200, description = "the order", body = OrderView, headers(("ETag" = String, description = "the revision, quoted"))),
        Unauthorized, Forbidden, NotFound, Ours,
    ),
)]
pub(super) async fn show_order(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<(HeaderMap, Json<OrderView>), Problem> {
    Ok(show(find(&app, &caller, OrderId(id)).await?))
}

/// The log of a delivery order, oldest row first.
#[utoipa::path(
    get, path = "/v1/delivery-orders/{id}/log", tag = "delivery orders",
    security(("token" = ["operator", "service", "customer"])),
    params(("id" = uuid::Uuid, Path, description = "delivery_order_id")),
    responses((status = 200, description = "all rows", body = Vec<LogRowView>), Unauthorized, Forbidden, NotFound, Ours),
)]
pub(super) async fn show_log(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Vec<LogRowView>>, Problem> {
    find(&app, &caller, OrderId(id)).await?;
    let log = app.engine.store().log(OrderId(id)).await?;
    Ok(Json(log.into_iter().map(LogRowView::from).collect()))
}

/// The events that may move a delivery order from where it is.
#[utoipa::path(
    get, path = "/v1/delivery-orders/{id}/allowed-events", tag = "delivery orders",
    security(("token" = ["operator", "service", "customer"])),
    params(("id" = uuid::Uuid, Path, description = "delivery_order_id")),
    responses(
        (status = 200, description = "each with its roles and fields", body = Vec<AllowedEvent>),
        Unauthorized, Forbidden, NotFound, Ours,
    ),
)]
pub(super) async fn show_allowed_events(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<Vec<AllowedEvent>>, Problem> {
    let loaded = find(&app, &caller, OrderId(id)).await?.loaded;
    let graph = app.engine.graph_of(&loaded.machine, loaded.order.graph_version).await?;
    Ok(Json(allowed_events(graph.as_deref(), &loaded.order)))
}

/// An order with its ETag.
pub(super) fn show(stored: Stored) -> (HeaderMap, Json<OrderView>) {
    let order = OrderView::from(stored);
    let etag = HeaderValue::try_from(format!("\"{}\"", order.revision)).expect("digits are a header value");
    (HeaderMap::from_iter([(ETAG, etag)]), Json(order))
}

async fn find(app: &App, caller: &Caller, id: OrderId) -> Result<Stored, Problem> {
    let order = app.engine.store().order(id).await?.ok_or_else(Problem::not_found)?;
    caller.authorize(Action::ReadOrder(&order.record.customer_id))?;
    Ok(order)
}

/// Cuts a page that was read with one row more than asked; answers the cursor of the next page, if there is one.
pub(super) fn cut<T>(rows: &mut Vec<T>, limit: i64, place: impl Fn(&T) -> Cursor) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(|last| place(last).encode())
}

/// The states of all versions of a machine; none if there is no such machine.
pub(super) async fn state_names(app: &App, machine: &str) -> Result<BTreeSet<String>, Problem> {
    let graphs = app.engine.store().learnt_graphs(machine).await?;
    let states = graphs.iter().flat_map(|graph| graph.states());
    Ok(states.map(|state| state.name.to_string()).collect())
}
