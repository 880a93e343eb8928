//! What `waybill work` takes: Celery's own options, and a plain word where one of them means nothing here.

use std::time::Duration;

use clap::{Args, ValueEnum};
use waybill_tasks::celery::protocol::Accept;

use crate::app::{Does, Node, NodeName, Work};

/// `waybill work`.
#[derive(Debug, Clone, Args)]
pub struct WorkOptions {
    /// Consume only these, as Celery's own `-Q`; all if left out.
    ///
    /// `waybill.payments` are the payment events, `waybill` is the task queue whatever WAYBILL_QUEUE calls it; any other name is
    /// one more task queue.
    #[arg(short = 'Q', long, value_name = "QUEUE", value_delimiter = ',')]
    pub queues: Vec<String>,
    /// How many tasks run at once.
    #[arg(short = 'c', long, value_name = "N", default_value_t = Node::default().concurrency, value_parser = at_least_one)]
    pub concurrency: usize,
    /// Lets the number of tasks at once follow the work.
    #[arg(long, value_name = "MAX,MIN", value_parser = scale)]
    pub autoscale: Option<(usize, usize)>,
    /// The node's name, for remote control: %h is the machine's name, %n the part before its first dot, %d the rest.
    ///
    /// Two workers on one machine need two names.
    #[arg(short = 'n', long, value_name = "NAME", default_value_t = Node::default().name)]
    pub hostname: NodeName,
    /// What is logged; WAYBILL_LOG says more.
    #[arg(short = 'l', long, value_name = "LEVEL", ignore_case = true)]
    pub loglevel: Option<Level>,
    /// Tell what happens to tasks, for Flower and `celery events`. They can be asked for later too.
    #[arg(short = 'E', long, visible_alias = "events")]
    pub task_events: bool,
    /// Do not tell that this worker is alive.
    #[arg(long)]
    pub without_heartbeat: bool,
    /// Do not ask the neighbours at the start what was revoked.
    #[arg(long)]
    pub without_mingle: bool,
    /// Means nothing here: this worker holds no gossip, and needs none.
    #[arg(long)]
    pub without_gossip: bool,
    /// How many messages are in hand for each task that may run; 0 is as many as there are.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub prefetch_multiplier: u16,
    /// What a task's arguments may be written in. JSON always may; pickle, which is a program, never.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', default_value = "json")]
    pub accept_content: Vec<ContentType>,
    /// Means nothing here: tasks run in this process, which has no children to replace, and its memory does not grow with their
    /// number.
    #[arg(long, value_name = "N")]
    pub max_tasks_per_child: Option<u32>,
    /// Means nothing here, for the same reason.
    #[arg(long, value_name = "KILOBYTES")]
    pub max_memory_per_child: Option<u64>,
    /// Means nothing here: tasks wait for others most of the time, and share one process.
    #[arg(short = 'P', long, value_name = "POOL")]
    pub pool: Option<String>,
    /// Means nothing here: a worker hands no message to a child, fairly or not.
    #[arg(short = 'O', value_name = "PROFILE")]
    pub optimization: Option<String>,
    /// End a task after so many seconds, unless it has a limit of its own.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub time_limit: Option<Duration>,
    /// Ask a task to stop after so many seconds, unless it has a limit of its own.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub soft_time_limit: Option<Duration>,
}

/// A content type by kombu's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/x-yaml`.
    Yaml,
    /// `application/x-msgpack`.
    Msgpack,
}

/// How much is logged, in Celery's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    #[value(alias = "warn")]
    Warning,
    /// What went wrong.
    Error,
    /// The same here.
    #[value(alias = "fatal")]
    Critical,
}

impl Level {
    /// In ours.
    pub(super) fn filter(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warn",
            Self::Error | Self::Critical => "error",
        }
    }
}

const PAYMENTS: &str = "waybill.payments";
const TASKS: &str = "waybill";

