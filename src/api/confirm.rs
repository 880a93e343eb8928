//! The customer's confirmation: a page that asks one question, and takes one answer.
//!
//! Looking at it changes nothing, because mail programs look at links too.

mod page;

use axum::extract::rejection::PathRejection;
use axum::extract::{Form, FromRequest as _, Json, Path, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;
use tracing::error;
use utoipa::ToSchema;

use super::App;
use super::body::unread;
use crate::engine::EngineError;
use crate::engine::confirmation::{ConfirmationView, Received};
pub(super) use page::{Language, document};

use page::Page;

/// No token is longer.
const MAX_TOKEN: usize = 128;

/// The token as it stands in the address; what is no text is one more unknown one.
pub(super) type Token = Result<Path<String>, PathRejection>;

/// A text that could be a token.
pub(super) fn fitting(token: Token) -> Option<String> {
    token
        .ok()
        .map(|Path(token)| token)
        .filter(|token| token.len() <= MAX_TOKEN)
}

/// The customer's answer, as a form or as JSON.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceivedForm {
    /// `yes` or `no`.
    received: String,
}

/// The page that asks whether the books have arrived, or shows the answer that stands.
#[utoipa::path(
    get, path = "/confirm/{token}", tag = "customers",
    params(("token" = String, Path, description = "from the link in the notice")),
    responses(
        (status = 200, description = "the page", content_type = "text/html", body = String),
        (status = 404, description = "unknown or expired", content_type = "text/html", body = String),
        (status = 429, description = "too many visits of one address", content_type = "text/html", body = String),
        (status = 503, description = "come again", content_type = "text/html", body = String),
    ),
)]
pub(super) async fn show_page(State(app): State<App>, token: Token, headers: HeaderMap) -> Response {
    let Some(token) = fitting(token) else {
        return unknown(&headers);
    };
    answer(app.engine.confirmation(&token).await, &headers)
}

/// Takes the answer. The first one stands; a repetition shows it.
#[utoipa::path(
    post, path = "/confirm/{token}", tag = "customers",
    params(("token" = String, Path, description = "from the link in the notice")),
    request_body(
        content(
            (ReceivedForm = "application/x-www-form-urlencoded"),
            (ReceivedForm = "application/json"),
        ),
    ),
    responses(
        (status = 200, description = "the answer that stands", content_type = "text/html", body = String),
        (status = 404, description = "unknown or expired", content_type = "text/html", body = String),
        (status = 413, description = "too large", content_type = "text/html", body = String),
        (status = 415, description = "neither a form nor JSON", content_type = "text/html", body = String),
        (status = 422, description = "neither yes nor no", content_type = "text/html", body = String),
        (status = 429, description = "too many visits of one address", content_type = "text/html", body = String),
        (status = 503, description = "come again", content_type = "text/html", body = String),
    ),
)]
pub(super) async fn take_answer(State(app): State<App>, token: Token, request: Request) -> Response {
    let headers = request.headers().clone();
    let Some(token) = fitting(token) else {
        return unknown(&headers);
    };
    match read(&headers, request).await {
        Ok(received) => answer(app.engine.answer(&token, received).await, &headers),
        Err(status) => respond(status, Language::accepted(&headers), Page::NotUnderstood),
    }
}

async fn read(headers: &HeaderMap, request: Request) -> Result<Received, StatusCode> {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let status = |rejected: StatusCode, error: &(dyn std::error::Error + 'static)| match rejected {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => rejected,
        StatusCode::PAYLOAD_TOO_LARGE => rejected,
        _ if unread(rejected, error).code().status() == StatusCode::REQUEST_TIMEOUT => StatusCode::REQUEST_TIMEOUT,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let form = if kind.starts_with(b"application/json") {
        Json::<ReceivedForm>::from_request(request, &())
            .await
            .map(|Json(form)| form)
            .map_err(|e| status(e.status(), &e))
    } else {
        Form::<ReceivedForm>::from_request(request, &())
            .await
            .map(|Form(form)| form)
            .map_err(|e| status(e.status(), &e))
    }?;
    match form.received.as_str() {
        "yes" => Ok(Received::Yes),
        "no" => Ok(Received::No),
        _ => Err(StatusCode::UNPROCESSABLE_ENTITY),
    }
}

fn answer(found: Result<Option<ConfirmationView>, EngineError>, headers: &HeaderMap) -> Response {
    match found {
        Ok(Some(view)) => {
            let page = match view.answer {
                None => Page::Question,
                Some(Received::Yes) => Page::Received,
                Some(Received::No) => Page::NotReceived,
            };
            respond(StatusCode::OK, Language::of(&view.locale, headers), page)
        }
        Ok(None) => unknown(headers),
        Err(cause) => {
            error!("a confirmation page cannot be shown: {cause}");
            come_again(StatusCode::SERVICE_UNAVAILABLE, headers)
        }
    }
}

/// The page of who has to come again, because of us or of too many visits.
pub(super) fn come_again(status: StatusCode, headers: &HeaderMap) -> Response {
    respond(status, Language::accepted(headers), Page::Unavailable)
}

/// Unknown and expired look alike: nobody learns that a token was once good.
fn unknown(headers: &HeaderMap) -> Response {
    respond(StatusCode::NOT_FOUND, Language::accepted(headers), Page::Unknown)
}

fn respond(status: StatusCode, language: Language, page: Page) -> Response {
    respond_with(status, language, page::render(language, page))
}

/// A page for people outside: nothing else is loaded, nobody is told where they come from, nothing is kept or indexed.
pub(super) fn respond_with(status: StatusCode, language: Language, html: String) -> Response {
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("x-robots-tag"), "noindex"),
        (header::CONTENT_LANGUAGE, language.as_str()),
        (header::VARY, "Accept-Language"),
    ];
    let mut response = (status, headers, Html(html)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let soon = HeaderValue::from_static("5");
        response.headers_mut().insert(header::RETRY_AFTER, soon);
    }
    response
}
