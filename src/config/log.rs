//! `WAYBILL_LOG`, `WAYBILL_LOG_FORMAT`.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::SettingsError;
use super::reader::{Reader, Value};

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct Log {
    /// Which lines: a level, or `target=level` several times, such as `info,waybill::relay=debug`.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object by line, for machines.
    Json,
}

pub(super) fn read(reader: &mut Reader) -> Result<Log, SettingsError> {
    let Filter(filter) = reader.read_or("WAYBILL_LOG", "info")?;
    Ok(Log {
        filter,
        format: reader.read_or("WAYBILL_LOG_FORMAT", "text")?,
    })
}

struct Filter(String);

impl Value for Filter {
    const EXPECTED: &'static str =
        "a level (off, error, warn, info, debug, trace), or target=level with commas between";

    fn parse(text: &str) -> Option<Self> {
        // A bare word that is no level would be taken as a target with everything logged: a misspelt level.
        let meant = |directive: &str| directive.contains(['=', '[']) || directive.parse::<LevelFilter>().is_ok();
        // A target is a Rust path; what else a filter is made of, its reader does not survive.
        let meant = text.is_ascii()
            && text
                .split(',')
                .all(|directive| meant(directive.trim()) && !directive.trim().is_empty());
        (meant && text.parse::<EnvFilter>().is_ok()).then(|| Self(text.to_owned()))
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

impl Value for LogFormat {
    const EXPECTED: &'static str = "text or json";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Json => "json".to_owned(),
        }
    }
}
