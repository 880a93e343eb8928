//! Speaks with Waybill through the `celery` crate: pays for orderings, reports events, listens as order management.

mod payment;
mod tasks;

use anyhow::Result;
use clap::{Parser, Subcommand};
use serde_json::{Map, json};

use crate::tasks::{add, create_delivery_order, delivery_update, noop, report_event};

/// What is fetched ahead.
const PREFETCH: u16 = 1_024;

#[derive(Parser)]
#[command(about = "A Rust peer of Waybill, built on the `celery` crate")]
struct Arguments {
    /// RabbitMQ, as amqp://user:password@host:port/vhost
    #[arg(long, env = "BROKER_URL", default_value = "amqp://guest:guest@127.0.0.1:5672/%2f")]
    broker: String,
    /// Waybill's task queue
    #[arg(long, default_value = "waybill")]
    queue: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends `waybill.create_delivery_order` for paid orderings of printed books
    Pay {
        #[arg(long, default_value_t = 1)]
        count: u32,
        /// Orderings are called <prefix>-1, <prefix>-2, …
        #[arg(long, default_value = "rust")]
        prefix: String,
    },
    /// Sends `waybill.report_event` for one delivery order
    Report {
        delivery_order_id: String,
        event: String,
        /// Twice the same key is once the event
        #[arg(long)]
        key: String,
        /// A field of the event, as name=value
        #[arg(long = "field", value_parser = name_and_value)]
        fields: Vec<(String, String)>,
    },
    /// Consumes `oms.delivery_update` from the queue `oms` and prints each, until it is ended
    Listen,
    /// Consumes `bench.noop` and `interop.add` from a classic queue, until it is ended
    Work { queue: String },
    /// Sends `interop.add` of two numbers, so many times
    Add {
        #[arg(long, default_value_t = 1)]
        count: i64,
        /// Seconds that the worker is to wait
        #[arg(long)]
        countdown: Option<u32>,
    },
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The crate declares its default queue, always as a classic one: so that is a queue of our own. Waybill's queue is
    // named per call, which declares nothing.
    let own_queue = match &arguments.command {
        Command::Listen => "oms",
        Command::Work { queue } => queue,
        _ => "waybill-peer",
    };
    let app = celery::CeleryBuilder::new("waybill-peer", &arguments.broker)
        .default_queue(own_queue)
        .prefetch_count(PREFETCH)
        .build()
        .await?;

    match arguments.command {
        Command::Pay { count, prefix } => {
            for number in 1..=count {
                let paid = payment::of(&format!("{prefix}-{number}"));
                let task = create_delivery_order::new(format!("evt-{prefix}-{number}"), paid);
                let sent = app.send_task(task.with_queue(&arguments.queue)).await?;
                println!(
                    "{}",
                    json!({"ordering_id": format!("{prefix}-{number}"), "task_id": sent.task_id})
                );
            }
        }
        Command::Report {
            delivery_order_id,
            event,
            key,
            fields,
        } => {
            let fields: Map<_, _> = fields.into_iter().map(|(name, value)| (name, value.into())).collect();
            let task = report_event::new(delivery_order_id, event, fields.into(), key);
            let sent = app.send_task(task.with_queue(&arguments.queue)).await?;
            println!("{}", json!({"task_id": sent.task_id}));
        }
        Command::Work { .. } => {
            app.register_task::<noop>().await?;
            app.register_task::<add>().await?;
            std::sync::Arc::new(app).consume().await?;
            return Ok(());
        }
        Command::Add { count, countdown } => {
            for number in 0..count {
                let task = add::new(number, 1).with_queue(&arguments.queue);
                let task = match countdown {
                    Some(seconds) => task.with_countdown(seconds),
                    None => task,
                };
                let sent = app.send_task(task).await?;
                println!("{}", json!({"task_id": sent.task_id, "sum": number + 1}));
            }
        }
        Command::Listen => {
            app.register_task::<delivery_update>().await?;
            std::sync::Arc::new(app).consume().await?;
            return Ok(());
        }
    }
    // What was published is on its way only until the connection is closed in order: the crate asks for no confirms.
    app.close().await?;
    Ok(())
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected name=value")?;
    Ok((name.into(), value.into()))
}
