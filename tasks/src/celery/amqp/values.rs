//! Messages and headers, between our types and lapin's.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};

use crate::celery::message::{HeaderValue, Headers, Message, Properties};

/// A text that AMQP cannot carry: names and properties have at most 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is longer than 255 bytes")]
pub(super) struct TooLong {
    what: String,
}

pub(super) fn short(what: &str, text: &str) -> Result<ShortString, TooLong> {
    ShortString::try_new(text).map_err(|_| TooLong { what: what.to_owned() })
}

/// Properties and headers as they go onto the wire.
pub(super) fn to_wire(message: &Message, message_id: &str) -> Result<BasicProperties, TooLong> {
    let Properties {
        content_type,
        content_encoding,
        delivery_mode,
        priority,
        correlation_id,
        reply_to,
        expiration,
        message_id: _,
        timestamp,
        kind,
        user_id,
        app_id,
    } = &message.properties;
    let mut wire = BasicProperties::default()
        .with_headers(table_to_wire(&message.headers)?)
        .with_message_id(short("message_id", message_id)?);
    type Set = fn(BasicProperties, ShortString) -> BasicProperties;
    let texts: [(&str, &Option<String>, Set); 8] = [
        ("content_type", content_type, BasicProperties::with_content_type),
        (
            "content_encoding",
            content_encoding,
            BasicProperties::with_content_encoding,
        ),
        ("correlation_id", correlation_id, BasicProperties::with_correlation_id),
        ("reply_to", reply_to, BasicProperties::with_reply_to),
        ("expiration", expiration, BasicProperties::with_expiration),
        ("type", kind, BasicProperties::with_type),
        ("user_id", user_id, BasicProperties::with_user_id),
        ("app_id", app_id, BasicProperties::with_app_id),
    ];
    for (name, text, set) in texts {
        if let Some(text) = text {
            wire = set(wire, short(name, text)?);
        }
    }
    if let Some(mode) = delivery_mode {
        wire = wire.with_delivery_mode(*mode);
    }
    if let Some(priority) = priority {
        wire = wire.with_priority(*priority);
    }
    if let Some(timestamp) = timestamp {
        wire = wire.with_timestamp(*timestamp);
    }
    Ok(wire)
}

pub(super) fn table_to_wire(headers: &Headers) -> Result<FieldTable, TooLong> {
    let mut table = BTreeMap::new();
    for (name, value) in headers {
        table.insert(short("a header's name", name)?, value_to_wire(value)?);
    }
    Ok(table.into())
}

fn value_to_wire(value: &HeaderValue) -> Result<AMQPValue, TooLong> {
    Ok(match value {
        HeaderValue::Null => AMQPValue::Void,
        HeaderValue::Bool(flag) => AMQPValue::Boolean(*flag),
        HeaderValue::Int(integer) => {
            i32::try_from(*integer).map_or(AMQPValue::LongLongInt(*integer), AMQPValue::LongInt)
        }
        HeaderValue::Float(float) => AMQPValue::Double(*float),
        HeaderValue::Text(text) => AMQPValue::LongString(text.as_str().into()),
        HeaderValue::Bytes(bytes) => AMQPValue::ByteArray(bytes.as_slice().into()),
        HeaderValue::Timestamp(seconds) => AMQPValue::Timestamp(*seconds),
        HeaderValue::Decimal(scale, value) => AMQPValue::DecimalValue(DecimalValue {
            scale: *scale,
            value: *value,
        }),
        HeaderValue::List(items) => {
            AMQPValue::FieldArray(items.iter().map(value_to_wire).collect::<Result<Vec<_>, _>>()?.into())
        }
        HeaderValue::Table(table) => AMQPValue::FieldTable(table_to_wire(table)?),
    })
}

/// A message as it came off the wire.
pub(super) fn from_wire(delivery: lapin::message::Delivery) -> Message {
    let wire = &delivery.properties;
    let text = |text: &Option<ShortString>| text.as_ref().map(ToString::to_string);
    Message {
        exchange: delivery.exchange.to_string(),
        routing_key: delivery.routing_key.to_string(),
        properties: Properties {
            content_type: text(wire.content_type()),
            content_encoding: text(wire.content_encoding()),
            delivery_mode: *wire.delivery_mode(),
            priority: *wire.priority(),
            correlation_id: text(wire.correlation_id()),
            reply_to: text(wire.reply_to()),
            expiration: text(wire.expiration()),
            message_id: text(wire.message_id()),
            timestamp: *wire.timestamp(),
            kind: text(wire.kind()),
            user_id: text(wire.user_id()),
            app_id: text(wire.app_id()),
        },
        headers: wire.headers().as_ref().map(table_from_wire).unwrap_or_default(),
        body: delivery.data,
    }
}

