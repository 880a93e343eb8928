//! Asks the delivery partner to collect the books.

use std::time::Duration;

use chrono::Utc;
use serde::Deserialize;
use serde_json::Value;
use waybill_domain::{Actor, FailureReason, FieldName, Role};

use super::patience::{MOST_ATTEMPTS, after_partner_error, not_found};
use super::{EffectArgs, Effects, ended_before};
use crate::celery::protocol::Request;
use crate::celery::registry::{Task, TaskError};
use crate::orders::{Finish, Reported, Work};
use crate::partner::{BookingRequest, Parcel, PartnerClient, PartnerError, Rebooking};

/// As much of a partner's text as the graph's field takes.
const LONGEST_RAW: usize = 500;

/// When a partner that could not be reached at all is tried again, where attempts are not counted.
const NOT_BOOKED_ASK_AGAIN: Duration = Duration::from_secs(30);

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct BookDeliveryPartner(EffectArgs);

impl Task<Effects> for BookDeliveryPartner {
    const NAME: &'static str = "waybill.book_delivery_partner";

    async fn run(self, effects: &Effects, _request: &Request) -> Result<Value, TaskError> {
        let Some(work) = effects.begin(self.0).await? else {
            return Ok(ended_before());
        };
        let finish = book(effects, &work).await;
        effects.finish(&work, finish).await
    }
}

/// Running twice books once: the partner takes the order's id as idempotency key, or the delivery is looked up before
/// anything is sent again; where a second request would be a second booking, nothing is sent again.
async fn book(effects: &Effects, work: &Work) -> Finish {
    let order = &work.order;
    if work.has_left || order.partner_booking_id.is_some() {
        return Finish::Done;
    }
    let partner = match effects.partner_of(order) {
        Ok(partner) => partner,
        Err(finish) => return finish,
    };
    if is_unrouted(effects, work)
        && let Some(first) = next(effects, work, None).await
        && first.name() != partner.name()
    {
        return handed(None, first, "the rules of the partners file");
    }
    let rebooking = partner.rebooking();
    if work.attempts > 0 && rebooking == Rebooking::Never {
        return unknown(partner, "a worker died while it booked");
    }
    if work.attempts > 0 && rebooking.looks_up() {
        match partner.find(order.order_id).await {
            Ok(Some(found)) => return Finish::Booked(found.booking),
            // It may still arrive, and another would be a second one.
            Ok(None) if !rebooking.sends_again() => return after_partner_error(work, &not_found()),
            // The last attempt was long ago: what the partner does not know now, it was never told.
            Ok(None) if work.attempts >= MOST_ATTEMPTS => return booking_failed(),
            Ok(None) => (),
            Err(error) => return after_partner_error(work, &error),
        }
    }
    match partner.book(&request(effects, partner, work)).await {
        Ok(booking) => Finish::Booked(booking),
        Err(PartnerError::Rejected { code, text }) => match next(effects, work, Some(partner)).await {
            Some(next) => handed(Some(partner), next, &format!("{} refuses: {code}", partner.name())),
            None => rejected(partner, &code, &text),
        },
        Err(error) if is_known_unsent(work, &error) && effects.partners.has_other(work, partner.name()) => {
            let given_up = is_given_up(work, partner, &error);
            let next = if given_up {
                next(effects, work, Some(partner)).await
            } else {
                None
            };
            match next {
                Some(next) => handed(Some(partner), next, &format!("{}: {error}", partner.name())),
                None => surely_not_booked(work, &error),
            }
        }
        Err(error @ PartnerError::Ambiguous(_)) => match rebooking {
            Rebooking::Never => unknown(partner, &error.to_string()),
            Rebooking::ByKey => after_partner_error(work, &error),
            Rebooking::ByLookup | Rebooking::ByLookupOnly => match partner.find(order.order_id).await {
                Ok(Some(found)) => Finish::Booked(found.booking),
                // It may still arrive: not found is no proof this early.
                Ok(None) | Err(_) => after_partner_error(work, &error),
            },
        },
        Err(error) if !rebooking.sends_again() => surely_not_booked(work, &error),
        Err(error) => after_partner_error(work, &error),
    }
}

/// Whom the rules ask next: not who was asked before, nor who has just said no.
async fn next<'a>(effects: &'a Effects, work: &Work, refused: Option<&PartnerClient>) -> Option<&'a PartnerClient> {
    let booking = |partner: &PartnerClient| request(effects, partner, work);
    let next = effects
        .partners
        .choose(work, refused.map(PartnerClient::name), booking)
        .await;
    next.map(AsRef::as_ref)
}

