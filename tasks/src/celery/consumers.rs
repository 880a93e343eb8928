//! The queues of a worker, consumed until it stops; remote control adds and takes away, and the pool's size decides how many
//! messages are in hand.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use super::amqp::mailbox::Mailbox;
use super::state::{ConsumedQueue, QueueCommand, WorkerState};
use super::transport::{Handler, Queue, Stop, Transport};

/// How often the pool is looked at, where it follows the work.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Runs the consumers of a worker's task queues.
pub struct Consumers {
    transport: Arc<dyn Transport>,
    handler: Arc<dyn Handler>,
    state: Arc<WorkerState>,
    multiplier: u16,
    mailbox: Option<Mailbox>,
    running: BTreeMap<String, (ConsumedQueue, CancellationToken)>,
    tasks: TaskTracker,
}

impl Consumers {
    /// Of a worker; each queue has as many messages in hand as the pool has places.
    pub fn new(transport: Arc<dyn Transport>, handler: Arc<dyn Handler>, state: Arc<WorkerState>) -> Self {
        Self {
            transport,
            handler,
            state,
            multiplier: 1,
            mailbox: None,
            running: BTreeMap::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// So many messages in hand for each place, as Celery's prefetch multiplier; 0 is as many as there are.
    pub fn with_multiplier(mut self, multiplier: u16) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// With a mailbox, over which queues can be bound to other exchanges.
    pub fn with_mailbox(mut self, mailbox: Mailbox) -> Self {
        self.mailbox = Some(mailbox);
        self
    }

    /// Consumes these and what is asked for, until `stop`; returns when the messages in hand are finished.
    pub async fn run(mut self, queues: Vec<String>, stop: CancellationToken) {
        let Some(mut asked) = self.state.queues().asked() else {
            return error!("this worker's queues are consumed already");
        };
        let mut size = self.state.pool().watch();
        let mut look = tokio::time::interval(LOOK_EVERY);
        for name in queues {
            self.start(ConsumedQueue::named(name, self.prefetch()), None, &stop);
        }
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = asked.recv() => self.obey(command, &stop),
                Ok(()) = size.changed() => self.resize(&stop),
                _ = look.tick() => self.state.pool().follow(self.state.counts().1, Instant::now()),
            }
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A pool that follows the work has so much in hand as it needs at its largest: it would not see that there is more.
    fn prefetch(&self) -> u16 {
        let pool = self.state.pool();
        match self.multiplier {
            0 => u16::MAX,
            multiplier => u16::try_from(pool.autoscale().map_or(pool.size(), |(most, _)| most))
                .unwrap_or(u16::MAX)
                .saturating_mul(multiplier),
        }
    }

    fn obey(&mut self, command: QueueCommand, stop: &CancellationToken) {
        match command {
            QueueCommand::Cancel(name) => match self.running.remove(&name) {
                Some((_, running)) => {
                    info!(queue = %name, "no longer consuming from {name}: asked by remote control");
                    running.cancel();
                    self.state.queues().left(&name);
                }
                None => warn!(queue = %name, "{name} is not consumed, and was asked to be no longer"),
            },
            QueueCommand::Add { name, .. } if self.running.contains_key(&name) => {
                info!(queue = %name, "already consuming from {name}");
            }
            QueueCommand::Add {
                name,
                exchange,
                exchange_type,
                routing_key,
            } => {
                info!(queue = %name, "consuming from {name}: asked by remote control");
                let mut queue = ConsumedQueue::named(name, self.prefetch());
                let elsewhere = exchange.is_some() || routing_key.is_some();
                queue.exchange = exchange.unwrap_or(queue.exchange);
                queue.exchange_type = exchange_type;
                queue.routing_key = routing_key.unwrap_or(queue.routing_key);
                let binding = self.mailbox.clone().filter(|_| elsewhere);
                self.start(queue, binding, stop);
            }
        }
    }

    fn start(&mut self, queue: ConsumedQueue, binding: Option<Mailbox>, stop: &CancellationToken) {
        let own = stop.child_token();
        let until = Stop {
            leave: own.clone(),
            end: stop.clone(),
        };
        self.state.queues().consuming(queue.clone());
        self.running.insert(queue.name.clone(), (queue.clone(), own.clone()));
        let (transport, handler) = (Arc::clone(&self.transport), Arc::clone(&self.handler));
        self.tasks.spawn(async move {
            if let Some(mailbox) = binding {
                own.run_until_cancelled(bind(mailbox, &queue)).await;
            }
            let queue = Queue {
                name: queue.name,
                bindings: Vec::new(),
                prefetch: queue.prefetch,
            };
            transport.consume(queue, handler, until).await;
        });
    }

    /// A consumer's prefetch is for its life: those with another one take over, and what the old ones have in hand is finished.
    fn resize(&mut self, stop: &CancellationToken) {
        let prefetch = self.prefetch();
        let others = self.running.values().filter(|(queue, _)| queue.prefetch != prefetch);
        let others: Vec<_> = others.cloned().collect();
        for (mut queue, running) in others {
            queue.prefetch = prefetch;
            self.start(queue, None, stop);
            running.cancel();
        }
    }
}

/// Makes the binding that was asked for, over as many connections as it takes.
async fn bind(mut mailbox: Mailbox, queue: &ConsumedQueue) {
    let ConsumedQueue {
        name,
        exchange,
        exchange_type,
        routing_key,
        ..
    } = queue;
    while let Some(opened) = mailbox.open().await {
        let bound = match opened {
            Ok(channel) => {
                let bound = channel.task_queue(name, exchange, exchange_type, routing_key).await;
                if !channel.is_over() {
                    channel.close().await;
                }
                bound
            }
            Err(error) => Err(error),
        };
        match bound {
            Ok(()) => return,
            Err(error) => warn!(queue = %name, "{name} is not bound to {exchange} yet: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

impl std::fmt::Debug for Consumers {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Consumers")
            .field("queues", &self.running.keys())
            .finish_non_exhaustive()
    }
}
