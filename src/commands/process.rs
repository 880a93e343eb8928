//! `waybill serve`, `work` and `all`: a process that runs until it is told to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::banner::{self, Banner};
use super::failure::{DONE, FORCED};
use super::{Failure, WorkOptions};
use crate::app::{App, Does};
use crate::config::{Role, Settings};

/// Runs a process in that role that does so; a worker may have been given options.
pub(super) async fn run(role: Role, does: Does, options: Option<&WorkOptions>) -> Result<u8, Failure> {
    let name = match role {
        Role::Serve => "serve",
        Role::Work => "work",
        _ => "all",
    };
    let mut settings = Settings::from_environment(role)?;
    if let Some(level) = options.and_then(|options| options.loglevel) {
        level.filter().clone_into(&mut settings.log.filter);
    }
    super::logging::start(&settings)?;
    let mut signals = Signals::listen()?;
    Banner::of(name, &settings, &does)?.show(settings.log.format);
    for said in options.map(WorkOptions::meaningless).unwrap_or_default() {
        warn!("{said}");
    }
    let app = tokio::select! {
        app = App::start(&settings, does) => app?,
        () = signals.next() => return Ok(DONE),
    };
    banner::show_tasks(&app.tasks, &settings.log);
    match app.addr {
        Some(_) => info!("waybill {name} is ready at {}", app.public_url),
        None => info!("waybill {name} is ready"),
    }
    let stopped = app.stopped();
    let asked = tokio::select! {
        () = signals.next() => true,
        () = app.asked.cancelled() => true,
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
