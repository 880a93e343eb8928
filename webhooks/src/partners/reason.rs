//! Why a delivery failed: our word, whose matter it was, and the partner's own code.

use waybill_domain::FailureReason;

/// Whose matter a failure was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    /// The customer.
    Recipient,
    /// The shop.
    Merchant,
    /// The courier on the way.
    Courier,
    /// The partner's organisation and systems.
    Partner,
    /// Nobody's: weather, customs, what is not said.
    Nobody,
}

impl Party {
    fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Merchant => "merchant",
            Self::Courier => "courier",
            Self::Partner => "partner",
            Self::Nobody => "nobody",
        }
    }
}

/// Our word for a failure, and whose matter it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reason(pub(super) FailureReason, pub(super) Party);

/// What is kept of a partner's code.
const MAX_RAW: usize = 200;

/// A reason that is not told, or not known to us.
pub(super) const UNKNOWN: Reason = Reason(FailureReason::Unknown, Party::Nobody);
/// On its way back or there.
pub(super) const RETURNED: Reason = Reason(FailureReason::ReturnedToSender, Party::Partner);
/// The partner called it off.
pub(super) const BY_PARTNER: Reason = Reason(FailureReason::CancelledByPartner, Party::Partner);
/// The shop called it off.
pub(super) const BY_MERCHANT: Reason = Reason(FailureReason::CancelledByMerchant, Party::Merchant);
/// No courier was found.
pub(super) const NO_COURIER: Reason = Reason(FailureReason::NoCourier, Party::Partner);

impl Reason {
    /// `party: code`, for `failure_raw`. Free text is cut and stripped of what a terminal would stumble over.
    pub(super) fn raw(self, code: &str) -> String {
        let code: String = code
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MAX_RAW)
            .collect();
        format!("{}: {}", self.1.as_str(), code.trim())
    }
}

/// The reason for which a partner's code stands in its table; [`UNKNOWN`] with the code kept if it stands in none.
pub(super) fn look_up(table: &[(&str, Reason)], code: &str) -> Reason {
    let found = table.iter().find(|(known, _)| known.eq_ignore_ascii_case(code));
    found.map_or(UNKNOWN, |(_, reason)| *reason)
}
