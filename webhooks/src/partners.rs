//! Translation: what a partner wrote, in our words. One file per partner's language: how it signs, what its statuses
//! and reasons mean, which event a callback is. `docs/new-partner.md` says how to add one.

mod aftership;
mod document;
mod doordash;
mod easypost;
mod json;
mod lalamove;
mod onfleet;
mod reason;
mod report;
mod sendcloud;
mod shippo;
mod standard;
mod stuart;
mod uber;

use crate::claim::Claim;
use crate::incoming::Incoming;
use crate::keys::{BadKey, Material};
use crate::signature::Rejection;

pub use report::{PartnerReport, ReportKind, Seen, Unmapped};

/// A partner's language. What has no state but the words is one of them.
pub(crate) trait Dialect: Sync {
    /// Reads a secret in the form in which this partner hands it out.
    fn read_key(&self, text: &str) -> Result<Material, BadKey>;

    /// Finds what is signed in a request, and the proof of it. Believes nothing.
    fn claim<'a>(&self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection>;

    /// Which event a verified callback is, where the request itself has no id.
    fn identify(&self, body: &[u8]) -> Option<EventId>;

    /// Says in our words what a verified callback reports.
    fn translate(&self, body: &[u8]) -> Result<PartnerReport, Unmapped>;

    /// Says in our words what was seen when the partner was asked how a delivery stands.
    fn interpret(&self, seen: &Seen) -> Result<PartnerReport, Unmapped>;
}

/// Which event a callback is, as far as the partner says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventId {
    /// The partner's own id, equal over retries.
    Given(String),
    /// No id: words that describe the event. A digest of the body is added.
    Described(String),
}

macro_rules! adapters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal by $dialect:expr,)+) => {
        /// The language that a partner speaks; `adapter` in the partners file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Adapter {
            $($(#[$doc])* $variant,)+
        }

        impl Adapter {
            /// All adapters.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name in the partners file.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            fn dialect(self) -> &'static dyn Dialect {
                match self {
                    $(Self::$variant => &$dialect,)+
                }
            }
        }
    };
}

adapters! {
    /// Our own contract.
    Standard = "standard" by standard::Standard,
    /// Tracking, no booking.
    AfterShip = "aftership" by aftership::AfterShip,
    /// DoorDash Drive.
    DoorDash = "doordash" by doordash::DoorDash,
    /// EasyPost.
    EasyPost = "easypost" by easypost::EasyPost,
    /// Lalamove.
    Lalamove = "lalamove" by lalamove::Lalamove,
    /// Onfleet.
    Onfleet = "onfleet" by onfleet::Onfleet,
    /// Sendcloud.
    Sendcloud = "sendcloud" by sendcloud::Sendcloud,
    /// Shippo.
    Shippo = "shippo" by shippo::Shippo,
    /// Stuart.
    Stuart = "stuart" by stuart::Stuart,
    /// Uber Direct.
    Uber = "uber" by uber::Uber,
}

impl Adapter {
    /// The adapter of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|adapter| adapter.as_str() == name)
    }

    /// Says in our words what a verified callback reports. Pure: the same body always gives the same report.
    pub fn translate(self, body: &[u8]) -> Result<PartnerReport, Unmapped> {
        self.dialect().translate(body)
    }

    /// Says in our words what was seen when the partner was asked how a delivery stands.
    pub fn interpret(self, seen: &Seen) -> Result<PartnerReport, Unmapped> {
        self.dialect().interpret(seen)
    }

    pub(crate) fn read_key(self, text: &str) -> Result<Material, BadKey> {
        self.dialect().read_key(text)
    }

    pub(crate) fn claim<'a>(self, request: &Incoming<'a>) -> Result<Claim<'a>, Rejection> {
        self.dialect().claim(request)
    }

    pub(crate) fn identify(self, body: &[u8]) -> Option<EventId> {
        self.dialect().identify(body)
    }
}

#[cfg(test)]
mod tests;
