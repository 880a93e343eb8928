//! `waybill serve`, `work` and `all`: a process that runs until it is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::info;

use super::Failure;
use super::banner::Banner;
use super::failure::{DONE, FORCED};
use crate::app::{App, Does, Work};
use crate::config::{Role, Settings};

/// Runs a process in that role; a worker consumes what `work` says.
pub(super) async fn run(role: Role, work: Work) -> Result<u8, Failure> {
    let (name, does) = match role {
        Role::Serve => (
            "serve",
            Does {
                serve: true,
                work: Work::Nothing,
            },
        ),
        Role::Work => ("work", Does { serve: false, work }),
        _ => ("all", Does { serve: true, work }),
    };
    let settings = Settings::from_environment(role)?;
    super::logging::start(&settings)?;
    let mut signals = Signals::listen()?;
    Banner::of(name, &settings)?.show(settings.log.format);
    let app = tokio::select! {
        app = App::start(&settings, does) => app?,
        () = signals.next() => return Ok(DONE),
    };
    match app.addr {
        Some(_) => info!("waybill {name} is ready at {}", app.public_url),
        None => info!("waybill {name} is ready"),
    }
    let stopped = app.stopped();
    let asked = tokio::select! {
        () = signals.next() => true,
        () = stopped.cancelled() => false,
    };
    if asked {
        info!("stopping: what is in hand is finished; a second signal ends this process at once");
    }
    let in_time = tokio::select! {
        in_time = app.shut_down() => in_time,
        () = signals.next() => false,
    };
    // Who stopped by itself has lost something that it cannot work without: whoever supervises it must see that.
    Ok(if asked && in_time { DONE } else { FORCED })
}

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are heard here instead of ending the process.
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|error| Failure::usage(format!("cannot listen to signals: {error}")));
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Ends with the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
