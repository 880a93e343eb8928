//! Contactless handover: the customer says six digits to the courier, who enters them; that is the customer's yes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};
use waybill_domain::{Actor, Fields, OrderId, Refusal, Role};

use super::{Answer, Engine, EngineError, MACHINE, Report};
use crate::store::handover::{NewCode, Tried};

/// What the page's token is for.
const PURPOSE: &str = "handover_code";
/// A parcel that is under way longer has an operator already.
const VALID: TimeDelta = TimeDelta::days(30);

/// What came of a code that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandedOver {
    /// The receipt is confirmed, or will be as soon as the partner reports the delivery.
    Taken,
    /// It is another one; so many tries are left.
    Wrong(i64),
    /// It was tried too often: an operator decides.
    Locked,
    /// The order has no code, or its time is over.
    Unknown,
}

impl Engine {
    /// Makes the page that shows the code to the customer: the same each time it is asked for. Nothing where codes are off.
    pub(super) async fn issue_code(
        &self,
        order_id: OrderId,
        sequence: i64,
    ) -> Result<Option<(String, DateTime<Utc>)>, EngineError> {
        if !self.outside().handover_codes {
            return Ok(None);
        }
        let (store, order) = (self.store(), order_id.to_string());
        let token = URL_SAFE_NO_PAD.encode(store.crypt().token(PURPOSE, &order, sequence));
        let made = store.crypt().code(&order, sequence);
        let expires_at = store.now().await? + VALID;
        let code = NewCode {
            order_id,
            token_hash: Sha256::digest(token.as_bytes()).to_vec(),
            sequence,
            code_digest: made.digest.to_vec(),
            expires_at,
        };
        store.keep_code(code).await?;
        Ok(Some((token, expires_at)))
    }

    /// The code that a customer's page shows, and the customer's language; nothing where the page is unknown, its time is over, or no code is heard any
    /// more.
    pub async fn shown_code(&self, token: &str) -> Result<Option<(String, String)>, EngineError> {
        let store = self.store();
        let kept = store.code_of_page(&Sha256::digest(token.as_bytes())).await?;
        let now = store.now().await?;
        let Some(kept) = kept.filter(|kept| kept.expires_at > now) else {
            return Ok(None);
        };
        let codes = store.crypt().codes(&kept.order_id.to_string(), kept.sequence);
        let shown = codes.into_iter().find(|made| made.digest[..] == kept.code_digest[..]);
        let order = store.order(kept.order_id).await?;
        Ok(shown.zip(order).map(|(made, order)| (made.code, order.record.locale)))
    }

    /// Whether the order has a code to be entered.
    pub async fn has_code(&self, order_id: OrderId) -> Result<bool, EngineError> {
        let kept = self.store().code_of_order(order_id).await?;
        let now = self.store().now().await?;
        Ok(kept.is_some_and(|kept| kept.expires_at > now))
    }

    /// Takes a code that the courier enters. Entered again, the right one is right again.
    pub async fn hand_over(&self, order_id: OrderId, code: &str) -> Result<HandedOver, EngineError> {
        let digests = self.store().crypt().code_digests(&order_id.to_string(), code);
        match self.store().try_code(order_id, &digests).await? {
            Tried::Unknown => Ok(HandedOver::Unknown),
            Tried::Locked => Ok(HandedOver::Locked),
            Tried::Wrong(left) => Ok(HandedOver::Wrong(left)),
            Tried::Right => {
                self.confirm_by_code(order_id).await?;
                Ok(HandedOver::Taken)
            }
        }
    }

    /// Lets a code that was entered before the partner reported the delivery confirm it now.
    pub(super) async fn confirm_if_handed_over(&self, order_id: OrderId) -> Result<(), EngineError> {
        let kept = self.store().code_of_order(order_id).await?;
        if kept.is_some_and(|kept| kept.verified_at.is_some()) {
            self.confirm_by_code(order_id).await?;
        }
        Ok(())
    }

    async fn confirm_by_code(&self, order_id: OrderId) -> Result<(), EngineError> {
        let Some(order) = self.store().order(order_id).await? else {
            return Ok(());
        };
        let report = Report {
            machine: MACHINE.into(),
            order_id,
            event: "CUSTOMER_CONFIRMED".into(),
            fields: Fields::new(),
            extra: Json::Null,
            actor: Actor {
                role: Role::Customer,
                id: order.record.customer_id,
            },
            key: format!("handover-code:{order_id}"),
            if_revision: None,
            occurred_at: None,
        };
        match self.report(report).await? {
            // Before the partner's report it waits for it; after somebody else's yes there is nothing to add.
            Answer::Refused(Refusal::Early { .. } | Refusal::Duplicate { .. } | Refusal::Stale { .. }) => Ok(()),
            Answer::Refused(_) => Ok(self
                .store()
                .open_handover_case(order_id, "RIGHT_CODE_ELSEWHERE")
                .await?),
            _ => Ok(()),
        }
    }
}
