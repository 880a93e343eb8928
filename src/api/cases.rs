//! Operator cases: listed, claimed, closed; and what was found out about a booking whose answer got lost.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;
use waybill_domain::OrderId;

use super::App;
use super::body::Body;
use super::caller::{Action, Caller};
use super::cursor::Cursor;
use super::headers::Id;
use super::openapi::{
    BadRequest, CaseConflict, Forbidden, NotFound, Ours, TooLarge, Unauthorized, Unprocessable, UnsupportedType,
};
use super::orders::cut;
use super::problem::{Code, Problem};
use super::query::Query;
use super::views::{CaseList, CaseView, OrderView};
use crate::engine::booking::{BookingAnswer, FoundBooking};
use crate::engine::case::CaseAnswer;
use crate::store::record::Case;
use crate::store::{CasePage, Stored};

/// Characters of a note.
const MAX_NOTE: usize = 2000;
/// Characters of a partner's id.
const MAX_BOOKING_ID: usize = 255;

/// Operator cases, oldest first.
#[utoipa::path(
    get, path = "/v1/operator-cases", tag = "operator cases", security(("token" = ["operator"])),
    params(
        ("state" = Option<String>, Query, description = "`open` (otherwise), `closed` or `all`"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
        ("limit" = Option<i64>, Query, description = "rows of a page, 1 to 200, 50 otherwise", minimum = 1, maximum = 200),
    ),
    responses((status = 200, description = "a page", body = CaseList), BadRequest, Unauthorized, Forbidden, Ours),
)]
pub(super) async fn list_cases(
    State(app): State<App>,
    caller: Caller,
    mut query: Query,
) -> Result<Json<CaseList>, Problem> {
    caller.authorize(Action::WorkCases)?;
    let open = match query.word("state", &["open", "closed", "all"])?.as_deref() {
        Some("all") => None,
        Some("closed") => Some(false),
        _ => Some(true),
    };
    let limit = query.limit()?;
    let after = query.cursor()?.map(|cursor| (cursor.at, cursor.id));
    query.finish()?;
    let store = app.engine.store();
    let mut cases = store
        .case_page(CasePage {
            open,
            after,
            limit: limit + 1,
        })
        .await?;
    let next_cursor = cut(&mut cases, limit, |case| Cursor {
        at: case.opened_at,
        id: case.case_id,
    });
    let mut orders = store
        .orders_by_id(cases.iter().filter_map(|case| case.order_id).collect())
        .await?;
    let now = store.now().await?;
    let items = cases
        .into_iter()
        .map(|case| CaseView::new(case.clone(), take(&mut orders, &case), now))
        .collect();
    Ok(Json(CaseList { items, next_cursor }))
}

/// Takes an open case for the caller. Safe to send twice.
#[utoipa::path(
    post, path = "/v1/operator-cases/{id}/claim", tag = "operator cases", security(("token" = ["operator"])),
    params(("id" = uuid::Uuid, Path, description = "case_id")),
    responses((status = 200, description = "the case", body = CaseView), Unauthorized, Forbidden, NotFound, CaseConflict, Ours),
)]
pub(super) async fn claim_case(State(app): State<App>, caller: Caller, Id(id): Id) -> Result<Json<CaseView>, Problem> {
    caller.authorize(Action::WorkCases)?;
    let answer = app.engine.claim_case(id, &caller.subject).await?;
    show(&app, answer).await
}

/// How a case ended.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    /// What was found and done; 1 to 2000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    note: String,
}

/// Closes a case with a note. Safe to send twice.
#[utoipa::path(
    post, path = "/v1/operator-cases/{id}/close", tag = "operator cases", security(("token" = ["operator"])),
    params(("id" = uuid::Uuid, Path, description = "case_id")),
    request_body = Closing,
    responses(
        (status = 200, description = "the case", body = CaseView), BadRequest, Unauthorized, Forbidden, NotFound,
        CaseConflict, TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(super) async fn close_case(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(Closing { note }): Body<Closing>,
) -> Result<Json<CaseView>, Problem> {
    caller.authorize(Action::WorkCases)?;
    check_note(&note)?;
    let answer = app.engine.close_case(id, &caller.subject, &note).await?;
    show(&app, answer).await
}

/// What was found at the partner's.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LostBooking {
    /// The partner's id of the delivery, 1 to 255 characters; `null` if the partner has none: then it is booked again.
    #[schema(min_length = 1, max_length = 255, required = true)]
    #[serde(deserialize_with = "Option::deserialize")]
    partner_booking_id: Option<String>,
    /// How it was found out; 1 to 2000 characters.
    #[schema(min_length = 1, max_length = 2000)]
    note: String,
}

