//! The partners' languages, outbound: one file each, of the same name as in `webhooks/src/partners`.

mod aftership;
mod doordash;
mod easypost;
mod lalamove;
mod onfleet;
mod sendcloud;
mod shippo;
mod standard;
mod stuart;
mod uber;

use std::sync::Arc;

use super::auth::Auth;
use super::dialect::Dialect;
use super::settings::{Adapter, Invalid, PartnerSettings};

/// The language of a partner and its credentials, as its settings say.
pub(super) fn choose(settings: &PartnerSettings) -> Result<(Arc<dyn Dialect>, Auth), Invalid> {
    match settings.adapter {
        Adapter::Standard => standard::open(settings),
        Adapter::Aftership => aftership::open(settings),
        Adapter::Doordash => doordash::open(settings),
        Adapter::Easypost => easypost::open(settings),
        Adapter::Lalamove => lalamove::open(settings),
        Adapter::Onfleet => onfleet::open(settings),
        Adapter::Sendcloud => sendcloud::open(settings),
        Adapter::Shippo => shippo::open(settings),
        Adapter::Stuart => stuart::open(settings),
        Adapter::Uber => uber::open(settings),
    }
}

/// What a partner's settings make of it.
type Opened = Result<(Arc<dyn Dialect>, Auth), Invalid>;
