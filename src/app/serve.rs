//! HTTP: the API, the partners' webhooks, and the customer's page.

use tokio::net::TcpListener;

use super::{App, OpenError};
use crate::config::Settings;

pub(super) fn start(app: &App, settings: &Settings, listener: TcpListener) -> Result<(), OpenError> {
    let _ = (app, settings, listener);
    Ok(())
}
