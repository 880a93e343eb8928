//! The lock file: the SHA-256 of every version that was ever published, so that none is edited afterwards.
//!
//! One line a version, `machine version sha256`; lines are added and never changed. A version that was retired keeps its
//! line, with `retired` at the end: then its resource may go.

use std::collections::BTreeMap;
use std::path::Path;

use waybill_domain::{GraphVersion, MachineName};

use super::fault::{Fault, TemplateError, TemplateRule};
use super::{Published, Template};

/// The lock of the templates that this program was built with.
const SHIPPED: &str = include_str!("../../cloudformation/graph.lock");

/// How the lock file beside a template is called.
pub const LOCK_NAME: &str = "graph.lock";

/// Published versions with their hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    versions: BTreeMap<(MachineName, GraphVersion), Locked>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Locked {
    sha256: String,
    is_retired: bool,
}

/// Why a lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file cannot be read or written.
    #[error("cannot read or write {name}")]
    Unreadable {
        /// Which file.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A line that says something else than a version and its hash.
    #[error("{name}:{line}: expected machine, version and sha256, each once")]
    Malformed {
        /// Which file.
        name: String,
        /// Which line, counted from 1.
        line: usize,
    },
}

impl Lock {
    /// The lock of the templates that this program was built with; a test proves that it is good.
    pub fn shipped() -> Self {
        Self::parse(SHIPPED, LOCK_NAME).expect("a test reads the shipped lock")
    }

    /// Reads a lock; `name` is the file's name in messages.
    pub fn parse(text: &str, name: &str) -> Result<Self, LockError> {
        let mut lock = Self::default();
        for (place, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let read = read_line(line).filter(|(key, _)| !lock.versions.contains_key(key));
            let (key, locked) = read.ok_or_else(|| LockError::Malformed {
                name: name.to_owned(),
                line: place + 1,
            })?;
            lock.versions.insert(key, locked);
        }
        Ok(lock)
    }

    /// The lock beside a template file, if there is one.
    pub fn beside(template: &Path) -> Result<Option<Self>, LockError> {
        let path = template.with_file_name(LOCK_NAME);
        let name = path.display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(&text, &name).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LockError::Unreadable { name, source }),
        }
    }

    /// Checks a template against the lock: nothing published was edited, nothing that lives was lost, everything is locked.
    pub fn check(&self, template: &Template, name: &str) -> Result<(), TemplateError> {
        let mut faults: Vec<Fault> = template.published().filter_map(|it| self.fault_of(it)).collect();
        let machines: Vec<&MachineName> = template.published().map(|it| it.graph().machine()).collect();
        let lost = self.versions.iter().filter(|((machine, version), locked)| {
            let here = machines.contains(&machine) && template.graph(machine.as_str(), *version).is_none();
            here && !locked.is_retired
        });
        for ((machine, version), _) in lost {
            let message = format!("{machine} version {version} was published and is not retired, but is not here");
            let position = template.published().map(|it| it.position()).next();
            faults.extend(position.map(|at| Fault::new(at, TemplateRule::VersionLost, message)));
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(TemplateError::faulty(name, faults))
        }
    }

    /// The lines for what a template publishes and this lock does not know yet.
    pub fn missing(&self, template: &Template) -> Vec<String> {
        let unknown = template.published().filter(|it| self.find(it).is_none());
        unknown
            .map(|it| format!("{} {} {}", it.graph().machine(), it.graph().version(), it.sha256()))
            .collect()
    }

    fn find(&self, published: &Published) -> Option<&Locked> {
        let graph = published.graph();
        self.versions.get(&(graph.machine().clone(), graph.version()))
    }

    fn fault_of(&self, published: &Published) -> Option<Fault> {
        let graph = published.graph();
        let what = format!("{} version {}", graph.machine(), graph.version());
        let (rule, message) = match self.find(published) {
            None => {
                let message = format!("{what} is not in {LOCK_NAME}, expected the line of `waybill graph lock`");
                (TemplateRule::VersionUnlocked, message)
            }
            Some(locked) if locked.sha256 != published.sha256() => {
                let (was, is) = (&locked.sha256, published.sha256());
                let message =
                    format!("{what} was published with sha256 {was} and has {is}: publish a new version instead");
                (TemplateRule::VersionChanged, message)
            }
            Some(_) => return None,
        };
        Some(Fault::new(published.position(), rule, message))
    }
}

fn read_line(line: &str) -> Option<((MachineName, GraphVersion), Locked)> {
    let words: Vec<&str> = line.split(' ').collect();
    let (machine, version, sha256, is_retired) = match words.as_slice() {
        [machine, version, sha256] => (machine, version, sha256, false),
        [machine, version, sha256, "retired"] => (machine, version, sha256, true),
        _ => return None,
    };
    let is_hash = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    let locked = Locked {
        sha256: (*sha256).to_owned(),
        is_retired,
    };
    is_hash.then_some((
        (MachineName::from(*machine), GraphVersion(version.parse().ok()?)),
        locked,
    ))
}
