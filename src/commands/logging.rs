//! Logging of a command.

use super::Failure;
use super::failure::chain;
use crate::config::{Settings, Source};
use crate::telemetry;

/// Logs as the settings say.
pub(super) fn start(settings: &Settings) -> Result<(), Failure> {
    telemetry::init(&settings.log.filter, settings.log.format).map_err(|error| Failure::usage(chain(&error)))
}

/// Logs only if somebody asked for it: the output of a command is its answer.
pub(super) fn start_if_asked(settings: &Settings) -> Result<(), Failure> {
    let asked = |name| {
        settings
            .describe()
            .iter()
            .any(|it| it.name == name && it.source != Source::Default)
    };
    if asked("WAYBILL_LOG") { start(settings) } else { Ok(()) }
}
