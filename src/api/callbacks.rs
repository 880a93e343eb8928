//! What partners told: listed by what it was, looked at without what it says of people, applied again.

pub(super) mod replays;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value as Payload;
use utoipa::ToSchema;
use uuid::Uuid;
use waybill_domain::OrderId;

use super::App;
use super::caller::{Action, Caller};
use super::cursor::Cursor;
use super::headers::Id;
use super::openapi::{BadRequest, CallbackWaits, Forbidden, NotFound, Ours, Unauthorized};
use super::orders::cut;
use super::problem::{Code, Problem};
use super::query::Query;
use crate::engine::replay::Replayed;
use crate::redact;
use crate::store::{CallbackFilter, Disposition, Heard};

/// A callback.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CallbackView {
    callback_id: Uuid,
    /// `accepted`, `early`, `duplicate`, `stale`, `noted`, `unmapped`, `orphan`, `conflict`, `unresolved` or `rejected`.
    disposition: &'static str,
    /// As the table keeps it; null for a rejected one.
    state: Option<&'static str>,
    partner: String,
    /// The partner's id of it, or one derived; of a rejected one what it claimed.
    event_id: Option<String>,
    /// The key that verified it.
    key_id: Option<String>,
    received_at: DateTime<Utc>,
    settled_at: Option<DateTime<Utc>>,
    /// Why it is what it is.
    detail: Option<String>,
    delivery_order_id: Option<Uuid>,
    /// It came early: since then it waited.
    parked_at: Option<DateTime<Utc>>,
    parked_until: Option<DateTime<Utc>>,
    /// How often it came again under its id.
    repeats: i64,
    repeated_at: Option<DateTime<Utc>>,
    /// The callback that this one is another attempt at.
    replay_of: Option<Uuid>,
    replayed_by: Option<String>,
    /// Of a rejected one: whom it came from, and the size and SHA-256 (hexadecimal) of its body.
    address: Option<String>,
    size: Option<i64>,
    sha256: Option<String>,
}

/// A page of callbacks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallbackList {
    /// Newest first.
    items: Vec<CallbackView>,
    /// For the next page; null on the last.
    next_cursor: Option<String>,
}

/// A callback with what it said.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallbackContent {
    #[serde(flatten)]
    callback: CallbackView,
    /// The payload; values that are not known to be harmless are hidden. Null where it is no JSON.
    #[schema(value_type = Option<Object>)]
    payload: Option<Payload>,
    /// Other attempts at it, oldest first.
    replays: Vec<Uuid>,
}

/// A new attempt.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayView {
    /// The new attempt.
    callback_id: Uuid,
    /// The original.
    replay_of: Uuid,
}

impl From<Heard> for CallbackView {
    fn from(heard: Heard) -> Self {
        Self {
            callback_id: heard.callback_id,
            disposition: heard.disposition.as_str(),
            state: heard.state.map(|state| state.as_str()),
            partner: heard.partner,
            event_id: heard.event_id,
            key_id: heard.key_id,
            received_at: heard.received_at,
            settled_at: heard.settled_at,
            detail: heard.detail,
            delivery_order_id: heard.order_id.map(|id| id.0),
            parked_at: heard.parked_at,
            parked_until: heard.parked_until,
            repeats: heard.repeats,
            repeated_at: heard.repeated_at,
            replay_of: heard.replay_of,
            replayed_by: heard.replayed_by,
            address: heard.address,
            size: heard.size,
            sha256: heard.sha256.map(hex::encode),
        }
    }
}

