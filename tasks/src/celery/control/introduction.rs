//! A worker that starts says hello to its neighbours, whatever they are written in, and learns what they know.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use super::worker::revoked_by;
use super::{EXCHANGE, Pidbox, REPLIES};
use crate::celery::amqp::mailbox::{Incoming, MailChannel, MailError, OwnQueue};
use crate::celery::message::{HeaderValue, Headers, Message, Properties};
use crate::celery::state::WorkerState;
use crate::celery::transport::{PublishError, Routing, Transport};

/// As long as Python waits.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) async fn mingle(pidbox: &mut Pidbox, transport: &dyn Transport, stop: &CancellationToken) {
    let opened = tokio::select! {
        opened = pidbox.mailbox.open() => opened,
        () = stop.cancelled() => return,
    };
    let met = match opened {
        Some(Ok(channel)) => {
            let met = meet(&pidbox.panel.state, &channel, transport).await;
            channel.close().await;
            met
        }
        Some(Err(error)) => Err(error),
        None => return,
    };
    match met {
        Ok(0) => info!("mingle: all alone"),
        Ok(count) => info!("mingle: in step with {count} nodes"),
        Err(error) => warn!("mingle: the neighbours were not met: {error}"),
    }
}

async fn meet(state: &WorkerState, channel: &MailChannel, transport: &dyn Transport) -> Result<usize, MailError> {
    let id = Uuid::new_v4().to_string();
    let queue = format!("{id}.{REPLIES}");
    let options = OwnQueue {
        expires: 10_000,
        message_ttl: 0,
    };
    channel.declare_exchange(EXCHANGE, "fanout", false).await?;
    channel.declare_exchange(REPLIES, "direct", false).await?;
    channel.own_queue(&queue, options).await?;
    channel.bind(&queue, REPLIES, &id).await?;
    let mut incoming = channel.listen(&queue).await?;
    // Our own mailbox is not there yet: if it reaches nobody, there is nobody.
    match transport.publish(hello(state, &id), Routing::Mandatory).await {
        Ok(()) => (),
        Err(PublishError::Unroutable { .. }) => return Ok(0),
        Err(error) => return Err(MailError::Failed(error.to_string())),
    }
    let mut met = 0;
    // Nobody knows how many there are: the end of the time is the usual end.
    let _ = timeout(PATIENCE, listen(state, &mut incoming, &mut met)).await;
    Ok(met)
}

fn hello(state: &WorkerState, id: &str) -> Message {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let clock = i64::try_from(state.clock().forward()).unwrap_or(i64::MAX);
    let body = json!({
        "method": "hello",
        "arguments": {"from_node": state.nodename(), "revoked": state.revoked_ids()},
        "destination": null,
        "pattern": null,
        "matcher": null,
        "ticket": Uuid::new_v4().to_string(),
        "reply_to": {"exchange": REPLIES, "routing_key": id},
    });
    Message {
        exchange: EXCHANGE.to_owned(),
        routing_key: String::new(),
        properties: Properties {
            content_type: Some("application/json".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            delivery_mode: Some(1),
            priority: Some(0),
            ..Properties::default()
        },
        headers: Headers::from([
            ("clock".to_owned(), HeaderValue::Int(clock)),
            ("expires".to_owned(), HeaderValue::Float((now + PATIENCE).as_secs_f64())),
        ]),
        body: body.to_string().into_bytes(),
    }
}

async fn listen(state: &WorkerState, incoming: &mut Incoming, met: &mut usize) {
    while let Some(message) = incoming.next().await {
        let Ok(replies) = serde_json::from_slice::<Map<String, Value>>(&message.body) else {
            continue;
        };
        for (_, reply) in replies
            .into_iter()
            .filter(|(node, reply)| node != state.nodename() && reply.is_object())
        {
            *met += 1;
            state.clock().adjust(reply["clock"].as_u64().unwrap_or_default());
            state.revoke(revoked_by(&reply["revoked"]));
        }
    }
}
