//! AfterShip: it tracks what others carry, and carries nothing itself.
//!
//! A booking is refused, so it is no partner to be the default one. What it tracks is seen at `/v4/trackings/{id}`.

use std::sync::Arc;

use super::Opened;
use crate::partner::auth::Auth;
use crate::partner::client::Cancelled;
use crate::partner::contract::BookingRequest;
use crate::partner::dialect::{Call, Delivery, Dialect, Next, Reading, Rebooking};
use crate::partner::error::PartnerError;
use crate::partner::settings::PartnerSettings;
use crate::partner::wire::Answer;

#[derive(Debug)]
struct AfterShip;

pub(super) fn open(settings: &PartnerSettings) -> Opened {
    let auth = Auth::header("as-api-key", "", settings.credentials.key("credentials.key")?);
    Ok((Arc::new(AfterShip), auth))
}

impl Dialect for AfterShip {
    fn rebooking(&self) -> Rebooking {
        Rebooking::Never
    }

    fn book(&self, _booking: &BookingRequest) -> Result<Call, PartnerError> {
        Err(PartnerError::Rejected {
            code: "tracking_only".to_owned(),
            text: "this partner tracks what others carry, and cannot be booked".to_owned(),
        })
    }

    fn booked(&self, _booking: &BookingRequest, answer: &Answer) -> Result<Next, PartnerError> {
        Err(self.refusal(answer))
    }

    fn view(&self, booking_id: &str) -> Call {
        Call::get(["v4", "trackings", booking_id])
    }

    fn viewed(&self, answer: &Answer) -> Result<Delivery, PartnerError> {
        if answer.status != 200 {
            return Err(self.refusal(answer));
        }
        let body = Reading::of(answer)?;
        Ok(Delivery {
            id: body.id("data.tracking.id")?,
            status: body.text("data.tracking.tag").unwrap_or_default(),
            reason: body.text("data.tracking.subtag"),
            number: body.text("data.tracking.tracking_number"),
            tracking_url: None,
        })
    }

    fn cancel(&self, booking_id: &str) -> Call {
        self.view(booking_id)
    }

    /// There is nothing to call off: whoever carries it is asked elsewhere.
    fn cancelled(&self, _answer: &Answer) -> Result<Cancelled, PartnerError> {
        Err(PartnerError::Unsupported("calling off what it only tracks"))
    }
}
