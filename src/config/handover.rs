//! `WAYBILL_HANDOVER_CODE`.

use super::SettingsError;
use super::reader::{Reader, Value};

/// Whether customers get a code that they say to the courier.
pub(super) fn read(reader: &mut Reader) -> Result<bool, SettingsError> {
    let Switch(on) = reader.read_or("WAYBILL_HANDOVER_CODE", "off")?;
    Ok(on)
}

struct Switch(bool);

impl Value for Switch {
    const EXPECTED: &'static str = "on or off";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "on" => Some(Self(true)),
            "off" => Some(Self(false)),
            _ => None,
        }
    }

    fn show(&self) -> String {
        if self.0 { "on" } else { "off" }.to_owned()
    }
}
