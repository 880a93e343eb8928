//! Publishing many messages at once, and knowing of each what became of it.
//!
//! RabbitMQ promises that a returned message comes back before its own confirm, and no more. lapin hands a return to
//! whichever confirm completes next. So a return may come with the confirm of another message of the window, and only when
//! every confirm of the window is there is it known which messages no queue took. Why none can be left over then: each
//! return is followed by at least one more confirm, its own, and each confirm takes one return off lapin's list. Where confirms
//! are missing, a message whose own confirm found none on that list was returned before it, or not at all.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::future::join_all;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind};
use tokio::sync::oneshot;

use super::values::{short, to_wire};
use crate::celery::message::Message;
use crate::celery::transport::{PublishError, Routing};

/// How many messages are on their way at once at most.
pub(super) const WINDOW: usize = 256;

/// How many bytes are, unless one message alone is longer.
pub(super) const WINDOW_BYTES: usize = 8 * 1024 * 1024;

/// A message to be published, and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) message: Message,
    pub(super) routing: Routing,
    /// What a return is matched by; no two in a window have the same.
    pub(super) message_id: String,
    pub(super) answer: oneshot::Sender<Result<(), PublishError>>,
}

impl Job {
    pub(super) fn answer(self, result: Result<(), PublishError>) {
        // Nobody waits any more: they have taken it for unknown, which stays true.
        let _ = self.answer.send(result);
    }

    pub(super) fn unroutable(self) {
        let (exchange, routing_key) = (self.message.exchange.clone(), self.message.routing_key.clone());
        self.answer(Err(PublishError::Unroutable { exchange, routing_key }));
    }

    fn refused(self) {
        let (exchange, routing_key) = (self.message.exchange.clone(), self.message.routing_key.clone());
        self.answer(Err(PublishError::Refused { exchange, routing_key }));
    }

    async fn publish(&self, channel: &Channel) -> Result<Confirmation, lapin::Error> {
        let options = BasicPublishOptions {
            mandatory: self.routing == Routing::Mandatory,
            immediate: false,
        };
        let (Ok(exchange), Ok(key), Ok(properties)) = (
            short("the exchange", &self.message.exchange),
            short("the routing key", &self.message.routing_key),
            self.properties(),
        ) else {
            // Checked before it was queued.
            return Err(ErrorKind::FutureCompleted.into());
        };
        channel
            .basic_publish(exchange, key, options, &self.message.body, properties)
            .await?
            .await
    }

    /// As AMQP carries them; an error if it cannot.
    pub(super) fn properties(&self) -> Result<BasicProperties, String> {
        short("the exchange", &self.message.exchange).map_err(|error| error.to_string())?;
        short("the routing key", &self.message.routing_key).map_err(|error| error.to_string())?;
        to_wire(&self.message, &self.message_id).map_err(|error| error.to_string())
    }
}

/// What became of a window.
pub(super) enum Published {
    /// All are answered.
    All,
    /// All are answered, and a queue took some of them not: the channel may go on refusing for ever.
    Refused,
    /// The channel or the connection broke: all others are answered, and nothing is known of these.
    Broken(Vec<Job>, lapin::Error),
    /// The broker is silent: all are answered as unknown, and the channel cannot be used any more.
    Silent,
}

/// Publishes a window, and answers all of it of which something is known.
pub(super) async fn publish(channel: &Channel, jobs: Vec<Job>, within: Duration) -> Published {
    // On one task: lapin numbers a message and queues its frames before its future is first pending.
    let sending = join_all(jobs.iter().map(|job| job.publish(channel)));
    let Ok(confirms) = tokio::time::timeout(within, sending).await else {
        for job in jobs {
            job.answer(Err(PublishError::Unconfirmed(format!("no confirm within {within:?}"))));
        }
        return Published::Silent;
    };
    settle(jobs, confirms)
}

fn settle(jobs: Vec<Job>, confirms: Vec<Result<Confirmation, lapin::Error>>) -> Published {
    let mut broken = None;
    let mut returned = HashSet::new();
    let mut confirmed = Vec::with_capacity(jobs.len());
    for confirm in confirms {
        let (acked, message) = match confirm {
            Ok(Confirmation::Ack(message)) => (Some(true), message),
            Ok(Confirmation::Nack(message)) => (Some(false), message),
            Ok(Confirmation::NotRequested) => (Some(false), None),
            Err(error) => {
                broken = Some(error);
                (None, None)
            }
        };
        confirmed.push((acked, message.is_some()));
        returned.extend(message.and_then(|message| message.properties.message_id().as_ref().map(ToString::to_string)));
    }
    let mut refused = false;
    let mut unknown = Vec::new();
    for (job, (acked, brought_a_return)) in jobs.into_iter().zip(confirmed) {
        match acked {
            _ if returned.contains(&job.message_id) => {
                metrics::counter!("publish_returned_total").increment(1);
                job.unroutable();
            }
            // It brought another one's, and the confirm that would have brought its own may be missing.
            _ if broken.is_some() && brought_a_return => unknown.push(job),
            Some(true) => job.answer(Ok(())),
            Some(false) => {
                metrics::counter!("publish_refused_total").increment(1);
                refused = true;
                job.refused();
            }
            None => unknown.push(job),
        }
    }
    match broken {
        Some(error) => Published::Broken(unknown, error),
        None if refused => Published::Refused,
        None => Published::All,
    }
}

#[cfg(test)]
mod tests {
    use lapin::message::{BasicReturnMessage, Delivery};
    use lapin::protocol::{AMQPError, AMQPSoftError};
    use tokio::sync::oneshot::Receiver;

    use super::*;

    fn job(id: &str) -> (Job, Receiver<Result<(), PublishError>>) {
        let (answer, answered) = oneshot::channel();
        let job = Job {
            message: Message::default(),
            routing: Routing::Mandatory,
            message_id: id.to_owned(),
            answer,
        };
        (job, answered)
    }

    fn acked_with_the_return_of(id: &str) -> Confirmation {
        let mut delivery = Delivery::mock(0, "".into(), "".into(), false, Vec::new());
        delivery.properties = BasicProperties::default().with_message_id(id.into());
        Confirmation::Ack(Some(BasicReturnMessage {
            delivery,
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
        }))
    }

    #[test]
    fn of_a_window_that_broke_all_is_answered_of_which_something_is_known() {
        let closed = || {
            let error = AMQPError::new(AMQPSoftError::PRECONDITIONFAILED.into(), "no".into());
            Err(lapin::Error::from(ErrorKind::ProtocolError(error)))
        };
        let (jobs, mut answers): (Vec<_>, Vec<_>) = ["taken", "full", "mixed", "away", "guilty"]
            .map(job)
            .into_iter()
            .unzip();

        let published = settle(
            jobs,
            vec![
                Ok(Confirmation::Ack(None)),
                Ok(Confirmation::Nack(None)),
                Ok(acked_with_the_return_of("away")),
                closed(),
                closed(),
            ],
        );

        let Published::Broken(unknown, _) = published else {
            panic!("it broke")
        };
        let unknown: Vec<_> = unknown.iter().map(|job| job.message_id.as_str()).collect();
        assert_eq!(unknown, ["mixed", "guilty"]);
        let answers: Vec<_> = answers.iter_mut().filter_map(|answer| answer.try_recv().ok()).collect();
        assert!(
            matches!(
                answers.as_slice(),
                [
                    Ok(()),
                    Err(PublishError::Refused { .. }),
                    Err(PublishError::Unroutable { .. })
                ]
            ),
            "{answers:?}"
        );
    }
}
