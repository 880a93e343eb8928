//! What a broker carries: properties, headers and body, kept whole.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The headers of a message. Every AMQP type has a place, so that a message can be stored and sent again unchanged.
pub type Headers = BTreeMap<String, HeaderValue>;

/// One header value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum HeaderValue {
    /// `V`.
    Null,
    /// `t`.
    Bool(bool),
    /// Any integer width; sent as `I` where it fits, else as `l`.
    Int(i64),
    /// `d` or `f`.
    Float(f64),
    /// `S` or `s` that is UTF-8.
    Text(String),
    /// `S` or `x` that is not UTF-8, base64 in JSON.
    Bytes(#[serde(with = "base64_bytes")] Vec<u8>),
    /// `T`, whole seconds since 1970.
    Timestamp(u64),
    /// `D`: scale and unscaled value.
    Decimal(u8, u32),
    /// `A`.
    List(Vec<HeaderValue>),
    /// `F`.
    Table(Headers),
}

impl HeaderValue {
    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl From<&str> for HeaderValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// The AMQP basic properties that matter to Celery and to us; all of them survive a replay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Properties {
    /// Such as `application/json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Such as `utf-8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// 2 is persistent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery_mode: Option<u8>,
    /// 0 to 255.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// The task id, for results over `rpc://`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The queue that a result goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Milliseconds, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    /// Ours: what a returned message is matched by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Whole seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// The publisher's type name.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The broker's user that published, if it vouches for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The publisher's application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
}

/// A message: where it goes or went, and what it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Message {
    /// The exchange; empty for the default one, where the routing key is the queue's name.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The basic properties.
    pub properties: Properties,
    /// The headers.
    pub headers: Headers,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl Message {
    /// Straight to a queue, whatever exchange it came through; in nobody's name, because RabbitMQ takes one only from the user who
    /// has it.
    pub fn into_queue(self, queue: &str) -> Self {
        Self {
            exchange: String::new(),
            routing_key: queue.to_owned(),
            properties: Properties {
                user_id: None,
                ..self.properties
            },
            ..self
        }
    }

    /// Takes off what the broker wrote on it on its way: how often it was handed out, and where it died.
    pub fn forget_way(&mut self) {
        const COUNTS: [&str; 2] = ["x-delivery-count", "x-acquired-count"];
        const DEATHS: [&str; 3] = ["x-death", "x-first-death-", "x-last-death-"];
        self.headers
            .retain(|name, _| !COUNTS.contains(&name.as_str()) && !DEATHS.iter().any(|death| name.starts_with(death)));
    }
}

mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_goes_to_its_queue_with_its_properties_except_the_user() {
        let properties = Properties {
            user_id: Some("somebody".to_owned()),
            correlation_id: Some("c".to_owned()),
            ..Properties::default()
        };
        let message = Message {
            exchange: "payments".to_owned(),
            routing_key: "payment.succeeded".to_owned(),
            properties,
            body: b"{}".to_vec(),
            ..Message::default()
        };

        let again = message.into_queue("waybill.payments");

        assert_eq!(
            (again.exchange.as_str(), again.routing_key.as_str()),
            ("", "waybill.payments")
        );
        assert_eq!(
            again.properties,
            Properties {
                correlation_id: Some("c".to_owned()),
                ..Properties::default()
            }
        );
        assert_eq!(again.body, b"{}");
    }
}
