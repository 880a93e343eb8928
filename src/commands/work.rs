//! What `waybill work` takes.

use clap::{Args, ValueEnum};

use crate::app::Work;

/// `waybill work`.
#[derive(Debug, Clone, Args)]
pub struct WorkOptions {
    /// Consume only these, as Celery's own `-Q`; all if left out.
    #[arg(short = 'Q', long, value_name = "QUEUE", value_delimiter = ',')]
    pub queues: Vec<Consumed>,
}

/// What there is to consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Consumed {
    /// Payment events.
    #[value(name = "waybill.payments")]
    Payments,
    /// Tasks, whatever WAYBILL_QUEUE calls their queue.
    #[value(name = "waybill")]
    Tasks,
}

impl WorkOptions {
    /// What that means for the process.
    pub(super) fn work(&self) -> Work {
        match (
            self.queues.contains(&Consumed::Payments),
            self.queues.contains(&Consumed::Tasks),
        ) {
            (true, false) => Work::Payments,
            (false, true) => Work::Tasks,
            _ => Work::Everything,
        }
    }
}
