//! `waybill send`: gives events to whatever transport is configured.

mod file;
mod form;

use std::io::{Read as _, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::failure::{BAD, DONE};
use super::outbound::{self, Outbound};
use super::{Failure, logging};
use crate::app::read_template;
use crate::config::{Broker, Role, Settings};
use form::{Outgoing, PAYMENTS_EXCHANGE, Reader};

/// Messages that wait for their confirm at the same time.
const AT_ONCE: usize = 128;

/// What to send.
#[derive(Debug, Args)]
pub struct SendOptions {
    /// Files with one JSON object, a JSON array, or one object by line; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Sends what is no good event, too; to see how it is set aside.
    #[arg(long)]
    unchecked: bool,
}

pub(super) async fn run(options: &SendOptions, out: &mut dyn Write) -> Result<u8, Failure> {
    let mut settings = Settings::from_environment(Role::Show)?;
    if matches!(settings.broker, Broker::Local) {
        // The messages go into the database, encrypted.
        settings = Settings::from_environment(Role::Operator)?;
    }
    logging::start_if_asked(&settings)?;
    let template = read_template(&settings)?;
    let reader = Reader {
        template: &template,
        queue: &settings.queues.tasks,
        unchecked: options.unchecked,
    };

    let mut outgoing = Vec::new();
    let mut refused = 0_usize;
    for path in &options.files {
        match read_file(path, &reader)? {
            Ok(messages) => outgoing.extend(messages),
            Err(defects) => {
                refused += 1;
                defects.iter().for_each(|defect| eprintln!("{defect}"));
                eprintln!(
                    "waybill: nothing of {} was sent, because of what is wrong there",
                    name(path)
                );
            }
        }
    }
    let count = outgoing.len();
    if count > 0 {
        send(&settings, outgoing).await?;
    }
    let messages = if count == 1 { "message" } else { "messages" };
    writeln!(
        out,
        "sent {count} {messages} from {} of {} files",
        options.files.len() - refused,
        options.files.len()
    )?;
    Ok(if refused == 0 { DONE } else { BAD })
}

async fn send(settings: &Settings, outgoing: Vec<Outgoing<'_>>) -> Result<(), Failure> {
    let outbound = match &settings.broker {
        Broker::Local => Outbound::local(outbound::engine(settings).await?),
        Broker::Amqp(url) => Outbound::amqp(settings, url, "send").await?,
    };
    if let Outbound::Amqp(transport) = &outbound
        && outgoing.iter().any(|it| it.message.exchange == PAYMENTS_EXCHANGE)
    {
        let declared = transport.declare_exchange(PAYMENTS_EXCHANGE).await;
        declared.map_err(|error| Failure::unreachable(format!("RabbitMQ: {error}")))?;
    }
    let total = outgoing.len();
    let mut sent = 0_usize;
    let sending = stream::iter(outgoing)
        .map(|it| outbound.send(it.queue, it.message))
        .buffered(AT_ONCE);
    let sent_all = sending
        .try_for_each(|()| {
            sent += 1;
            std::future::ready(Ok(()))
        })
        .await;
    outbound.close().await;
    sent_all.map_err(|failure| Failure {
        line: format!("{} of {total} messages are known to be sent, then: {failure}", sent),
        ..failure
    })
}

type Checked<'a> = Result<Vec<Outgoing<'a>>, Vec<String>>;

/// The messages of a file, or what is wrong with it, line by line.
fn read_file<'a>(path: &Path, reader: &Reader<'a>) -> Result<Checked<'a>, Failure> {
    let name = name(path);
    let text = read_text(path, &name)?;
    let pieces = match file::split(&text) {
        Ok(pieces) => pieces,
        Err(_) if reader.unchecked => vec![file::Piece { line: 1, text: &text }],
        Err(fault) => return Ok(Err(vec![format!("{name}:{fault}")])),
    };
    let (mut messages, mut defects) = (Vec::new(), Vec::new());
    for piece in pieces {
        match reader.read(piece.text) {
            Ok(outgoing) => messages.push(outgoing),
            Err(defect) => defects.push(format!("{name}:{}: {defect}", piece.line)),
        }
    }
    Ok(if defects.is_empty() { Ok(messages) } else { Err(defects) })
}

fn read_text(path: &Path, name: &str) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_end(&mut bytes).map(|_| ())
    } else {
        std::fs::read(path).map(|content| bytes = content)
    };
    read.map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Failure::bad(format!("{name}:{line}: not UTF-8, expected JSON; nothing was sent"))
    })
}

fn name(path: &Path) -> String {
    if path == Path::new("-") {
        "standard input".to_owned()
    } else {
        path.display().to_string()
    }
}
