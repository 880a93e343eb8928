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
        Self::of(IN_FLIGHT)
    }
}

impl Places {
    fn of(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
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

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::body::Body;
    use axum::http::StatusCode;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use tower::ServiceExt as _;

    use super::*;

    /// Answers never.
    fn stuck(places: usize) -> Router {
        let route = get(|| async { std::future::pending::<()>().await });
        Router::new()
            .route("/", route)
            .layer(from_fn_with_state(Places::of(places), limit))
    }

    async fn ask(router: Router) -> Response {
        router
            .oneshot(Request::get("/").body(Body::empty()).expect("a request"))
            .await
            .expect("an answer")
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_answered_in_time() {
        let began = tokio::time::Instant::now();

        let answered = ask(stuck(1)).await;

        assert_eq!(answered.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answered.headers()["retry-after"], "2");
        assert_eq!(began.elapsed().as_secs(), ANSWER_DEADLINE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_no_place_is_refused_at_once_and_a_place_comes_back() {
        let router = stuck(1);
        let began = tokio::time::Instant::now();

        let (first, second) = tokio::join!(ask(router.clone()), async {
            let refused = ask(router.clone()).await;
            (refused.status(), began.elapsed().as_secs())
        });
        let later = ask(router).await;

        assert_eq!(second, (StatusCode::SERVICE_UNAVAILABLE, 0));
        assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(later.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(began.elapsed().as_secs(), 2 * ANSWER_DEADLINE.as_secs());
    }
}
