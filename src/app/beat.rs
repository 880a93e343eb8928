//! Periodic tasks: the schedule of a file or our own, and who sends it.

use std::path::Path;

use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::beat::{Beat, Schedule};

use super::OpenError;
use crate::config::{Broker, Settings, read_yaml};

const OURS: &str = include_str!("beat.yaml");

/// The schedule of a file, or what Waybill itself needs. Tasks without a queue go to ours.
pub fn read_schedule(file: Option<&Path>, settings: &Settings) -> Result<Schedule, OpenError> {
    let (place, text) = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let unreadable = |error| OpenError::Schedule(format!("{}: {error}", path.display()));
            (path.display().to_string(), text.map_err(unreadable)?)
        }
        None => ("our own schedule".to_owned(), OURS.to_owned()),
    };
    let document = read_yaml(&text).map_err(|error| OpenError::Schedule(format!("{place}: {error}")))?;
    Schedule::read(document, &settings.queues.tasks).map_err(|error| OpenError::Schedule(format!("{place}: {error}")))
}

/// Starts a beat over a connection of its own; the transport is closed by whoever stops it.
pub fn open_beat(schedule: Schedule, settings: &Settings) -> Result<(Beat, std::sync::Arc<AmqpTransport>), OpenError> {
    let Broker::Amqp(url) = &settings.broker else {
        return Err(OpenError::Missing("WAYBILL_BROKER_URL"));
    };
    let name = format!("waybill beat {}", std::process::id());
    let transport = AmqpTransport::connect(AmqpOptions::new(url.clone(), name))?;
    Ok((Beat::new(schedule, transport.clone()), transport))
}