fn table_from_wire(table: &FieldTable) -> Headers {
    table
        .into_iter()
        .map(|(name, value)| (name.to_string(), value_from_wire(value)))
        .collect()
}

fn value_from_wire(value: &AMQPValue) -> HeaderValue {
    match value {
        AMQPValue::Void => HeaderValue::Null,
        AMQPValue::Boolean(flag) => HeaderValue::Bool(*flag),
        AMQPValue::ShortShortInt(integer) => HeaderValue::Int((*integer).into()),
        AMQPValue::ShortShortUInt(integer) => HeaderValue::Int((*integer).into()),
        AMQPValue::ShortInt(integer) => HeaderValue::Int((*integer).into()),
        AMQPValue::ShortUInt(integer) => HeaderValue::Int((*integer).into()),
        AMQPValue::LongInt(integer) => HeaderValue::Int((*integer).into()),
        AMQPValue::LongUInt(integer) => HeaderValue::Int((*integer).into()),
        AMQPValue::LongLongInt(integer) => HeaderValue::Int(*integer),
        AMQPValue::Float(float) => HeaderValue::Float((*float).into()),
        AMQPValue::Double(float) => HeaderValue::Float(*float),
        AMQPValue::DecimalValue(decimal) => HeaderValue::Decimal(decimal.scale, decimal.value),
        AMQPValue::ShortString(text) => HeaderValue::Text(text.to_string()),
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => HeaderValue::Text(text.to_owned()),
            Err(_) => HeaderValue::Bytes(text.as_bytes().to_vec()),
        },
        AMQPValue::ByteArray(bytes) => HeaderValue::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::Timestamp(seconds) => HeaderValue::Timestamp(*seconds),
        AMQPValue::FieldArray(items) => HeaderValue::List(items.as_slice().iter().map(value_from_wire).collect()),
        AMQPValue::FieldTable(table) => HeaderValue::Table(table_from_wire(table)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_width_are_integers() {
        for value in [
            AMQPValue::ShortShortInt(7),
            AMQPValue::ShortShortUInt(7),
            AMQPValue::ShortInt(7),
            AMQPValue::ShortUInt(7),
            AMQPValue::LongInt(7),
            AMQPValue::LongUInt(7),
            AMQPValue::LongLongInt(7),
        ] {
            assert_eq!(value_from_wire(&value), HeaderValue::Int(7));
        }
        assert_eq!(value_to_wire(&HeaderValue::Int(7)), Ok(AMQPValue::LongInt(7)));
        assert_eq!(
            value_to_wire(&HeaderValue::Int(1 << 40)),
            Ok(AMQPValue::LongLongInt(1 << 40))
        );
    }

    #[test]
    fn both_kinds_of_strings_are_text_and_other_bytes_stay() {
        assert_eq!(value_from_wire(&AMQPValue::ShortString("a".into())), "a".into());
        assert_eq!(value_from_wire(&AMQPValue::LongString("ü".into())), "ü".into());
        let bytes = vec![0xff, 0xfe];
        assert_eq!(
            value_from_wire(&AMQPValue::LongString(bytes.clone().into())),
            HeaderValue::Bytes(bytes)
        );
    }

    #[test]
    fn what_amqp_cannot_carry_is_an_error_and_no_panic() {
        let mut message = Message::default();
        message.properties.reply_to = Some("q".repeat(256));
        assert_eq!(
            to_wire(&message, "id").unwrap_err().to_string(),
            "reply_to is longer than 255 bytes"
        );

        let mut message = Message::default();
        message.headers.insert("h".repeat(256), HeaderValue::Null);
        assert_eq!(
            to_wire(&message, "id").unwrap_err().to_string(),
            "a header's name is longer than 255 bytes"
        );
    }
}
