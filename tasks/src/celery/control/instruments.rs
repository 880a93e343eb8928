//! What a worker measures of itself: `ping`, `stats`, `conf`, `report` and the commands about memory.

use serde_json::{Map, Value, json};

use super::arguments::Arguments;
use super::{Panel, Raised, Replied, ok, process};
use crate::celery::host::hostname;
use crate::celery::protocol::python_repr;

/// Names that sound like this have values that are nobody's business; the list is Celery's.
const SECRETS: [&str; 9] = [
    "API",
    "TOKEN",
    "KEY",
    "SECRET",
    "PASS",
    "PROFANITIES_LIST",
    "SIGNATURE",
    "DATABASE",
    "BEAT_DBURI",
];

impl Panel {
    pub(super) fn measure(&self, arguments: &Arguments) -> Replied {
        match arguments.command() {
            "ping" => Ok(ok("pong")),
            "stats" => Ok(self.stats()),
            "conf" => Ok(self.settings().into()),
            "report" => Ok(ok(self.report())),
            "memsample" => Ok(process::memory().map_or(Value::Null, |bytes| readable(bytes).into())),
            "memdump" => Ok(memory_report().into()),
            _ => Err(Raised("ImportError('Requires the objgraph library')".to_owned())),
        }
    }

    fn stats(&self) -> Value {
        let state = &self.state;
        let mut stats = json!({
            "total": state.totals(),
            "pid": std::process::id(),
            "clock": state.clock().now().to_string(),
            "uptime": state.uptime().as_secs(),
            "pool": self.pool(),
            "broker": self.facts.broker.shown(),
            "prefetch_count": state.queues().prefetch(),
            "rusage": process::usage(),
        });
        if let Some((most, least)) = state.pool().autoscale() {
            let (_, in_hand) = state.counts();
            stats["autoscaler"] = json!({"max": most, "min": least, "current": state.pool().size(), "qty": in_hand});
        }
        stats
    }

    /// The pool with the keys of Python's: one process, and all that was written went to it.
    fn pool(&self) -> Value {
        let (active, _) = self.state.counts();
        let processed = self.state.processed();
        let share = if processed == 0 { "0.00" } else { "1.00" };
        json!({
            "implementation": format!("{}:tokio", self.facts.software.ident),
            "max-concurrency": self.state.pool().size(),
            "processes": [std::process::id()],
            "max-tasks-per-child": "N/A",
            "put-guarded-by-semaphore": true,
            "timeouts": [0, 0],
            "writes": {
                "total": processed,
                "avg": share,
                "all": share,
                "raw": processed.to_string(),
                "strategy": "fair",
                "inqueues": {"total": 1, "active": active},
            },
        })
    }

    fn settings(&self) -> Map<String, Value> {
        let shown = self.facts.settings.iter().map(|(name, value)| {
            let upper = name.to_uppercase();
            let secret = SECRETS.iter().any(|word| upper.contains(word));
            let value = if secret { "********".into() } else { value.clone() };
            (name.clone(), value)
        });
        shown.collect()
    }

    fn report(&self) -> String {
        let software = &self.facts.software;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let settings = self
            .settings()
            .into_iter()
            .map(|(name, value)| format!("{name}: {}", python_repr(&value)));
        let settings: Vec<String> = settings.collect();
        format!(
            "\nsoftware -> celery:5.7 by {}:{}, in Rust\nplatform -> system:Linux arch:{} host:{}\n            kernel version:{}\nsettings -> transport:amqp\n\n{}\n",
            software.ident,
            software.version,
            std::env::consts::ARCH,
            hostname(),
            kernel.trim(),
            settings.join("\n"),
        )
    }
}

/// As Python writes sizes: five digits and a unit.
fn readable(bytes: u64) -> String {
    let units = [(40, "TB"), (30, "GB"), (20, "MB"), (10, "KB")];
    let found = units.into_iter().find(|(power, _)| bytes >= 1 << power);
    let Some((power, unit)) = found else {
        return format!("{bytes}b");
    };
    let size = bytes as f64 / f64::from(power).exp2();
    let digits = 4_usize.saturating_sub(size.log10().max(0.0) as usize);
    let text = format!("{size:.digits$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

fn memory_report() -> String {
    match process::memory() {
        Some(bytes) => format!("- rss (end): {}.\n", readable(bytes)),
        None => "- rss: (not told by the kernel).\n".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_as_python_writes_them() {
        for (bytes, text) in [
            (0, "0b"),
            (1023, "1023b"),
            (1024, "1KB"),
            (1536, "1.5KB"),
            (25_690_112, "24.5MB"),
            (123_456_789, "117.74MB"),
        ] {
            assert_eq!(readable(bytes), text);
        }
    }
}
