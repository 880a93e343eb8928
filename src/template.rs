//! The CloudFormation template as the home of the graphs: read with positions, checked whole, never guessed.
//!
//! Graphs and their routing are found by `Metadata.StateMachineGraph` and `Metadata.StateMachineRouting`; the rest of
//! the template is CloudFormation's business.

mod canonical;
mod fault;
mod lock;
mod node;
mod published;
mod resources;
mod routing;
mod scalar;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use waybill_domain::{Graph, GraphVersion, MachineName, OrderId};

pub use fault::{Fault, Position, TemplateError, TemplateRule};
pub use lock::{LOCK_NAME, Lock, LockError};
pub use published::{Published, sha256_of};
pub use routing::{Routing, Share, choose};

/// The template of delivery orders that this program was built with.
pub const SHIPPED: &str = include_str!("../cloudformation/delivery-graph.yaml");

/// All templates that this program was built with, by file name: one for each machine.
pub const MACHINES: [(&str, &str); 3] = [
    (SHIPPED_NAME, SHIPPED),
    (
        "cloudformation/order-graph.yaml",
        include_str!("../cloudformation/order-graph.yaml"),
    ),
    (
        "cloudformation/food-graph.yaml",
        include_str!("../cloudformation/food-graph.yaml"),
    ),
];

/// How the shipped template is named in messages.
pub const SHIPPED_NAME: &str = "cloudformation/delivery-graph.yaml";

/// What one template file may have; AppConfig and CloudFormation take no more either.
const MOST_BYTES: usize = 1 << 20;

/// All graphs of a template with all their versions, and which of them new orders are born with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    graphs: BTreeMap<(MachineName, GraphVersion), Published>,
    routings: BTreeMap<MachineName, Routing>,
}

impl Template {
    /// Reads a template; `name` is the file's name in messages. A refusal lists everything that is wrong.
    pub fn parse(text: &str, name: &str) -> Result<Self, TemplateError> {
        let faulty = |faults| TemplateError::faulty(name, faults);
        if text.len() > MOST_BYTES {
            let found = format!("the template has {} bytes, expected at most {MOST_BYTES}", text.len());
            return Err(faulty(vec![Fault::new(
                Position::START,
                TemplateRule::FileTooLarge,
                found,
            )]));
        }
        let root = node::read(text).map_err(faulty)?;
        resources::read(&root).map_err(faulty)
    }

    /// Reads a template file.
    pub fn read(path: &Path) -> Result<Self, TemplateError> {
        let name = path.display().to_string();
        let mut bytes = Vec::new();
        let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX) + 1;
        std::fs::File::open(path)
            .and_then(|file| file.take(limit).read_to_end(&mut bytes))
            .map_err(|source| TemplateError::Unreadable {
                name: name.clone(),
                source,
            })?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Self::parse(text, &name),
            // The limit may have cut a character in two: then size is what is wrong.
            Err(_) if bytes.len() > MOST_BYTES => Self::parse(&" ".repeat(bytes.len()), &name),
            Err(error) => {
                let position = Position::after(&String::from_utf8_lossy(&bytes[..error.valid_up_to()]));
                Err(TemplateError::faulty(
                    &name,
                    vec![Fault::new(
                        position,
                        TemplateRule::NotUtf8,
                        "not UTF-8, expected a template in YAML",
                    )],
                ))
            }
        }
    }

    /// The template that this program was built with; a test proves that it is good.
    pub fn shipped() -> &'static Self {
        static TEMPLATE: LazyLock<Template> =
            LazyLock::new(|| Template::parse(SHIPPED, SHIPPED_NAME).expect("a test reads the shipped template"));
        &TEMPLATE
    }

    /// The machines of all templates that this program was built with.
    pub fn every_machine() -> &'static Self {
        static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
            let parsed = MACHINES.map(|(name, text)| Template::parse(text, name).expect("a test reads every template"));
            let [mut all, others @ ..] = parsed;
            for other in others {
                all.graphs.extend(other.graphs);
                all.routings.extend(other.routings);
            }
            all
        });
        &TEMPLATE
    }

    /// The same, with all new orders of a machine on one version.
    #[cfg(test)]
    pub(crate) fn routed_to(&self, graph: &Graph) -> Self {
        let mut template = self.clone();
        let routing = Routing::sole(graph.machine().as_str(), graph.version());
        template.routings.insert(graph.machine().clone(), routing);
        template
    }

    /// Every published graph, by machine and version.
    pub fn published(&self) -> impl Iterator<Item = &Published> {
        self.graphs.values()
    }

    /// Every graph, by machine and version.
    pub fn graphs(&self) -> impl Iterator<Item = &Arc<Graph>> {
        self.published().map(Published::graph)
    }

    /// The graph of that machine and version.
    pub fn graph(&self, machine: &str, version: GraphVersion) -> Option<&Arc<Graph>> {
        self.find(machine, version).map(Published::graph)
    }

    /// SHA-256 of a graph's canonical JSON, in hexadecimal: the identity of what was published.
    pub fn sha256(&self, machine: &str, version: GraphVersion) -> Option<&str> {
        self.find(machine, version).map(Published::sha256)
    }

    /// A graph as canonical JSON: keys sorted, no spaces.
    pub fn canonical_json(&self, machine: &str, version: GraphVersion) -> Option<&str> {
        self.find(machine, version).map(Published::canonical_json)
    }

    /// Which versions of a machine live, and which new orders are born with.
    pub fn routing(&self, machine: &str) -> Option<&Routing> {
        self.routings.get(machine)
    }

    /// The routings of all machines.
    pub fn routings(&self) -> impl Iterator<Item = &Routing> {
        self.routings.values()
    }

    /// The version that the order of that id is born with: always the same while the routing stays.
    pub fn active(&self, machine: &str, order_id: OrderId) -> Option<GraphVersion> {
        self.routing(machine).map(|routing| routing.choose(order_id))
    }

    fn find(&self, machine: &str, version: GraphVersion) -> Option<&Published> {
        self.graphs.get(&(MachineName::from(machine), version))
    }
}

#[cfg(test)]
mod tests;