/// Callbacks, newest first; rejected ones only where they are asked for.
#[utoipa::path(
    get, path = "/v1/callbacks", tag = "partners", security(("token" = ["operator"])),
    params(
        (
            "disposition" = Option<String>, Query,
            description = "`accepted`, `early`, `duplicate` (in other words, or under its id), `stale`, `noted`, `unmapped`, \
                           `orphan`, `conflict`, `unresolved` or `rejected`",
        ),
        ("partner" = Option<String>, Query, description = "only this partner's; `-` for rejected ones of nobody we know"),
        ("event_id" = Option<String>, Query, description = "only with this id of the partner's"),
        ("delivery_order_id" = Option<String>, Query, description = "only about this order"),
        ("received_after" = Option<String>, Query, description = "an instant"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<i64>, Query, description = "rows of a page, 1 to 200, 50 otherwise", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "a page", body = CallbackList), BadRequest, Unauthorized, Forbidden, Ours),
)]
pub(super) async fn list_callbacks(
    State(app): State<App>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<CallbackList>, Problem> {
    caller.authorize(Action::WorkCases)?;
    let words = Disposition::ALL.map(Disposition::as_str);
    let disposition = query.word("disposition", &words)?;
    let order = query.text("delivery_order_id")?;
    let order_id = order
        .map(|text| Uuid::try_parse(&text).map(OrderId))
        .transpose()
        .map_err(|_| Problem::new(Code::BadParameter, "delivery_order_id must be a UUID"))?;
    let limit = query.limit()?;
    let filter = CallbackFilter {
        disposition: disposition.and_then(|word| word.parse().ok()),
        partner: query.text("partner")?,
        event_id: query.text("event_id")?,
        order_id,
        received_after: query.instant("received_after")?,
        replays: None,
        after: query.cursor()?.map(|cursor| cursor.id),
        limit: limit + 1,
    };
    query.finish()?;
    let mut heard = app.engine.store().heard(&filter).await?;
    let next_cursor = cut(&mut heard, limit, |it| Cursor {
        at: it.received_at,
        id: it.callback_id,
    });
    let items = heard.into_iter().map(CallbackView::from).collect();
    Ok(Json(CallbackList { items, next_cursor }))
}

/// One callback with its payload, in which everything is hidden that is not known to be harmless.
#[utoipa::path(
    get, path = "/v1/callbacks/{id}", tag = "partners", security(("token" = ["operator"])),
    params(("id" = uuid::Uuid, Path, description = "callback_id")),
    responses((status = 200, description = "the callback", body = CallbackContent), Unauthorized, Forbidden, NotFound, Ours),
)]
pub(super) async fn show_callback(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<CallbackContent>, Problem> {
    caller.authorize(Action::WorkCases)?;
    let store = app.engine.store();
    let callback = store.callback(id).await?.ok_or_else(Problem::not_found)?;
    // A body whose key is gone is not shown; everything else is.
    let body = store.callback_body(&callback).unwrap_or_default();
    let replays = store.replays_of(id).await?;
    Ok(Json(CallbackContent {
        callback: Heard::from(callback).into(),
        payload: redact::payload(&body),
        replays,
    }))
}

/// Applies a settled callback again, as a new attempt that is linked to it. Nothing happens twice: what it told before is
/// a duplicate.
#[utoipa::path(
    post, path = "/v1/callbacks/{id}/replay", tag = "partners", security(("token" = ["operator"])),
    params(("id" = uuid::Uuid, Path, description = "callback_id")),
    responses(
        (status = 200, description = "the new attempt", body = ReplayView), Unauthorized, Forbidden, NotFound, CallbackWaits,
        Ours,
    ),
)]
pub(super) async fn replay_callback(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
) -> Result<Json<ReplayView>, Problem> {
    caller.authorize(Action::WorkCases)?;
    match app.engine.replay_callback(id, &caller.subject).await? {
        Replayed::As(callback_id) => Ok(Json(ReplayView {
            callback_id,
            replay_of: id,
        })),
        Replayed::Waits(state) => {
            let detail = format!("it is {} and will be applied by itself", state.as_str());
            Err(Problem::new(Code::CallbackWaits, detail))
        }
        Replayed::Unknown => Err(Problem::not_found()),
    }
}
