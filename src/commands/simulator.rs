//! `waybill partner-sim`: a delivery partner to try things with.

use tokio_util::sync::CancellationToken;

use super::Failure;
use super::failure::{DONE, chain};
use super::process::Signals;
use crate::partner_sim::{self, SimulatorOptions, StartError};

pub(super) async fn run(options: SimulatorOptions) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        signals.next().await;
        asked.cancel();
    });
    match partner_sim::run(options, stop).await {
        Ok(()) => Ok(DONE),
        Err(error) => {
            let option = match &error {
                StartError::Listen { .. } => " (--addr)",
                StartError::Secret(_) => " (--callback-secret)",
                StartError::NowhereToReport(_) => " (--callback-url)",
                StartError::Client(_) => "",
            };
            Err(Failure::usage(format!("{}{option}", chain(&error))))
        }
    }
}
