//! `WAYBILL_PARTNERS`: the file that names the delivery partners, how they are called and how they are believed.

mod fault;
mod receiving;
mod secrets;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::TimeDelta;
use serde_json::{Map, Value};
use waybill_tasks::partner::PartnersSettings;
use waybill_webhooks::keys::DEFAULT_TOLERANCE;
use waybill_webhooks::{Adapter, PartnerKeys, Trust};

use super::reader::Reader;
use super::{Role, SettingsError, yaml};
use fault::Fault;
pub use receiving::Receiving;

const NAME: &str = "WAYBILL_PARTNERS";

const MAX_FILE: u64 = 1024 * 1024;

/// Who delivers.
#[derive(Debug)]
pub enum Partners {
    /// The simulator in this process: the default of the embedded backends.
    Simulator,
    /// The partners of a file.
    File(PartnersFile),
}

/// A partners file, read and checked.
#[derive(Debug)]
pub struct PartnersFile {
    /// Where it is.
    pub path: PathBuf,
    /// How partners are called.
    pub calls: PartnersSettings,
    /// How their callbacks are verified.
    pub keys: Arc<PartnerKeys>,
    /// Which language each of them speaks, by partner.
    pub adapters: BTreeMap<String, Adapter>,
    /// Who may knock, and how often.
    pub receiving: Receiving,
}

pub(super) fn read(reader: &mut Reader, role: Role, embedded: bool) -> Result<Option<Partners>, SettingsError> {
    let otherwise = if embedded { "the simulator" } else { "not set" };
    match reader.read_path(NAME, otherwise)? {
        // A role that meets no partner need not have the file at hand.
        Some(path) if role.meets_partners() || role == Role::Show => match read_file(&path) {
            Ok(file) => Ok(Some(Partners::File(file))),
            Err(fault) => Err(fault.of_file(NAME, &path)),
        },
        None if role.meets_partners() && embedded => Ok(Some(Partners::Simulator)),
        None if role.meets_partners() => Err(reader.wrong(
            NAME,
            "the partners file: the simulator is a partner only of the embedded backends",
        )),
        _ => Ok(None),
    }
}

fn read_file(path: &Path) -> Result<PartnersFile, Fault> {
    let mut document = parse(path)?;
    let receiving = Receiving::take(&mut document)?;
    let entries = take_entries(&mut document)?;
    let mut adapters = BTreeMap::new();
    let mut trusts = BTreeMap::new();
    for (name, entry) in entries {
        let place = format!("partners.{name}");
        check_name(name)?;
        let Value::Object(entry) = entry else {
            return Err(Fault::new(
                place,
                "something else",
                "a partner with adapter, base_url and secrets",
            ));
        };
        let adapter = read_adapter(entry, &place)?;
        adapters.insert(name.clone(), adapter);
        let trust = Trust {
            adapter,
            tolerance: take_tolerance(entry, &place)?,
            addresses: receiving::take_networks(entry, "addresses", &place)?,
            keys: secrets::read(entry.get("secrets"), adapter, &format!("{place}.secrets"), path)?,
        };
        trusts.insert(name.clone(), trust);
    }
    let keys =
        PartnerKeys::new(trusts).map_err(|bad| Fault::new("partners", bad.to_string(), "1 to 4 secrets each"))?;
    let calls: PartnersSettings = fault::deserialize(document, "")?;
    if !calls.partners.contains_key(&calls.default) {
        let names: Vec<&str> = calls.partners.keys().map(String::as_str).collect();
        let expected = format!("one of the partners: {}", names.join(", "));
        return Err(Fault::new("default", super::error::quote(&calls.default), expected));
    }
    Ok(PartnersFile {
        path: path.to_owned(),
        calls,
        keys: Arc::new(keys),
        adapters,
        receiving,
    })
}

/// Reads the file again, for what may change while a process runs: the keys. A relative path is the one of the start.
pub fn read_keys(path: &Path) -> Result<PartnerKeys, SettingsError> {
    let file = read_file(path).map_err(|fault| fault.of_file(NAME, path))?;
    Ok(Arc::into_inner(file.keys).expect("nobody else has what was read a line above"))
}

fn parse(path: &Path) -> Result<Value, Fault> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_string(&mut text));
    let expected = "the partners file in YAML or JSON";
    match read {
        Err(error) => Err(Fault::new("", error.to_string(), expected)),
        Ok(_) if text.len() as u64 > MAX_FILE => Err(Fault::new("", "more than 1 MiB", expected)),
        Ok(_) => yaml::read(&text).map_err(|found| Fault::new("", found, expected)),
    }
}

fn take_entries(document: &mut Value) -> Result<&mut Map<String, Value>, Fault> {
    match document.get_mut("partners") {
        Some(Value::Object(entries)) if !entries.is_empty() => Ok(entries),
        Some(_) => Err(Fault::new(
            "partners",
            "something else",
            "the partners by name, at least one",
        )),
        None => Err(Fault::new("partners", "nothing", "the partners by name, at least one")),
    }
}

/// The name is a part of a URL and a label of metrics.
fn check_name(name: &str) -> Result<(), Fault> {
    let fitting = (1..=63).contains(&name.len())
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte));
    if fitting {
        return Ok(());
    }
    Err(Fault::new(
        "partners",
        super::error::quote(name),
        "a name of lower case letters, digits, - and _, at most 63",
    ))
}

fn read_adapter(entry: &Map<String, Value>, place: &str) -> Result<Adapter, Fault> {
    let given = entry.get("adapter").and_then(Value::as_str);
    given.and_then(Adapter::parse).ok_or_else(|| {
        let names: Vec<&str> = Adapter::ALL.iter().map(|adapter| adapter.as_str()).collect();
        let given = given.map_or_else(|| "nothing".to_owned(), super::error::quote);
        Fault::new(
            format!("{place}.adapter"),
            given,
            format!("one of: {}", names.join(", ")),
        )
    })
}

/// How far a signature's time may be from ours. Taken out: whoever calls the partner does not know it.
fn take_tolerance(entry: &mut Map<String, Value>, place: &str) -> Result<TimeDelta, Fault> {
    let Some(given) = entry.remove("tolerance_ms") else {
        return Ok(DEFAULT_TOLERANCE);
    };
    match given.as_i64() {
        Some(milliseconds @ 1000..=3_600_000) => Ok(TimeDelta::milliseconds(milliseconds)),
        _ => Err(Fault::new(
            format!("{place}.tolerance_ms"),
            given.to_string(),
            "a whole number from 1000 to 3600000",
        )),
    }
}
