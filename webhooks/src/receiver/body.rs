//! Reading a request's body once, whole, and never more than is allowed.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::problem::Problem;

/// The largest body of a callback.
pub const MAX_BODY: usize = 256 * 1024;

/// A body that takes longer, however steadily, only holds a connection.
const READ_DEADLINE: Duration = Duration::from_secs(10);

/// How much, and how long, is read only to throw it away: a sender that is still writing when we close would see a
/// broken connection, and not the answer.
const MAX_DISCARDED: usize = 8 * 1024 * 1024;
const DISCARD_DEADLINE: Duration = Duration::from_secs(2);

/// Reads the body, or says why it is not taken. A length announced as too large is refused before anything is read.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let announced = announced_length(headers);
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        if announced.is_some_and(|length| length <= MAX_DISCARDED as u64) {
            discard(&mut stream).await;
        }
        return Err(Problem::TooLarge);
    }
    let outcome = timeout(READ_DEADLINE, collect(&mut stream))
        .await
        .unwrap_or(Err(Problem::TooSlow));
    if outcome == Err(Problem::TooLarge) {
        discard(&mut stream).await;
    }
    outcome
}

/// Whether what the body says of itself is JSON. Who says nothing is not contradicted: some senders leave it out.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let Some(value) = values.next() else { return true };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let essence = essence.trim().to_ascii_lowercase();
    let json = matches!(essence.as_str(), "application/json" | "text/json")
        || essence.starts_with("application/") && essence.ends_with("+json");
    json && values.next().is_none()
}

pub(super) fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn collect(stream: &mut BodyDataStream) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| Problem::Incomplete)?;
        if body.len() + chunk.len() > MAX_BODY {
            return Err(Problem::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

async fn discard(stream: &mut BodyDataStream) {
    let mut left = MAX_DISCARDED;
    let reading = async {
        while let Some(Ok(chunk)) = stream.next().await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                return;
            }
        }
    };
    // Whether it ended or not, the answer is the same.
    let _ = timeout(DISCARD_DEADLINE, reading).await;
}
