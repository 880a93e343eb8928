//! `waybill demo`.

use super::Failure;
use super::failure::{BAD, DONE};
use crate::config::LogFormat;
use crate::demo::{self, DemoArgs};
use crate::telemetry;

/// Runs the demo: 0 only if every order is where it must be.
pub(super) async fn run(args: DemoArgs) -> Result<u8, Failure> {
    telemetry::init(&args.log, LogFormat::Text).map_err(|error| Failure::usage(error.to_string()))?;
    let good = demo::run(args)
        .await
        .map_err(|error| Failure::bad(format!("{error:#}")))?;
    Ok(if good { DONE } else { BAD })
}
