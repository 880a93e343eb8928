//! A delivery partner to try Waybill with: it speaks the `standard` contract, or as one of the real ones does, both ways, and
//! can be slow, failing, double answering, silent and lying, the same way every time for the same seed.

mod api;
mod callbacks;
mod dialects;
mod ledger;
mod options;
mod plan;
mod secret;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use dialects::Speaks;
pub use ledger::{CallRecord, CallbackRecord, Entry, Summary};
pub use options::{Outage, SimulatorOptions};
pub use secret::CallbackSecret;

use callbacks::Callbacks;
use dialects::Dialect;
use ledger::Ledger;

/// A simulator that runs until it is stopped or dropped.
#[derive(Debug)]
pub struct Simulator {
    /// Where it listens.
    pub addr: SocketAddr,
    partner: Arc<Partner>,
    server: JoinHandle<std::io::Result<()>>,
    _ends_with_it: DropGuard,
}

/// What the simulated partner knows and does; shared by its handlers and its walkers.
#[derive(Debug)]
struct Partner {
    options: SimulatorOptions,
    dialect: Box<dyn Dialect>,
    started: Instant,
    ledger: Ledger,
    callbacks: Callbacks,
    walkers: TaskTracker,
    stop: CancellationToken,
}

/// Why a simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Somebody else listens there, or the address is not ours.
    #[error("cannot listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The secret has not the form that this partner's have.
    #[error("{0:?} has callback secrets of another form")]
    Secret(Speaks),
    /// Its bookings do not say where to report to, and nothing else does.
    #[error("{0:?} must be told where to report to")]
    NowhereToReport(Speaks),
    /// The HTTP client for the callbacks.
    #[error("cannot make an HTTP client")]
    Client(#[from] reqwest::Error),
}

impl Simulator {
    /// Starts it. Needs a process-wide TLS provider, because callbacks may go to `https`.
    pub async fn start(options: SimulatorOptions) -> Result<Self, StartError> {
        let (addr, speaks) = (options.addr, options.speaks);
        let dialect = speaks.with(&options.callback_secret);
        let dialect = dialect.ok_or(StartError::Secret(speaks))?;
        if speaks != Speaks::Standard && options.callback_url.is_none() {
            return Err(StartError::NowhereToReport(speaks));
        }
        let listener = TcpListener::bind(addr)
            .await
            .map_err(|source| StartError::Listen { addr, source })?;
        let addr = listener
            .local_addr()
            .map_err(|source| StartError::Listen { addr, source })?;
        let partner = Arc::new(Partner {
            callbacks: Callbacks::new()?,
            options,
            dialect,
            started: Instant::now(),
            ledger: Ledger::default(),
            walkers: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let router = api::router(Arc::clone(&partner));
        let stopped = partner.stop.clone().cancelled_owned();
        let server = axum::serve(listener, router)
            .with_graceful_shutdown(stopped)
            .into_future();
        let _ends_with_it = partner.stop.clone().drop_guard();
        Ok(Self {
            addr,
            server: tokio::spawn(server),
            partner,
            _ends_with_it,
        })
    }

    /// The base URL for the partners file.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every delivery it was asked for, in the order of the first call.
    pub fn ledger(&self) -> Vec<Entry> {
        self.partner.ledger.entries()
    }

    /// The ledger in numbers.
    pub fn summary(&self) -> Summary {
        self.partner.ledger.summary()
    }

    /// Stops it; callbacks that are not yet told are dropped.
    pub async fn stop(self) {
        self.partner.stop.cancel();
        self.partner.walkers.close();
        self.partner.walkers.wait().await;
        // Handlers that hang on purpose must not hold up the end.
        let abort = self.server.abort_handle();
        if tokio::time::timeout(Duration::from_secs(1), self.server).await.is_err() {
            abort.abort();
        }
    }
}

/// Runs a simulator until `stop` is cancelled: the command `waybill partner-sim`.
pub async fn run(options: SimulatorOptions, stop: CancellationToken) -> Result<(), StartError> {
    let simulator = Simulator::start(options).await?;
    println!("partner simulator listens on {}", simulator.base_url());
    stop.cancelled().await;
    simulator.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests;
