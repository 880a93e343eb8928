//! RabbitMQ and its queues: ours, and those of others that we publish to.

use std::time::Duration;

use waybill_tasks::celery::amqp::{AmqpTransport, QueueKind, TopologyError};
use waybill_tasks::celery::transport::Transport as _;

use super::Check;
use crate::commands::{outbound, shown};
use crate::config::{Broker, Settings};

/// The broker tells its name on a connection of its own; it is not worth more than that.
const NAME_WITHIN: Duration = Duration::from_secs(2);

/// Who reads a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    Us,
    OrderManagement,
    Notices,
}

pub(super) async fn check(settings: &Settings) -> Vec<Check> {
    let url = match &settings.broker {
        Broker::Local => {
            return vec![Check::ok(
                "broker",
                "local: the in-process transport, a table of the database",
            )];
        }
        Broker::Amqp(url) => url,
    };
    let transport = match outbound::connect(settings, url, "doctor").await {
        Ok(transport) => transport,
        Err(failure) => return vec![Check::unreachable("broker", failure.line)],
    };
    let mut checks = vec![Check::ok(
        "broker",
        format!(
            "{} answers: {}",
            shown(settings, "WAYBILL_BROKER_URL"),
            server(&transport).await
        ),
    )];
    let queues = &settings.queues;
    for (name, reader) in [
        (queues.tasks.as_str(), Reader::Us),
        ("waybill.payments", Reader::Us),
        (&queues.oms.queue, Reader::OrderManagement),
        (&queues.notices.queue, Reader::Notices),
    ] {
        checks.push(check_queue(&transport, name, reader).await);
    }
    transport.close().await;
    checks
}

async fn server(transport: &AmqpTransport) -> String {
    let learn = async {
        while !transport.health().server.contains(char::is_numeric) || transport.health().server.starts_with("AMQP") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _too_late = tokio::time::timeout(NAME_WITHIN, learn).await;
    transport.health().server
}

async fn check_queue(transport: &AmqpTransport, name: &str, reader: Reader) -> Check {
    let (whose, start) = match reader {
        Reader::Us => ("ours", "`waybill work` makes it at its start"),
        Reader::OrderManagement => (
            "order management's",
            "its service makes it; until then its tasks wait here",
        ),
        Reader::Notices => ("the notices'", "its service makes it; until then its tasks wait here"),
    };
    let label = format!("queue {name}");
    let status = match transport.queue_exists(name).await {
        Ok(Some(status)) => status,
        Ok(None) => return Check::fail(label, format!("is missing ({whose}): {start}")),
        Err(error @ TopologyError::Unavailable { .. }) => return Check::unreachable(label, error.to_string()),
        Err(error) => return Check::fail(label, error.to_string()),
    };
    let consumers = match status.consumers {
        1 => "1 consumer".to_owned(),
        count => format!("{count} consumers"),
    };
    let found = format!("{}, {} messages, {consumers} ({whose})", status.kind, status.messages);
    if reader == Reader::Us && status.kind == QueueKind::Classic {
        let way_out = "its messages do not survive the loss of a node; delete it while it is empty, and let us make it";
        return Check::warn(label, format!("{found}: {way_out}"));
    }
    match (status.consumers, reader) {
        (0, Reader::Us) => Check::warn(label, format!("{found}: start `waybill work`")),
        (0, _) => Check::warn(label, format!("{found}: nobody takes what is sent there")),
        _ => Check::ok(label, found),
    }
}
