//! What the kernel counts for this process.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// The kernel counts processor time in hundredths of a second, whatever the machine.
const TICKS_A_SECOND: f64 = 100.0;

/// How much memory is in use, in bytes; `None` where the kernel does not tell.
pub(super) fn memory() -> Option<u64> {
    Some(kilobytes(&status(), "VmRSS")? * 1024)
}

/// As Python's `getrusage`, with the same keys; what Linux does not count is 0 there too.
pub(super) fn usage() -> Value {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name stands in parentheses and may hold anything.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<u64> = after_name
        .split_ascii_whitespace()
        .skip(1)
        .map(|word| word.parse().unwrap_or_default())
        .collect();
    let field = |number: usize| fields.get(number - 4).copied().unwrap_or_default();
    let seconds = |number: usize| Value::from(field(number) as f64 / TICKS_A_SECOND);
    let status = status();
    let io = pairs("/proc/self/io");
    let count = |counts: &HashMap<String, String>, name: &str| -> Value {
        let count: u64 = counts.get(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        count.into()
    };
    let blocks = |name: &str| -> Value {
        let bytes: u64 = io.get(name).and_then(|text| text.parse().ok()).unwrap_or_default();
        (bytes / 512).into()
    };
    let entries: [(&str, Value); 16] = [
        ("utime", seconds(14)),
        ("stime", seconds(15)),
        ("maxrss", kilobytes(&status, "VmHWM").unwrap_or_default().into()),
        ("ixrss", 0.into()),
        ("idrss", 0.into()),
        ("isrss", 0.into()),
        ("minflt", field(10).into()),
        ("majflt", field(12).into()),
        ("nswap", 0.into()),
        ("inblock", blocks("read_bytes")),
        ("oublock", blocks("write_bytes")),
        ("msgsnd", 0.into()),
        ("msgrcv", 0.into()),
        ("nsignals", 0.into()),
        ("nvcsw", count(&status, "voluntary_ctxt_switches")),
        ("nivcsw", count(&status, "nonvoluntary_ctxt_switches")),
    ];
    Value::Object(
        entries
            .map(|(name, value)| (name.to_owned(), value))
            .into_iter()
            .collect::<Map<_, _>>(),
    )
}

fn status() -> HashMap<String, String> {
    pairs("/proc/self/status")
}

fn kilobytes(status: &HashMap<String, String>, name: &str) -> Option<u64> {
    status.get(name)?.strip_suffix(" kB")?.parse().ok()
}

/// The lines `name: value` of a file.
fn pairs(path: &str) -> HashMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_time() {
        let usage = usage();

        assert!(memory().unwrap() > 100_000);
        assert!(usage["maxrss"].as_u64().unwrap() > 100, "{usage}");
        assert!(usage["minflt"].as_u64().unwrap() > 0, "{usage}");
        assert!(usage["utime"].is_f64() && usage["stime"].is_f64(), "{usage}");
    }
}
