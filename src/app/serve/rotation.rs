//! Keys of partners are changed while we run: the partners file and the secrets that it names are read again every few
//! seconds, and at once on SIGHUP.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use waybill_webhooks::PartnerKeys;

use crate::config::read_keys;

/// How long a changed secret may go unseen.
const EVERY: Duration = Duration::from_secs(10);

/// Reads the file until `stop`. What cannot be read changes nothing: whoever was believed still is.
pub(super) async fn follow(file: PathBuf, keys: Arc<PartnerKeys>, stop: CancellationToken) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            warn!("the partners' keys are not read again, SIGHUP cannot be heard: {error}");
            return;
        }
    };
    let mut broken = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
            _ = hangup.recv() => {}
        }
        let path = file.clone();
        match tokio::task::spawn_blocking(move || read_keys(&path)).await {
            Ok(Ok(read)) => {
                let before = keys.ids();
                keys.replace(read);
                let now = keys.ids();
                if before != now || broken {
                    info!("partners are believed by these keys now: {now:?}");
                }
                broken = false;
            }
            Ok(Err(error)) if !broken => {
                warn!("the partners' keys stay as they are: {error}");
                broken = true;
            }
            Ok(Err(_)) | Err(_) => {}
        }
    }
}
