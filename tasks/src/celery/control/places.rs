//! Where a worker takes its tasks from.

use serde_json::{Value, json};

use super::arguments::Arguments;
use super::{Panel, Replied, nok, ok};
use crate::celery::state::{ConsumedQueue, QueueCommand};

impl Panel {
    pub(super) fn places(&self, arguments: &Arguments) -> Replied {
        let queues = self.state.queues();
        let queue = arguments.text("queue").unwrap_or_default();
        match arguments.command() {
            "active_queues" => Ok(queues.list().iter().map(shown).collect()),
            _ if let Some(holds) = queues.reserved(&queue) => Ok(nok(format!("{queue} holds {holds}, not tasks"))),
            "add_consumer" => {
                let answer = ok(format!("add consumer {queue}"));
                let given = |name: &str| arguments.text(name).filter(|text| !text.is_empty());
                queues.ask(QueueCommand::Add {
                    name: queue,
                    exchange: given("exchange"),
                    exchange_type: given("exchange_type").unwrap_or_else(|| "direct".to_owned()),
                    routing_key: given("routing_key"),
                });
                Ok(answer)
            }
            _ => {
                let answer = ok(format!("no longer consuming from {queue}"));
                queues.ask(QueueCommand::Cancel(queue));
                Ok(answer)
            }
        }
    }
}

/// As kombu shows a queue.
fn shown(queue: &ConsumedQueue) -> Value {
    json!({
        "name": queue.name,
        "exchange": {
            "name": queue.exchange,
            "type": queue.exchange_type,
            "arguments": null,
            "durable": true,
            "passive": false,
            "auto_delete": false,
            "delivery_mode": null,
            "no_declare": false,
        },
        "routing_key": queue.routing_key,
        // A queue is used as it is, and AMQP does not tell how that is.
        "queue_arguments": null,
        "binding_arguments": null,
        "consumer_arguments": null,
        "durable": true,
        "exclusive": false,
        "auto_delete": false,
        "no_ack": false,
        "alias": null,
        "bindings": [],
        "no_declare": null,
        "expires": null,
        "message_ttl": null,
        "max_length": null,
        "max_length_bytes": null,
        "max_priority": null,
    })
}
