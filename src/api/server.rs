//! The HTTP server: an accept loop of our own, because a slow client must not hold a connection for ever, and an end must
//! come in time.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

/// A client that sends its headers slower, or nothing, loses its connection.
const HEADER_DEADLINE: Duration = Duration::from_secs(5);
const MAX_HEADERS: usize = 64;
/// The head of a request.
const MAX_HEAD: usize = 64 * 1024;
/// Connections at once; more wait in the kernel.
const CONNECTIONS: usize = 2048;
/// What is under way at the end is finished within that.
const GRACE: Duration = Duration::from_secs(20);
/// After an error that is ours, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// Why we cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else does.
    #[error("{0} is in use: choose another WAYBILL_HTTP_ADDR")]
    InUse(SocketAddr),
    /// Anything else.
    #[error("cannot listen on {addr} (WAYBILL_HTTP_ADDR)")]
    Failed {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Listens.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(addr).await.map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => ListenError::InUse(addr),
        _ => ListenError::Failed { addr, source },
    })
}

/// Serves until `shutdown`, then finishes what is under way; whatever takes longer than twenty seconds is cut off.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken, tracker: TaskTracker) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &places) => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer, place)) => {
                let router = router.clone().layer(Extension(ConnectInfo(peer)));
                tracker.spawn(attend(stream, place, router, shutdown.clone()));
            }
            Err(error) if is_of_client(&error) => debug!("a client left before it was accepted: {error}"),
            Err(error) => {
                metrics::counter!("http_accept_errors_total").increment(1);
                warn!("no connection is accepted: {error}");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = u32::try_from(CONNECTIONS).unwrap_or(u32::MAX);
    // Every place is free again when every connection has ended.
    let ended = tokio::time::timeout(GRACE + Duration::from_secs(1), places.acquire_many(all)).await;
    info!(
        "http has ended{}",
        if ended.is_ok() {
            ""
        } else {
            ", with connections cut off"
        }
    );
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> std::io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(std::io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

fn is_of_client(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
    )
}

/// One connection, from its first to its last request.
async fn attend(stream: TcpStream, place: OwnedSemaphorePermit, router: Router, shutdown: CancellationToken) {
    let _place = place;
    // Answers are small: waiting to fill a packet only makes them late.
    if let Err(error) = stream.set_nodelay(true) {
        debug!("a connection cannot be set to answer at once: {error}");
    }
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_DEADLINE)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD);
    let service = TowerToHyperService::new(router);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.ok()
        }
    };
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) => debug!("a connection ended early: {error}"),
        None => warn!("a connection is cut off at the end of the process"),
    }
}
