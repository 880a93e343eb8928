//! Contactless handover: a page that shows the customer six digits, and one on which the courier enters them.
//!
//! Looking changes nothing; only the courier's POST does. Neither page names anybody or any place.

mod page;

use axum::extract::{Form, FromRequest as _, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Deserialize;
use tracing::error;
use utoipa::ToSchema;
use waybill_domain::OrderId;

use super::App;
use super::confirm::{Language, Token, fitting, respond_with};
use crate::engine::EngineError;
use crate::engine::handover::HandedOver;
use page::{Page, render};

/// A code has so many digits.
const DIGITS: usize = 6;

/// What the courier enters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CodeForm {
    /// Six digits; spaces between them are no matter.
    code: String,
}

/// The page that shows the customer the code to be said to the courier.
#[utoipa::path(
    get, path = "/code/{token}", tag = "customers",
    params(("token" = String, Path, description = "from the link in the notice")),
    responses(
        (status = 200, description = "the page with the code", content_type = "text/html", body = String),
        (status = 404, description = "unknown or expired", content_type = "text/html", body = String),
        (status = 429, description = "too many visits of one address", content_type = "text/html", body = String),
        (status = 503, description = "come again", content_type = "text/html", body = String),
    ),
)]
pub(super) async fn show_code(State(app): State<App>, token: Token, headers: HeaderMap) -> Response {
    let Some(token) = fitting(token) else {
        return respond(StatusCode::NOT_FOUND, &headers, &Page::Unknown);
    };
    match app.engine.shown_code(&token).await {
        Ok(Some((code, locale))) => {
            let language = Language::of(&locale, &headers);
            respond_with(StatusCode::OK, language, render(language, &Page::Code(code)))
        }
        Ok(None) => respond(StatusCode::NOT_FOUND, &headers, &Page::Unknown),
        Err(cause) => unavailable(&headers, &cause),
    }
}

/// The page on which the courier enters the customer's code.
#[utoipa::path(
    get, path = "/handover/{id}", tag = "customers",
    params(("id" = uuid::Uuid, Path, description = "delivery_order_id, the reference of the booking")),
    responses(
        (status = 200, description = "the page", content_type = "text/html", body = String),
        (status = 404, description = "no such order, or none with a code", content_type = "text/html", body = String),
        (status = 429, description = "too many visits of one address", content_type = "text/html", body = String),
        (status = 503, description = "come again", content_type = "text/html", body = String),
    ),
)]
pub(super) async fn show_handover(State(app): State<App>, id: Token, headers: HeaderMap) -> Response {
    let Some(id) = order(id) else {
        return respond(StatusCode::NOT_FOUND, &headers, &Page::Unknown);
    };
    match app.engine.has_code(id).await {
        Ok(true) => respond(StatusCode::OK, &headers, &Page::Question),
        Ok(false) => respond(StatusCode::NOT_FOUND, &headers, &Page::Unknown),
        Err(cause) => unavailable(&headers, &cause),
    }
}

/// Takes the code: the customer's yes. Five wrong ones are heard out, then an operator decides.
#[utoipa::path(
    post, path = "/handover/{id}", tag = "customers",
    params(("id" = uuid::Uuid, Path, description = "delivery_order_id, the reference of the booking")),
    request_body(content((CodeForm = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "taken", content_type = "text/html", body = String),
        (status = 403, description = "tried too often", content_type = "text/html", body = String),
        (status = 404, description = "no such order, or none with a code", content_type = "text/html", body = String),
        (status = 422, description = "another code, or none", content_type = "text/html", body = String),
        (status = 429, description = "too many visits of one address", content_type = "text/html", body = String),
        (status = 503, description = "come again", content_type = "text/html", body = String),
    ),
)]
pub(super) async fn take_code(State(app): State<App>, id: Token, request: Request) -> Response {
    let headers = request.headers().clone();
    let Some(id) = order(id) else {
        return respond(StatusCode::NOT_FOUND, &headers, &Page::Unknown);
    };
    let form = Form::<CodeForm>::from_request(request, &()).await;
    let Some(code) = form.ok().and_then(|Form(form)| digits(&form.code)) else {
        // What cannot be a code costs no try.
        return respond(StatusCode::UNPROCESSABLE_ENTITY, &headers, &Page::NotUnderstood);
    };
    match app.engine.hand_over(id, &code).await {
        Ok(HandedOver::Taken) => respond(StatusCode::OK, &headers, &Page::Taken),
        Ok(HandedOver::Wrong(left)) if left > 0 => {
            respond(StatusCode::UNPROCESSABLE_ENTITY, &headers, &Page::Wrong(left))
        }
        Ok(HandedOver::Wrong(_) | HandedOver::Locked) => respond(StatusCode::FORBIDDEN, &headers, &Page::Locked),
        Ok(HandedOver::Unknown) => respond(StatusCode::NOT_FOUND, &headers, &Page::Unknown),
        Err(cause) => unavailable(&headers, &cause),
    }
}

fn order(id: Token) -> Option<OrderId> {
    let Path(id) = id.ok()?;
    uuid::Uuid::try_parse(&id).ok().map(OrderId)
}

fn digits(text: &str) -> Option<String> {
    let code: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
    let fitting = code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit());
    fitting.then_some(code)
}

fn respond(status: StatusCode, headers: &HeaderMap, page: &Page) -> Response {
    let language = Language::accepted(headers);
    respond_with(status, language, render(language, page))
}

fn unavailable(headers: &HeaderMap, cause: &EngineError) -> Response {
    error!("a handover page cannot be shown: {cause}");
    respond(StatusCode::SERVICE_UNAVAILABLE, headers, &Page::Unavailable)
}
