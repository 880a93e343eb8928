//! What a worker is to those who watch and manage it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use waybill_tasks::celery::host::hostname;
use waybill_tasks::celery::protocol::Accept;

/// What is in hand at once: enough for one commit to serve many, and few enough to be handed out again without harm.
const CONCURRENCY: usize = 64;

/// Celery's: Flower takes a worker for gone after twice as long.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// How a worker is called and how it works, as Celery's options say it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// How many tasks run at once.
    pub concurrency: usize,
    /// The least and the most, if the number follows the work.
    pub autoscale: Option<(usize, usize)>,
    /// How many messages are in hand for each task that may run.
    pub prefetch_multiplier: u16,
    /// What a task's arguments may be written in, beside JSON.
    pub accept: Accept,
    /// Task queues beside our own.
    pub queues: Vec<String>,
    /// Tells what happens to tasks.
    pub task_events: bool,
    /// How often it tells that it is alive; never if nothing.
    pub heartbeat: Option<Duration>,
    /// Says hello to its neighbours.
    pub mingle: bool,
    /// After which a task is asked to stop, if it has no limit of its own.
    pub soft_time_limit: Option<Duration>,
    /// After which a task is ended.
    pub time_limit: Option<Duration>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: NodeName::of(None, &hostname()),
            concurrency: CONCURRENCY,
            autoscale: None,
            prefetch_multiplier: 1,
            accept: Accept::default(),
            queues: Vec::new(),
            task_events: false,
            heartbeat: Some(HEARTBEAT),
            mingle: true,
            soft_time_limit: None,
            time_limit: None,
        }
    }
}

/// A node's name, such as `waybill@host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeName(String);

impl NodeName {
    /// `name@host`, where each part may be left out, with `%h`, `%n` and `%d` for the machine's whole name, the part before
    /// its first dot, and the rest.
    fn of(text: Option<&str>, machine: &str) -> Self {
        let (short, domain) = machine.split_once('.').unwrap_or((machine, ""));
        let text = text.unwrap_or_default();
        let text = text.replace("%h", machine).replace("%n", short).replace("%d", domain);
        let (name, host) = match text.split_once('@') {
            Some((name, host)) => (name, host),
            None => ("", text.as_str()),
        };
        let or = |text: &str, other: &str| {
            if text.is_empty() {
                other.to_owned()
            } else {
                text.to_owned()
            }
        };
        Self(format!("{}@{}", or(name, "waybill"), or(host, machine)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for NodeName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = Self::of(Some(text), &hostname());
        // Its mailbox's name is longer, and AMQP has 255 bytes for it.
        let good = name.0.len() <= 200
            && !name
                .0
                .chars()
                .any(|letter| letter.is_control() || letter.is_whitespace());
        good.then_some(name)
            .ok_or_else(|| "expected a node name such as worker1@%h".to_owned())
    }
}

/// Whoever runs this command, as the system knows them: `user@host`.
pub fn invoker() -> String {
    use std::os::unix::fs::MetadataExt as _;

    let user = std::fs::metadata("/proc/self").map(|own| own.uid().to_string());
    let named = |uid: &String| {
        let users = std::fs::read_to_string("/etc/passwd").ok()?;
        name_of(&users, uid).map(str::to_owned)
    };
    let name = user.map_or_else(|_| "somebody".to_owned(), |uid| named(&uid).unwrap_or(uid));
    format!("{name}@{}", hostname())
}

/// The name of a user in the lines of `/etc/passwd`.
fn name_of<'a>(users: &'a str, uid: &str) -> Option<&'a str> {
    let mut users = users.lines().map(|line| line.split(':'));
    users.find_map(|mut fields| {
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_as_celery_names_it() {
        for (text, name) in [
            (None, "waybill@mq1.example.org"),
            (Some("w1@%h"), "w1@mq1.example.org"),
            (Some("w1@%n"), "w1@mq1"),
            (Some("%n@%d"), "mq1@example.org"),
            (Some("w1"), "waybill@w1"),
            (Some("w1@"), "w1@mq1.example.org"),
        ] {
            assert_eq!(NodeName::of(text, "mq1.example.org").as_str(), name, "{text:?}");
        }
        assert!("a b".parse::<NodeName>().is_err());
    }

    #[test]
    fn a_user_is_found_by_number() {
        let users = "root:x:0:0:root:/:/bin/bash\nbroken\nada:x:1000:1000:Ada,,,:/srv/ada:/bin/sh\n";

        assert_eq!(name_of(users, "1000"), Some("ada"));
        assert_eq!(name_of(users, "0"), Some("root"));
        assert_eq!(name_of(users, "100"), None);
        assert!(invoker().ends_with(&format!("@{}", hostname())));
    }
}
