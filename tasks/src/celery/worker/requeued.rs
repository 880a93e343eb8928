//! A message that comes again later: itself, with what the broker added taken off.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::celery::message::{HeaderValue, Message};
use crate::celery::protocol::delayed;
use crate::celery::protocol::{Accept, Request, isoformat, python_repr, tuple_repr};
use crate::celery::registry::Retry;
use crate::celery::transport::Delivery;

/// As it came, for its ETA.
pub(super) fn later(delivery: &Delivery) -> Delivery {
    let mut delivery = delivery.clone();
    delivery.redelivered = false;
    let message = &mut delivery.message;
    message.forget_way();
    // Who was to have a copy has had it.
    for name in ["CC", "BCC"] {
        message.headers.remove(name);
    }
    if let Some(routing_key) = delayed::stripped(&message.routing_key) {
        message.routing_key = routing_key.to_owned();
    }
    // Its clock would start anew; the `expires` header says the same and is checked by us.
    message.properties.expiration = None;
    // RabbitMQ refuses a user id that is not the connection's.
    message.properties.user_id = None;
    delivery
}

/// With one more retry on its count, due at an instant; id, signatures and all other headers stay, and the arguments where
/// there are no new ones.
pub(super) fn retried(
    delivery: &Delivery,
    request: &Request,
    until: DateTime<Utc>,
    new: Option<Arguments>,
) -> Delivery {
    let mut delivery = later(delivery);
    let retries = request.retries.saturating_add(1);
    let message = &mut delivery.message;
    if let Some(new) = new {
        new.write_into(message);
    }
    if message.headers.contains_key("task") {
        let parent = request.parent_id.as_deref().unwrap_or(&request.id);
        let changed = [
            ("retries", HeaderValue::Int(retries.into())),
            ("eta", HeaderValue::Text(isoformat(until))),
            // As Python's: a retry is sent by the task itself.
            ("parent_id", parent.into()),
        ];
        message
            .headers
            .extend(changed.map(|(name, value)| (name.to_owned(), value)));
    } else if let Some(Value::Object(mut fields)) = body(message) {
        // Protocol 1 keeps both in its body.
        fields.insert("retries".to_owned(), retries.into());
        fields.insert("eta".to_owned(), isoformat(until).into());
        fields.insert("id".to_owned(), request.id.clone().into());
        write(message, &Value::Object(fields));
    }
    message.properties.expiration = expiration(request, until);
    delivery
}

/// What a retry is called with, where that is something else.
pub(super) struct Arguments {
    args: Vec<Value>,
    kwargs: Map<String, Value>,
}

impl Arguments {
    /// An argument that changes from a keyword to a position, or the other way round, is still given once: its name tells, and
    /// the task's positional names are those.
    pub(super) fn of(retry: &Retry, request: &Request, positional: &[&str]) -> Option<Self> {
        let (mut args, mut kwargs) = (request.args.clone(), request.kwargs.clone());
        match (&retry.args, &retry.kwargs) {
            (None, None) => return None,
            (Some(new_args), Some(new_kwargs)) => (args, kwargs) = (new_args.clone(), new_kwargs.clone()),
            (Some(new), None) => {
                let taken = positional.iter().take(new.len());
                taken.for_each(|name| drop(kwargs.remove(*name)));
                args.clone_from(new);
            }
            (None, Some(new)) => {
                kwargs.clone_from(new);
                for (name, arg) in positional.iter().zip(&mut args) {
                    if let Some(value) = kwargs.remove(*name) {
                        *arg = value;
                    }
                }
            }
        }
        Some(Self { args, kwargs })
    }

    fn write_into(self, message: &mut Message) {
        let (argsrepr, kwargs) = (tuple_repr(&self.args), Value::Object(self.kwargs));
        if message.headers.contains_key("argsrepr") {
            let shown = [("argsrepr", argsrepr), ("kwargsrepr", python_repr(&kwargs))];
            let shown = shown.map(|(name, text)| (name.to_owned(), HeaderValue::Text(text)));
            message.headers.extend(shown);
        }
        let args = Value::Array(self.args);
        let written = match body(message) {
            Some(Value::Array(mut parts)) if parts.len() == 3 => {
                (parts[0], parts[1]) = (args, kwargs);
                Value::Array(parts)
            }
            Some(Value::Object(mut fields)) => {
                fields.insert("args".to_owned(), args);
                fields.insert("kwargs".to_owned(), kwargs);
                Value::Object(fields)
            }
            // It was read before, as one of the two.
            _ => return,
        };
        write(message, &written);
    }
}

fn write(message: &mut Message, body: &Value) {
    message.body = body.to_string().into_bytes();
    message.headers.remove("compression");
    message.properties.content_type = Some("application/json".to_owned());
    message.properties.content_encoding = Some("utf-8".to_owned());
}

fn body(message: &Message) -> Option<Value> {
    let all = Accept {
        yaml: true,
        msgpack: true,
    };
    all.read(message).ok()
}

/// What is left of its time when it is due, for a broker that drops what nobody took. None is left off: the worker that gets it
/// tells that it has expired, the broker would not.
fn expiration(request: &Request, until: DateTime<Utc>) -> Option<String> {
    let left = (request.expires? - until).num_milliseconds();
    (left > 0).then(|| left.to_string())
}
