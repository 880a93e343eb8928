//! Callbacks of the `standard` contract, signed by Standard Webhooks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha2::Sha256;
use uuid::Uuid;

pub(super) struct Callbacks {
    head: String,
    key: Vec<u8>,
    now: DateTime<Utc>,
}

impl Callbacks {
    pub(super) fn new(addr: &str, path: &str, secret: &str) -> Self {
        let secret = secret.strip_prefix("whsec_").unwrap_or(secret);
        Self {
            head: format!("POST {path} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n"),
            key: STANDARD.decode(secret).expect("a secret is base64"),
            now: Utc::now(),
        }
    }

    /// The bytes of a whole request; each has an id and an order of its own.
    pub(super) fn request(&self, index: usize) -> Vec<u8> {
        let body = json!({
            "type": "delivery.picked_up",
            "timestamp": self.now,
            "data": {"reference": Uuid::now_v7(), "partner_order_number": format!("L-{index}")},
        });
        let (body, id, seconds) = (
            body.to_string(),
            format!("msg_{}", Uuid::now_v7().simple()),
            self.now.timestamp(),
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(format!("{id}.{seconds}.{body}").as_bytes());
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        format!(
            "{}content-length: {}\r\nwebhook-id: {id}\r\nwebhook-timestamp: {seconds}\r\nwebhook-signature: v1,{signature}\r\n\r\n{body}",
            self.head,
            body.len()
        )
        .into_bytes()
    }
}
