//! What a process says of itself when it starts.

use std::collections::BTreeMap;
use std::fmt;

use tracing::info;

use super::Failure;
use crate::app::{Does, Work, read_template};
use crate::config::{Log, LogFormat, Partners, Settings};

/// One block of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Banner {
    role: &'static str,
    rows: Vec<(&'static str, String)>,
    made: Vec<String>,
}

impl Banner {
    /// Of a process in that role.
    pub(super) fn of(role: &'static str, settings: &Settings, does: &Does) -> Result<Self, Failure> {
        let partners = match &settings.partners {
            None => "none".to_owned(),
            Some(Partners::Simulator) => "the simulator, in this process".to_owned(),
            Some(Partners::File(file)) => {
                let names: Vec<&str> = file.calls.partners.keys().map(String::as_str).collect();
                format!("{} (default {})", names.join(", "), file.calls.default)
            }
        };
        let shown = |name| super::shown(settings, name);
        let mut rows = vec![
            ("database", shown("WAYBILL_DATABASE_URL")),
            ("broker", shown("WAYBILL_BROKER_URL")),
            ("queue", settings.queues.tasks.clone()),
            ("partners", partners),
            ("graphs", graphs(settings)?),
        ];
        if role != "work" {
            rows.insert(2, ("public URL", shown("WAYBILL_PUBLIC_URL")));
        }
        if does.work != Work::Nothing {
            rows.extend(worker(settings, does));
        }
        let made = settings.made.iter().map(|path| path.display().to_string()).collect();
        Ok(Self { role, rows, made })
    }

    /// For people beside the log; for machines as lines of the log.
    pub(super) fn show(&self, format: LogFormat) {
        match format {
            LogFormat::Text => eprint!("{self}"),
            LogFormat::Json => {
                let rows: Vec<String> = self
                    .rows
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                info!(
                    "waybill {} {}; {}",
                    self.role,
                    env!("CARGO_PKG_VERSION"),
                    rows.join("; ")
                );
                for path in &self.made {
                    info!("made the key file {path}");
                }
            }
        }
    }
}

/// What Celery's banner tells of a worker.
fn worker(settings: &Settings, does: &Does) -> Vec<(&'static str, String)> {
    let node = &does.node;
    let mut queues = Vec::new();
    if does.work.takes_tasks() {
        queues.push(settings.queues.tasks.clone());
    }
    queues.extend(node.queues.iter().cloned());
    if does.work.takes_payments() {
        queues.push("waybill.payments".to_owned());
    }
    let concurrency = match node.autoscale {
        Some((least, most)) => format!("{least} to {most} tasks at once"),
        None => format!("{} tasks at once", node.concurrency),
    };
    let backend = super::shown(settings, "WAYBILL_RESULT_BACKEND");
    let events = if node.task_events {
        "ON"
    } else {
        "OFF (enable -E to monitor tasks in this worker)"
    };
    vec![
        ("node", node.name.to_string()),
        ("queues", queues.join(", ")),
        ("concurrency", concurrency),
        (
            "results",
            if backend == "not set" {
                "rpc://".to_owned()
            } else {
                backend
            },
        ),
        ("task events", events.to_owned()),
    ]
}

/// Which tasks a worker runs, where information is logged: Celery shows them under its banner.
pub(super) fn show_tasks(tasks: &[String], log: &Log) {
    let told = tracing::enabled!(tracing::Level::INFO) && !tasks.is_empty();
    match log.format {
        LogFormat::Text if told => {
            let lines: String = tasks.iter().map(|task| format!("  . {task}\n")).collect();
            eprint!("[tasks]\n{lines}");
        }
        LogFormat::Json if told => info!("tasks: {}", tasks.join(", ")),
        _ => (),
    }
}

/// `delivery-order 1, 2 (new orders: 2)`.
fn graphs(settings: &Settings) -> Result<String, Failure> {
    let template = read_template(settings)?;
    let mut machines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for graph in template.graphs() {
        let versions = machines.entry(graph.machine().to_string()).or_default();
        versions.push(graph.version().to_string());
    }
    let texts = machines.iter().map(|(machine, versions)| {
        let active = template.routing(machine).map_or(&[][..], |routing| &routing.active);
        let active: Vec<String> = match active {
            [only] => vec![only.version.to_string()],
            shares => shares
                .iter()
                .map(|share| format!("{} for {} %", share.version, share.weight))
                .collect(),
        };
        format!("{machine} {} (new orders: {})", versions.join(", "), active.join(", "))
    });
    Ok(texts.collect::<Vec<_>>().join("; "))
}

impl fmt::Display for Banner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "waybill {} {}", self.role, env!("CARGO_PKG_VERSION"))?;
        for (name, value) in &self.rows {
            writeln!(f, "  {name:<11} {value}")?;
        }
        for path in &self.made {
            writeln!(
                f,
                "  made        {path} (keep it: what it encrypts or signs is worth nothing without it)"
            )?;
        }
        Ok(())
    }
}
