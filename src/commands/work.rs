//! What `waybill work` takes: Celery's own options, and a plain word where one of them means nothing here.

use std::time::Duration;

use clap::builder::UnknownArgumentValueParser;
use clap::{Arg, Args, ValueEnum};
use waybill_tasks::celery::protocol::Accept;

use super::Failure;
use crate::app::{Does, Node, NodeName, Work};

/// `waybill work`.
#[derive(Debug, Clone, Args)]
#[command(args = elsewhere())]
pub struct WorkOptions {
    /// Consume only these, as Celery's own `-Q`; all if left out.
    ///
    /// `waybill.payments` are the payment events, `waybill` is the task queue whatever WAYBILL_QUEUE calls it; any other name is
    /// one more task queue.
    #[arg(short = 'Q', long, value_name = "QUEUE", value_delimiter = ',')]
    pub queues: Vec<String>,
    /// Do not consume these, as Celery's own `-X`.
    #[arg(short = 'X', long, value_name = "QUEUE", value_delimiter = ',')]
    pub exclude_queues: Vec<String>,
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
    /// How often to tell it; every 2 seconds if left out.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub heartbeat_interval: Option<Duration>,
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

/// Options of `celery worker` whose users must hear where what they want is done, for to pass over them would surprise: each with
/// its letter, its name and the way.
const ELSEWHERE: [(Option<char>, &str, &str); 16] = [
    (Some('A'), "app", NO_APPLICATION),
    (Some('I'), "include", NO_APPLICATION),
    (Some('b'), "broker", "the broker is named by WAYBILL_BROKER_URL"),
    (
        None,
        "result-backend",
        "the result backend is named by WAYBILL_RESULT_BACKEND",
    ),
    (Some('B'), "beat", BEAT),
    (Some('s'), "schedule", BEAT),
    (None, "scheduler", BEAT),
    (
        Some('S'),
        "statedb",
        "what was revoked is kept in the database: a worker that was down knows it",
    ),
    (None, "purge", NOTHING_DELETED),
    (None, "discard", NOTHING_DELETED),
    (
        Some('D'),
        "detach",
        "a worker stays in the foreground; systemd, or a container, keeps it in the background",
    ),
    (
        None,
        "pidfile",
        "a worker writes none; systemd, or a container, knows the process",
    ),
    (
        Some('f'),
        "logfile",
        "the log goes to standard error; `2>FILE`, or systemd's journal, keeps it",
    ),
    (None, "uid", AS_STARTED),
    (None, "gid", AS_STARTED),
    (None, "umask", AS_STARTED),
];

const NO_APPLICATION: &str =
    "the tasks are built in; those of a Python application need a Python worker, on the same broker if you like";
const BEAT: &str = "periodic tasks are sent by `waybill beat --schedule FILE`, a process of its own";
const NOTHING_DELETED: &str = "a worker deletes no messages, among them are paid deliveries; `celery purge` or `rabbitmqctl purge_queue QUEUE` does";
const AS_STARTED: &str = "a worker is who starts it; systemd (User=, Group=, UMask=), or a container, says who";

fn elsewhere() -> impl Iterator<Item = Arg> {
    ELSEWHERE.into_iter().map(|(letter, name, way)| {
        let arg = Arg::new(name).short(letter).long(name).hide(true);
        // With a value or without, it is refused.
        let arg = arg.num_args(0..=1).default_missing_value("");
        arg.value_parser(UnknownArgumentValueParser::suggest(way))
    })
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
    ///
    /// # Errors
    /// No queue is left.
    pub(super) fn does(&self) -> Result<Does, Failure> {
        let named = match self.queues.is_empty() {
            true => vec![PAYMENTS.to_owned(), TASKS.to_owned()],
            false => self.queues.clone(),
        };
        let queues = named.into_iter().filter(|name| !self.exclude_queues.contains(name));
        let (own, more): (Vec<String>, Vec<String>) =
            queues.partition(|name| [PAYMENTS, TASKS].contains(&name.as_str()));
        let has = |name: &str| own.iter().any(|queue| queue == name);
        let work = match (has(PAYMENTS), has(TASKS)) {
            (true, true) => Work::Everything,
            (true, false) => Work::Payments,
            (false, true) => Work::Tasks,
            (false, false) if !more.is_empty() => Work::Others,
            (false, false) => {
                return Err(Failure::usage(
                    "-X leaves no queue to consume: name another one with -Q",
                ));
            }
        };
        let heartbeat = match self.without_heartbeat {
            true => None,
            false => self.heartbeat_interval.or(Node::default().heartbeat),
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
            heartbeat,
            mingle: !self.without_mingle,
            soft_time_limit: self.soft_time_limit,
            time_limit: self.time_limit,
        };
        Ok(Does {
            serve: false,
            work,
            node,
        })
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
        line.options.does().unwrap()
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
            (true, None, false)
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
            (&["-X", "waybill.payments"], Work::Tasks, 0),
            (&["-Q", "waybill,a,b", "-X", "waybill,b"], Work::Others, 1),
        ] {
            let does = does(queues);

            assert_eq!((does.work, does.node.queues.len()), (work, more), "{queues:?}");
        }
    }

    #[test]
    fn what_is_done_elsewhere_is_refused_with_the_way_to_it() {
        for (typed, way) in [
            (&["-B"][..], "waybill beat"),
            (&["-s", "schedule.db"], "waybill beat"),
            (&["--purge"], "celery purge"),
            (&["-D"], "systemd"),
            (&["--pidfile=/run/w.pid"], "systemd"),
            (&["-f", "w.log"], "standard error"),
            (&["-A", "proj"], "Python worker"),
            (&["-b", "amqp://mq"], "WAYBILL_BROKER_URL"),
            (&["--result-backend=rpc://"], "WAYBILL_RESULT_BACKEND"),
            (&["-S", "revoked.db"], "in the database"),
            (&["--uid=shop"], "User="),
        ] {
            let Err(refused) = Line::try_parse_from([&["work"], typed].concat()) else {
                panic!("{typed:?} is taken")
            };

            let said = refused.to_string();
            assert!(refused.exit_code() == 2 && said.contains(way), "{said}");
            assert!(
                said.contains(typed[0].split('=').next().unwrap()) || typed[0].len() == 2,
                "{said}"
            );
        }
    }

    #[test]
    fn no_queue_at_all_is_refused() {
        let line = Line::try_parse_from(["work", "-X", "waybill,waybill.payments"]).unwrap();

        let refused = line.options.does().unwrap_err();

        assert!(refused.code == 2 && refused.line.contains("-Q"), "{}", refused.line);
    }
}
