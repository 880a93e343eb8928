//! The description of this API for programs: generated from the handlers, kept in docs/openapi.json by a test.

use axum::Json;
use serde::Serialize;
use utoipa::openapi::OpenApi as Document;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};

use super::views::{AllowedEvent, LastMove};
use super::{callbacks, cases, confirm, events, graphs, handover, instances, orders, probes, webhooks};

/// Why a request was not answered with success (RFC 9457). Each `code` is described in `docs/problems.md`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// `/problems/` and the code.
    r#type: String,
    title: String,
    status: u16,
    /// What to do about it.
    detail: Option<String>,
    /// The id of this very answer, in the log too.
    instance: Option<String>,
    code: String,
    /// The query parameter that is wrong.
    parameter: Option<String>,
    /// The field that is wrong.
    field: Option<String>,
}

/// The graph does not take the event now; tells where the order stands and who was first.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConflictBody {
    /// `/problems/` and the code.
    r#type: String,
    title: String,
    status: u16,
    detail: Option<String>,
    code: String,
    state: String,
    revision: i64,
    allowed: Vec<AllowedEvent>,
    last: Option<LastMove>,
}

/// Somebody else has the case.
#[derive(Debug, Serialize, ToSchema)]
pub struct CaseConflictBody {
    /// `/problems/` and the code.
    r#type: String,
    title: String,
    status: u16,
    detail: Option<String>,
    code: String,
    claimed_by: Option<String>,
    claimed_at: Option<chrono::DateTime<chrono::Utc>>,
    closed_by: Option<String>,
    closed_at: Option<chrono::DateTime<chrono::Utc>>,
    note: Option<String>,
}

macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident($body:ty) = $status:literal;)+) => {
        $(
            $(#[$doc])*
            #[derive(IntoResponses)]
            #[response(status = $status, content_type = "application/problem+json")]
            #[expect(dead_code, reason = "read by the derive, never made")]
            pub struct $name($body);
        )+
    };
}

answers! {
    /// A parameter, a header or the JSON is malformed.
    BadRequest(ProblemBody) = 400;
    /// There is no valid token.
    Unauthorized(ProblemBody) = 401;
    /// The token's roles do not allow it.
    Forbidden(ProblemBody) = 403;
    /// There is nothing here, or it is not yours.
    NotFound(ProblemBody) = 404;
    /// No such representation.
    NotAcceptable(ProblemBody) = 406;
    /// The order does not take this event where it is.
    Conflict(ConflictBody) = 409;
    /// Somebody else was first.
    CaseConflict(CaseConflictBody) = 409;
    /// The callback is under way, or waits for its turn.
    CallbackWaits(ProblemBody) = 409;
    /// Other callbacks fit than were counted.
    CallbacksChanged(ProblemBody) = 409;
    /// The endpoint is told nothing while it is disabled.
    Disabled(ProblemBody) = 409;
    /// The order is at another revision.
    PreconditionFailed(ConflictBody) = 412;
    /// The body is too large.
    TooLarge(ProblemBody) = 413;
    /// The body is not JSON.
    UnsupportedType(ProblemBody) = 415;
    /// An event, a field or a value is not known, is missing or is wrong; or the key was used for something else.
    Unprocessable(ProblemBody) = 422;
    /// We cannot answer now: come again after `Retry-After` seconds.
    Ours(ProblemBody) = 503;
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Waybill",
        description = "Delivery orders from a paid ordering to the customer's confirmation, and instances of other machines. Instants are RFC 3339; errors are \
                       `application/problem+json`, each code described in `docs/problems.md`.",
    ),
    paths(
        orders::list_orders,
        orders::show_order,
        orders::show_log,
        orders::show_allowed_events,
        events::report_event,
        instances::create_instance,
        instances::list_instances,
        instances::show_instance,
        instances::report_instance_event,
        callbacks::list_callbacks,
        callbacks::show_callback,
        callbacks::replay_callback,
        callbacks::replays::replay_callbacks,
        cases::list_cases,
        cases::claim_case,
        cases::close_case,
        cases::settle_booking,
        graphs::list_graphs,
        graphs::show_graph,
        webhooks::list_endpoints,
        webhooks::register_endpoint,
        webhooks::show_endpoint,
        webhooks::change_endpoint,
        webhooks::remove_endpoint,
        webhooks::rotate_keys,
        webhooks::deliveries::test_endpoint,
        webhooks::deliveries::recover_endpoint,
        webhooks::deliveries::list_deliveries,
        webhooks::deliveries::show_delivery,
        webhooks::deliveries::resend_delivery,
        handover::show_code,
        handover::show_handover,
        handover::take_code,
        confirm::show_page,
        confirm::take_answer,
        receive_callback,
        probes::livez,
        probes::readyz,
        probes::show_metrics,
        show_openapi,
    ),
    components(schemas(ProblemBody, ConflictBody, CaseConflictBody)),
    modifiers(&Token),
)]
struct Api;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The description.
pub(super) fn describe() -> Document {
    Api::openapi()
}

/// This description.
#[utoipa::path(
    get, path = "/openapi.json", tag = "platform", responses((status = 200, description = "OpenAPI", body = Object)),
)]
pub(super) async fn show_openapi() -> Json<Document> {
    Json(describe())
}

/// Takes a delivery partner's callback. The contract is the partner's; every failed verification has one body.
#[utoipa::path(
    post, path = "/webhooks/{partner}", tag = "partners",
    params(("partner" = String, Path, description = "the partner's name in the partners file")),
    request_body(content = String, content_type = "application/json", description = "as the partner signs it"),
    responses(
        (status = 200, description = "stored durably, now or before"),
        (status = 401, description = "not verified", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "over 256 KiB", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "says that it is no JSON", body = ProblemBody, content_type = "application/problem+json"),
        (
            status = 429, description = "too many that are not believed, or more than the partner may send; after `Retry-After`",
            body = ProblemBody, content_type = "application/problem+json",
        ),
        (status = 503, description = "not stored; send it again", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
#[expect(dead_code, reason = "describes the route of waybill-webhooks")]
fn receive_callback() {}
