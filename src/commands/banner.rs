//! What a process says of itself when it starts.

use std::collections::BTreeMap;
use std::fmt;

use tracing::info;

use super::Failure;
use crate::app::read_template;
use crate::config::{LogFormat, Partners, Settings};

/// One block of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Banner {
    role: &'static str,
    rows: Vec<(&'static str, String)>,
    made: Vec<String>,
}

impl Banner {
    /// Of a process in that role.
    pub(super) fn of(role: &'static str, settings: &Settings) -> Result<Self, Failure> {
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