/// A new order stands with the default partner, or with none, until the rules are asked. An operator's choice is not undone.
fn is_unrouted(effects: &Effects, work: &Work) -> bool {
    let order = &work.order;
    let untouched = order.revision == 1 && work.attempts == 0;
    let by_default = |name: &str| order.attempt == 1 && name == effects.partners.default_partner().name();
    untouched && order.partner.as_deref().is_none_or(by_default)
}

/// Whether nothing was sent to this partner, now or before: then another may be asked without booking twice.
fn is_known_unsent(work: &Work, error: &PartnerError) -> bool {
    let unsent = matches!(
        error,
        PartnerError::Suspended { .. }
            | PartnerError::Open { .. }
            | PartnerError::Busy { .. }
            | PartnerError::Throttled { .. }
            | PartnerError::Unreachable(_)
    );
    unsent && work.attempts == 0
}

/// Whether this partner is waited for no longer. One that does not serve us any more is not waited for at all.
fn is_given_up(work: &Work, partner: &PartnerClient, error: &PartnerError) -> bool {
    let waited = (Utc::now() - work.occurred_at).to_std().unwrap_or_default();
    matches!(error, PartnerError::Suspended { .. }) || waited > partner.patience()
}

fn handed(from: Option<&PartnerClient>, to: &PartnerClient, cause: &str) -> Finish {
    Finish::Handed {
        from: from.map(|partner| partner.name().to_owned()),
        to: to.name().to_owned(),
        cause: cause.to_owned(),
    }
}

/// A partner without key and look-up is never booked twice blindly: a person has to look there.
fn unknown(partner: &PartnerClient, cause: &str) -> Finish {
    let name = partner.name();
    Finish::Failed {
        cause: format!("it is unknown whether {name} has booked, and {name} cannot be asked: {cause}"),
    }
}

/// Attempts are not counted where only a booking that may have been made uses one up.
fn surely_not_booked(work: &Work, error: &PartnerError) -> Finish {
    match after_partner_error(work, error) {
        Finish::Retry {
            after,
            cause,
            counts: true,
        } => Finish::Retry {
            after: after.max(NOT_BOOKED_ASK_AGAIN),
            cause,
            counts: false,
        },
        other => other,
    }
}

fn request(effects: &Effects, partner: &PartnerClient, work: &Work) -> BookingRequest {
    let order = &work.order;
    BookingRequest {
        reference: order.order_id,
        pickup: order.pickup.clone(),
        dropoff: order.dropoff.clone(),
        parcels: vec![Parcel {
            items: order.items.clone(),
        }],
        callback_url: format!(
            "{}/webhooks/{}",
            effects.callback_base.trim_end_matches('/'),
            partner.name()
        ),
    }
}

fn rejected(partner: &PartnerClient, code: &str, text: &str) -> Finish {
    let raw: String = format!("{code} {text}").trim().chars().take(LONGEST_RAW).collect();
    let actor = Actor {
        role: Role::DeliveryPartner,
        id: partner.name().to_owned(),
    };
    let fields = [
        ("failure_reason", reason_for(code).as_str()),
        ("failure_raw", raw.as_str()),
    ];
    event("PARTNER_REJECTED", actor, &fields)
}

fn booking_failed() -> Finish {
    let actor = Actor {
        role: Role::Service,
        id: "waybill".to_owned(),
    };
    event(
        "BOOKING_FAILED",
        actor,
        &[("failure_reason", FailureReason::PartnerUnavailable.as_str())],
    )
}

fn event(name: &str, actor: Actor, fields: &[(&str, &str)]) -> Finish {
    let fields = fields
        .iter()
        .map(|(name, value)| (FieldName::from(*name), (*value).into()))
        .collect();
    Finish::Event(Box::new(Reported {
        event: name.into(),
        actor,
        fields,
    }))
}

/// The partner's word, where it is one of ours or well known; the raw text is kept anyway.
fn reason_for(code: &str) -> FailureReason {
    match code {
        "address_undeliverable" | "address_invalid" | "unknown_location" => FailureReason::AddressInvalid,
        "couriers_busy" | "no_courier" | "no_supply" => FailureReason::NoCourier,
        _ => FailureReason::parse(&code.to_ascii_uppercase()).unwrap_or(FailureReason::PartnerRejected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partners_word_is_translated_and_an_unknown_one_is_a_rejection() {
        let cases = [
            ("address_undeliverable", FailureReason::AddressInvalid),
            ("package_mismatch", FailureReason::PackageMismatch),
            ("NO_COURIER", FailureReason::NoCourier),
            ("422", FailureReason::PartnerRejected),
            ("", FailureReason::PartnerRejected),
        ];

        for (code, reason) in cases {
            assert_eq!(reason_for(code), reason, "{code}");
        }
    }
}
