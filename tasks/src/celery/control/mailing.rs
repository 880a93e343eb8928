//! The loop that takes commands out of the worker's mailbox and sends the answers.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::command::{Command, ReplyTo};
use super::{Answer, EXCHANGE, Panel, Pidbox};
use crate::celery::amqp::mailbox::{Mail, MailChannel, MailError, OwnQueue};
use crate::celery::message::{HeaderValue, Headers, Message};

/// As Python makes it: it goes ten seconds after its last consumer, and a command in it after five minutes.
const MAILBOX: OwnQueue = OwnQueue {
    expires: 10_000,
    message_ttl: 300_000,
};

/// Between tries: a connection that was cut is noticed by the broker only after its heartbeat.
const PAUSES: [u64; 4] = [500, 1_000, 2_000, 5_000];

pub(super) async fn run(pidbox: Pidbox, stop: CancellationToken) {
    let Pidbox { panel, mut mailbox } = pidbox;
    let (mut tries, mut said) = (0, String::new());
    loop {
        let opened = tokio::select! {
            opened = mailbox.open() => opened,
            () = stop.cancelled() => return,
        };
        let Some(opened) = opened else { return };
        let ended = match opened {
            Ok(channel) => Desk::new(&panel, &channel).work(&stop, &mut tries).await,
            Err(error) => Err(error),
        };
        let Err(error) = ended else { return };
        complain(&panel, &error, tries, &mut said);
        let pause = PAUSES[tries.min(PAUSES.len() - 1)];
        tries += 1;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => (),
            () = stop.cancelled() => return,
        }
    }
}

/// Once for each reason. That a mailbox is in use may be our own connection of a moment ago: it is said when it lasts.
fn complain(panel: &Panel, error: &MailError, tries: usize, said: &mut String) {
    let text = error.to_string();
    if *said == text {
        return;
    }
    let node = panel.state.nodename();
    match error {
        MailError::InUse(_) if tries < 2 => return,
        MailError::InUse(_) => warn!(
            "a node named {node} is already using this process mailbox: this worker works, but remote control reaches only the other one; give each node of a host a name of its own (-n)"
        ),
        MailError::Failed(_) => warn!("remote control of {node} is not reachable, trying on: {text}"),
    }
    *said = text;
}

/// Where commands are answered, for as long as a channel lasts.
struct Desk<'a> {
    panel: &'a Panel,
    channel: &'a MailChannel,
    /// Another one, because an answer that nobody takes ends its channel.
    replies: Option<MailChannel>,
    exchanges: HashSet<String>,
    /// What waits for somebody else, so that nobody waits for it.
    slow: JoinSet<Option<Mail>>,
}

impl<'a> Desk<'a> {
    fn new(panel: &'a Panel, channel: &'a MailChannel) -> Self {
        Self {
            panel,
            channel,
            replies: None,
            exchanges: HashSet::new(),
            slow: JoinSet::new(),
        }
    }

    /// `Ok` when stopped.
    async fn work(mut self, stop: &CancellationToken, tries: &mut usize) -> Result<(), MailError> {
        let queue = format!("{}.{EXCHANGE}", self.panel.state.nodename());
        self.channel.declare_exchange(EXCHANGE, "fanout", false).await?;
        self.channel.own_queue(&queue, MAILBOX).await?;
        self.channel.bind(&queue, EXCHANGE, "").await?;
        let mut incoming = self.channel.listen(&queue).await?;
        *tries = 0;
        info!("remote control answers as {}", self.panel.state.nodename());
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.slow.join_next(), if !self.slow.is_empty() => if let Ok(Some(mail)) = done {
                    self.reply(mail).await;
                },
                message = incoming.next() => match message {
                    Some(message) => self.take(&message).await,
                    None => return Err(MailError::Failed(format!("{queue}: the broker cancelled it"))),
                },
                () = self.channel.ended() => return Err(MailError::Failed("the connection was lost".to_owned())),
            }
        }
        self.channel.close().await;
        Ok(())
    }

    /// What can be answered at once is; what cannot is answered later, and the next command now.
    async fn take(&mut self, message: &Message) {
        let clock = self.panel.state.clock();
        clock.forward();
        if let Some(HeaderValue::Int(theirs)) = message.headers.get("clock") {
            clock.adjust(u64::try_from(*theirs).unwrap_or_default());
        }
        let command = match Command::read(&message.body) {
            Ok(command) => command,
            Err(error) => return error!("a remote control command cannot be read: {error}"),
        };
        match command.is_for(self.panel.state.nodename()) {
            Ok(true) => (),
            Ok(false) => return,
            Err(error) => return error!("a remote control command is for nobody: {error}"),
        }
        let mut answering = Box::pin(answer(self.panel.clone(), command));
        match (&mut answering).now_or_never() {
            Some(Some(mail)) => self.reply(mail).await,
            Some(None) => (),
            None => {
                self.slow.spawn(answering);
            }
        }
    }

    async fn reply(&mut self, mail: Mail) {
        if let Err(error) = self.try_reply(&mail).await {
            debug!("a remote control answer was not sent: {error}");
            self.replies = None;
        }
    }

    async fn try_reply(&mut self, mail: &Mail) -> Result<(), MailError> {
        if self.replies.as_ref().is_none_or(MailChannel::is_over) {
            self.replies = Some(self.channel.another().await?);
            self.exchanges.clear();
        }
        let Some(replies) = &self.replies else { return Ok(()) };
        if !self.exchanges.contains(&mail.exchange) {
            replies.declare_exchange(&mail.exchange, "direct", false).await?;
            // Somebody may think of many; all but one are no exchange of Celery's.
            if self.exchanges.len() < 100 {
                self.exchanges.insert(mail.exchange.clone());
            }
        }
        replies.send(mail).await
    }
}

/// `None` if nobody wants an answer.
async fn answer(panel: Panel, mut command: Command) -> Option<Mail> {
    let arguments = command.arguments();
    let answer = panel.answer(&command.method, arguments).await;
    let Answer::Reply(value) = answer else { return None };
    let ReplyTo { exchange, routing_key } = command.reply_to?;
    let ticket = command.ticket.map_or(HeaderValue::Null, HeaderValue::Text);
    let clock = i64::try_from(panel.state.clock().forward()).unwrap_or(i64::MAX);
    let body = Map::from_iter([(panel.state.nodename().to_owned(), value)]);
    Some(Mail {
        exchange,
        routing_key,
        headers: Headers::from([
            ("ticket".to_owned(), ticket),
            ("clock".to_owned(), HeaderValue::Int(clock)),
        ]),
        body: Value::Object(body).to_string().into_bytes(),
    })
}
