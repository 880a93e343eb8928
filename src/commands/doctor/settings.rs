//! The settings as a whole.

use super::Check;
use crate::config::{Settings, Source};

pub(super) fn check(settings: &Settings) -> Check {
    let set: Vec<&str> = settings
        .describe()
        .iter()
        .filter(|it| it.source != Source::Default)
        .map(|it| it.name)
        .collect();
    match set.as_slice() {
        [] => Check::ok(
            "settings",
            "all by default: one machine, SQLite, in-process transport, simulated partner",
        ),
        set => Check::ok("settings", format!("set: {}", set.join(", "))),
    }
}
