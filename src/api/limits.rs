//! What no request may take more of: time, bytes, and places.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tower_http::timeout::RequestBodyDeadlineLayer;

use super::problem::{Code, Problem};

/// A body that takes longer, however steadily, only holds a connection.
pub(super) const BODY_DEADLINE: Duration = Duration::from_secs(10);
/// A body and the work after it.
const ANSWER_DEADLINE: Duration = Duration::from_secs(15);
/// Requests under way at once.
const IN_FLIGHT: usize = 512;
/// No address of ours is longer.
const MAX_URI: usize = 8 * 1024;

/// Places for requests under way.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Semaphore>);

impl Default for Places {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(IN_FLIGHT)))
    }
}

/// Gives each body its time.
pub(super) fn body_deadline() -> RequestBodyDeadlineLayer {
    RequestBodyDeadlineLayer::new(BODY_DEADLINE)
}

/// Refuses what is too long, and at once what has no place; answers what takes too long. A write that was begun is
/// finished all the same: the committer owns it, and the caller's key makes it safe to ask again.
pub(super) async fn limit(State(Places(places)): State<Places>, request: Request, next: Next) -> Response {
    if request
        .uri()
        .path_and_query()
        .is_some_and(|uri| uri.as_str().len() > MAX_URI)
    {
        return Problem::new(Code::UriTooLong, "").into_response();
    }
    let Ok(_place) = places.try_acquire() else {
        return Problem::new(Code::Overloaded, "").into_response();
    };
    match tokio::time::timeout(ANSWER_DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(Code::TookTooLong, "").into_response(),
    }
}