impl WorkOptions {
    /// What that means for the process.
    pub(super) fn does(&self) -> Does {
        let has = |name: &str| self.queues.iter().any(|queue| queue == name);
        let more = self
            .queues
            .iter()
            .filter(|name| ![PAYMENTS, TASKS].contains(&name.as_str()));
        let more: Vec<String> = more.cloned().collect();
        let work = match (has(PAYMENTS), has(TASKS)) {
            (true, false) => Work::Payments,
            (false, true) => Work::Tasks,
            (false, false) if !more.is_empty() => Work::Others,
            _ => Work::Everything,
        };
        let node = Node {
            name: self.hostname.clone(),
            concurrency: self.concurrency,
            autoscale: self.autoscale.map(|(most, least)| (least, most)),
            prefetch_multiplier: self.prefetch_multiplier,
            accept: Accept {
                yaml: self.accept_content.contains(&ContentType::Yaml),
                msgpack: self.accept_content.contains(&ContentType::Msgpack),
            },
            queues: more,
            task_events: self.task_events,
            heartbeat: !self.without_heartbeat,
            mingle: !self.without_mingle,
            soft_time_limit: self.soft_time_limit,
            time_limit: self.time_limit,
        };
        Does {
            serve: false,
            work,
            node,
        }
    }

    /// What was asked for and means nothing here.
    pub(super) fn meaningless(&self) -> Vec<&'static str> {
        let mut said = Vec::new();
        if self.max_tasks_per_child.is_some() || self.max_memory_per_child.is_some() {
            said.push("--max-tasks-per-child and --max-memory-per-child mean nothing here: tasks run in this process, which has no children to replace");
        }
        if self.pool.is_some() || self.optimization.is_some() {
            said.push("-P and -O mean nothing here: tasks wait for others most of the time, and share one process");
        }
        if self.without_gossip {
            said.push("--without-gossip means nothing here: this worker holds no gossip, and needs none");
        }
        said
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=100_000).contains(count));
    count.ok_or_else(|| "expected a number from 1 to 100000".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let limit = text
        .parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    limit
        .filter(|limit| !limit.is_zero())
        .ok_or_else(|| "expected seconds, such as 30".to_owned())
}

/// `MAX,MIN`, or `MAX` alone.
fn scale(text: &str) -> Result<(usize, usize), String> {
    let (most, least) = text.split_once(',').unwrap_or((text, "1"));
    match (at_least_one(most), at_least_one(least)) {
        (Ok(most), Ok(least)) if least <= most => Ok((most, least)),
        _ => Err("expected MAX,MIN, such as 10,3".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: WorkOptions,
    }

    fn does(arguments: &[&str]) -> Does {
        let line = Line::try_parse_from([&["work"], arguments].concat()).unwrap();
        line.options.does()
    }

    #[test]
    fn what_celery_users_type_is_understood() {
        let does = does(&[
            "-Q",
            "waybill,reports",
            "-c",
            "8",
            "--autoscale=10,3",
            "-n",
            "w1@%h",
            "-l",
            "INFO",
            "-E",
            "--without-mingle",
            "--without-gossip",
            "--without-heartbeat",
            "--prefetch-multiplier=4",
            "--accept-content=json,yaml",
            "--max-tasks-per-child=100",
            "--time-limit=60",
            "--soft-time-limit",
            "30.5",
        ]);

        assert_eq!(
            (does.work, does.node.queues.as_slice()),
            (Work::Tasks, &["reports".to_owned()][..])
        );
        assert!(does.node.name.as_str().starts_with("w1@"));
        assert_eq!((does.node.concurrency, does.node.autoscale), (8, Some((3, 10))));
        assert_eq!(
            (does.node.task_events, does.node.heartbeat, does.node.mingle),
            (true, false, false)
        );
        assert_eq!(does.node.prefetch_multiplier, 4);
        assert_eq!((does.node.accept.yaml, does.node.accept.msgpack), (true, false));
        assert!(Line::try_parse_from(["work", "--accept-content=pickle"]).is_err());
        assert_eq!(does.node.time_limit, Some(Duration::from_secs(60)));
        assert_eq!(does.node.soft_time_limit, Some(Duration::from_millis(30_500)));
    }

    #[test]
    fn queues_decide_what_is_consumed() {
        for (queues, work, more) in [
            (&[][..], Work::Everything, 0),
            (&["-Q", "waybill.payments"], Work::Payments, 0),
            (&["-Q", "waybill"], Work::Tasks, 0),
            (&["-Q", "waybill,waybill.payments"], Work::Everything, 0),
            (&["-Q", "a,b"], Work::Others, 2),
        ] {
            let does = does(queues);

            assert_eq!((does.work, does.node.queues.len()), (work, more), "{queues:?}");
        }
    }
}
