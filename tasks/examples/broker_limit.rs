//! What the broker and the client library allow at most: fills a queue with tasks that do nothing, and takes them off in a
//! bare loop. `make bench` measures workers against it.
//!
//!     broker_limit fill URL QUEUE COUNT [COUNTDOWN-SECONDS]
//!     broker_limit drain URL QUEUE COUNT ACK-EVERY (until it is killed)

use std::error::Error;
use std::time::Duration;

use chrono::Utc;
use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use waybill_tasks::celery::message::HeaderValue;
use waybill_tasks::celery::protocol::Signature;

/// What is published before the confirms are waited for.
const BATCH: usize = 2_000;
const PREFETCH: u16 = 1_000;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let [command, url, queue, count, rest @ ..] = arguments.as_slice() else {
        return Err("usage: broker_limit fill|drain URL QUEUE COUNT [COUNTDOWN | ACK-EVERY]".into());
    };
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let count = count.parse()?;
    match (*command, rest) {
        ("fill", []) => fill(&channel, queue, count, None).await?,
        ("fill", [countdown]) => fill(&channel, queue, count, Some(countdown.parse()?)).await?,
        ("drain", [every]) => drain(&channel, queue, count, every.parse()?).await?,
        _ => return Err("fill or drain".into()),
    }
    connection.close(200, "done".into()).await?;
    Ok(())
}

async fn fill(channel: &Channel, queue: &str, count: usize, countdown: Option<u64>) -> Result<(), Box<dyn Error>> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let mut confirms = Vec::with_capacity(BATCH);
    for number in 0..count {
        let mut signature = Signature::new("bench.noop").queue(queue).ignore_result(true);
        if let Some(seconds) = countdown {
            signature = signature.eta(Utc::now() + Duration::from_secs(seconds));
        }
        let message = signature.into_message();
        let mut headers = FieldTable::default();
        for (name, value) in &message.headers {
            headers.insert(name.as_str().into(), field(value));
        }
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_correlation_id(message.properties.correlation_id.unwrap_or_default().into())
            .with_headers(headers);
        let options = BasicPublishOptions::default();
        let publishing = channel.basic_publish("".into(), queue.to_owned().into(), options, &message.body, properties);
        confirms.push(publishing.await?);
        if confirms.len() == BATCH || number + 1 == count {
            for confirm in confirms.drain(..) {
                if !confirm.await?.is_ack() {
                    return Err("the broker refuses a task".into());
                }
            }
        }
    }
    Ok(())
}

/// The kinds of values that the headers of a task have.
fn field(value: &HeaderValue) -> lapin::types::AMQPValue {
    use lapin::types::AMQPValue;
    match value {
        HeaderValue::Bool(flag) => AMQPValue::Boolean(*flag),
        HeaderValue::Int(integer) => AMQPValue::LongLongInt(*integer),
        HeaderValue::Text(text) => AMQPValue::LongString(text.as_str().into()),
        HeaderValue::List(items) => AMQPValue::FieldArray(items.iter().map(field).collect::<Vec<_>>().into()),
        HeaderValue::Table(_) => AMQPValue::FieldTable(FieldTable::default()),
        _ => AMQPValue::Void,
    }
}

/// Takes until it is killed: the broker's channel holds back acknowledgements that a quorum queue has not settled yet, and to
/// close it would put their messages back.
async fn drain(channel: &Channel, queue: &str, count: usize, every: usize) -> Result<(), Box<dyn Error>> {
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let options = BasicConsumeOptions::default();
    let consuming = channel.basic_consume(queue.to_owned().into(), "limit".into(), options, FieldTable::default());
    let mut consumer = consuming.await?;
    let mut taken = 0;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        taken += 1;
        if taken % every == 0 || taken == count {
            let multiple = BasicAckOptions { multiple: every > 1 };
            delivery.acker.ack(multiple).await?;
        }
    }
    Ok(())
}
