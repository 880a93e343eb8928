//! The closed lists of reasons that a failure or a cancellation always has.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! reason {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The reason as the graph and the log write it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The reason of that name.
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reason! {
    /// Why a delivery failed.
    FailureReason {
        /// Nobody was there.
        RecipientUnavailable = "RECIPIENT_UNAVAILABLE",
        /// The recipient did not take it.
        RecipientRefused = "RECIPIENT_REFUSED",
        /// The recipient lives elsewhere now.
        RecipientMoved = "RECIPIENT_MOVED",
        /// The business at the address was closed.
        BusinessClosed = "BUSINESS_CLOSED",
        /// No such address.
        AddressInvalid = "ADDRESS_INVALID",
        /// The courier could not get to the door.
        AccessRestricted = "ACCESS_RESTRICTED",
        /// It could not be left anywhere.
        NoSafePlace = "NO_SAFE_PLACE",
        /// A code, a signature or an identity did not match.
        VerificationFailed = "VERIFICATION_FAILED",
        /// Damaged on the way.
        Damaged = "DAMAGED",
        /// Lost on the way.
        Lost = "LOST",
        /// Sent the wrong way.
        Misrouted = "MISROUTED",
        /// Not collected where it waited.
        Unclaimed = "UNCLAIMED",
        /// On its way back or there.
        ReturnedToSender = "RETURNED_TO_SENDER",
        /// Not the parcel that was booked.
        PackageMismatch = "PACKAGE_MISMATCH",
        /// No courier was found.
        NoCourier = "NO_COURIER",
        /// Something happened to the courier.
        CourierIncident = "COURIER_INCIDENT",
        /// It could not be collected from us.
        PickupFailed = "PICKUP_FAILED",
        /// The customer called the partner off.
        CancelledByCustomer = "CANCELLED_BY_CUSTOMER",
        /// The shop called the partner off.
        CancelledByMerchant = "CANCELLED_BY_MERCHANT",
        /// The partner called it off.
        CancelledByPartner = "CANCELLED_BY_PARTNER",
        /// Held by customs, or for money.
        CustomsOrPaymentHold = "CUSTOMS_OR_PAYMENT_HOLD",
        /// Weather, strike, catastrophe.
        WeatherOrForceMajeure = "WEATHER_OR_FORCE_MAJEURE",
        /// A fault in the partner's systems.
        PartnerTechnical = "PARTNER_TECHNICAL",
        /// The partner does not take the booking.
        PartnerRejected = "PARTNER_REJECTED",
        /// The partner could not be reached.
        PartnerUnavailable = "PARTNER_UNAVAILABLE",
        /// Nobody collected it in time.
        PickupOverdue = "PICKUP_OVERDUE",
        /// A reason that we do not know; the raw code is kept.
        Unknown = "UNKNOWN",
    }
}

reason! {
    /// Why an order was cancelled.
    CancelReason {
        /// The payment was given back.
        PaymentReversed = "PAYMENT_REVERSED",
        /// The customer asked for it.
        CustomerRequest = "CUSTOMER_REQUEST",
        /// An operator decided.
        OperatorDecision = "OPERATOR_DECISION",
    }
}
