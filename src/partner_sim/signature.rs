//! Standard Webhooks v1: what callbacks are signed with.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// A signing secret, written `whsec_` and base64.
#[derive(Clone, PartialEq, Eq)]
pub struct CallbackSecret(Vec<u8>);

impl CallbackSecret {
    /// The value of `webhook-signature` for one attempt.
    pub fn sign(&self, id: &str, timestamp: i64, body: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

impl FromStr for CallbackSecret {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let key = text
            .strip_prefix("whsec_")
            .and_then(|encoded| STANDARD.decode(encoded).ok());
        let key = key.filter(|key| (24..=64).contains(&key.len()));
        key.map(Self)
            .ok_or_else(|| "expected whsec_ and 24 to 64 bytes in base64".to_owned())
    }
}

impl fmt::Debug for CallbackSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSecret(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn the_vector_of_the_specification_is_signed_as_it_says() {
        let secret: CallbackSecret = SECRET.parse().unwrap();
        let body = r#"{"email":"test@example.com","username":"test_user"}"#;

        let signature = secret.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body);

        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn a_secret_is_neither_short_nor_shown() {
        let refused = [
            "",
            "whsec_",
            "whsec_c2hvcnQ=",
            "C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
            "whsec_%%%",
        ];

        assert!(refused.iter().all(|text| text.parse::<CallbackSecret>().is_err()));
        assert!(!format!("{:?}", SECRET.parse::<CallbackSecret>()).contains("C2FV"));
    }
}