/// Says what the partner has of a booking whose answer got lost, and closes the case. Safe to send twice.
///
/// For a case `effect-failed` about `book_delivery_partner`. With an id the order has that booking (`PARTNER_BOOKED` in its log, by
/// the operator), and the partner is asked how it stands; with `null` it is booked again (`BOOKING_NOT_FOUND`).
#[utoipa::path(
    post, path = "/v1/operator-cases/{id}/booking", tag = "operator cases", security(("token" = ["operator"])),
    params(("id" = uuid::Uuid, Path, description = "case_id")),
    request_body = LostBooking,
    responses(
        (status = 200, description = "the case", body = CaseView), BadRequest, Unauthorized, Forbidden, NotFound,
        CaseConflict, TooLarge, UnsupportedType, Unprocessable, Ours,
    ),
)]
pub(super) async fn settle_booking(
    State(app): State<App>,
    caller: Caller,
    Id(id): Id,
    Body(LostBooking {
        partner_booking_id,
        note,
    }): Body<LostBooking>,
) -> Result<Json<CaseView>, Problem> {
    caller.authorize(Action::WorkCases)?;
    check_note(&note)?;
    let usable = |id: &str| {
        let fits = (1..=MAX_BOOKING_ID).contains(&id.chars().count());
        fits && !matches!(id, "." | "..") && !id.chars().any(|c| c.is_control() || c.is_whitespace())
    };
    if partner_booking_id.as_deref().is_some_and(|id| !usable(id)) {
        let detail =
            format!("partner_booking_id must be the partner's id of 1 to {MAX_BOOKING_ID} characters, or null");
        return Err(Problem::new(Code::BadField, detail).with("field", "partner_booking_id"));
    }
    let found = FoundBooking {
        booking_id: partner_booking_id,
        note,
        operator: caller.subject.clone(),
    };
    match app.engine.settle_booking(id, found).await? {
        BookingAnswer::Done(case) => show(&app, CaseAnswer::Done(case)).await,
        BookingAnswer::Taken(case) => Err(taken(&case)),
        BookingAnswer::NotFound => Err(Problem::not_found()),
        BookingAnswer::NotLost => Err(Problem::new(
            Code::BookingNotLost,
            "look at the order: its booking is known",
        )),
        BookingAnswer::OfAnother(order) => {
            Err(Problem::new(Code::BookingTaken, "").with("delivery_order_id", json!(order)))
        }
    }
}

fn check_note(note: &str) -> Result<(), Problem> {
    if note.trim().is_empty() || note.chars().count() > MAX_NOTE || note.contains('\0') {
        let detail = format!("note must be text of 1 to {MAX_NOTE} characters without NUL");
        return Err(Problem::new(Code::BadField, detail).with("field", "note"));
    }
    Ok(())
}

async fn show(app: &App, answer: CaseAnswer) -> Result<Json<CaseView>, Problem> {
    match answer {
        CaseAnswer::NotFound => Err(Problem::not_found()),
        CaseAnswer::Taken(case) => Err(taken(&case)),
        CaseAnswer::Done(case) => {
            let order = match case.order_id {
                Some(id) => app.engine.store().latest_order(id).await?.map(OrderView::from),
                None => None,
            };
            Ok(Json(CaseView::new(*case, order, app.engine.store().now().await?)))
        }
    }
}

/// Who was first.
fn taken(case: &Case) -> Problem {
    let detail = match (&case.closed_by, &case.claimed_by) {
        (Some(who), _) => format!("{who} has closed it"),
        (None, Some(who)) => format!("{who} has claimed it"),
        (None, None) => String::new(),
    };
    Problem::new(Code::CaseTaken, detail)
        .with("claimed_by", json!(case.claimed_by))
        .with("claimed_at", json!(case.claimed_at))
        .with("closed_by", json!(case.closed_by))
        .with("closed_at", json!(case.closed_at))
        .with("note", json!(case.note))
}

/// The order of a case; several cases may be about one.
fn take(orders: &mut HashMap<OrderId, Stored>, case: &Case) -> Option<OrderView> {
    orders.get(&case.order_id?).cloned().map(OrderView::from)
}
