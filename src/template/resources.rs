//! Finds graphs and routings among a template's resources and checks them together.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use waybill_domain::{Defect, Graph, GraphDocument, GraphVersion, MachineName};

use super::fault::{Fault, Position, TemplateRule};
use super::node::{Content, Node};
use super::published::Published;
use super::routing::Routing;
use super::{Template, scalar};

const RESOURCE_TYPE: &str = "AWS::AppConfig::HostedConfigurationVersion";

pub(super) fn read(root: &Node) -> Result<Template, Vec<Fault>> {
    let Content::Map(_) = root.content else {
        let message = format!("found {}, expected a CloudFormation template", root.describe());
        return Err(vec![Fault::new(root.position, TemplateRule::NotATemplate, message)]);
    };
    let Some(resources) = root.get("Resources").filter(|node| !node.entries().is_empty()) else {
        return Err(vec![Fault::new(
            root.locate(&["Resources"]),
            TemplateRule::NotATemplate,
            "no resources, expected a CloudFormation template",
        )]);
    };
    let mut harvest = Harvest::default();
    for (name, resource) in resources.entries() {
        harvest.take_graph(name, resource);
    }
    if harvest.places.is_empty() && harvest.faults.is_empty() {
        let message = "no graph, expected a resource with Metadata.StateMachineGraph";
        return Err(vec![Fault::new(
            root.locate(&["Resources"]),
            TemplateRule::NoGraph,
            message,
        )]);
    }
    for (_, resource) in resources.entries() {
        harvest.take_routing(resource);
    }
    harvest.finish()
}

/// A machine and one of its versions.
type Key = (MachineName, GraphVersion);

/// What was found so far.
#[derive(Default)]
struct Harvest {
    graphs: BTreeMap<Key, Published>,
    routings: BTreeMap<MachineName, Routing>,
    /// Where each version was first published, its graph good or not.
    places: BTreeMap<Key, Position>,
    faults: Vec<Fault>,
}

impl Harvest {
    fn take_graph(&mut self, name: &Node, resource: &Node) {
        let Some(mark) = resource
            .get("Metadata")
            .and_then(|metadata| metadata.get("StateMachineGraph"))
        else {
            return;
        };
        self.remember(name, resource, mark);
        let Some(body) = self.body(resource) else { return };
        let Some(document) = self.document::<GraphDocument>(body) else {
            return;
        };
        self.compare(mark, "Machine", &document.machine);
        self.compare(mark, "Version", &document.version.to_string());
        self.check_label(resource, document.version);
        match Graph::check(document) {
            Ok(graph) => {
                let key = (graph.machine().clone(), graph.version());
                self.graphs
                    .entry(key)
                    .or_insert_with(|| Published::new(graph, &body.to_json(), name.position));
            }
            Err(defects) => {
                let fault = |defect: &Defect| Fault::of(defect, body.locate(defect.path.segments()));
                self.faults.extend(defects.iter().map(fault));
            }
        }
    }

    /// Keeps where a version is published, its graph good or not; a second time is a fault.
    fn remember(&mut self, name: &Node, resource: &Node, mark: &Node) {
        let key = |node: &Node, machine: &str, version: &str| {
            let machine = node.get(machine)?.text()?;
            Some((
                MachineName::from(machine),
                GraphVersion(node.get(version)?.text()?.parse().ok()?),
            ))
        };
        let body = ["Properties", "Content", "Fn::ToJsonString"]
            .iter()
            .try_fold(resource, |node, key| node.get(key));
        let inside = body.and_then(|body| key(body, "machine", "version"));
        // Where both say nothing, comparing metadata and content finds it.
        let Some(key) = inside.or_else(|| key(mark, "Machine", "Version")) else {
            return;
        };
        match self.places.get(&key) {
            Some(first) => {
                let (machine, version) = &key;
                let message = format!(
                    "version {version} of {machine} is published twice, first in line {}",
                    first.line
                );
                self.faults
                    .push(Fault::new(name.position, TemplateRule::PublishedTwice, message));
            }
            None => {
                self.places.insert(key, name.position);
            }
        }
    }

    fn take_routing(&mut self, resource: &Node) {
        let mark = resource
            .get("Metadata")
            .and_then(|metadata| metadata.get("StateMachineRouting"));
        let Some(mark) = mark else { return };
        let Some(body) = self.body(resource) else { return };
        let Some(routing) = self.document::<Routing>(body) else {
            return;
        };
        self.compare(mark, "Machine", &routing.machine);
        let versions: BTreeSet<GraphVersion> = self.versions(&routing.machine).collect();
        self.faults.extend(routing.check(&versions, body));
        let machine = MachineName::from(routing.machine.as_str());
        match self.routings.entry(machine) {
            Entry::Vacant(vacant) => {
                vacant.insert(routing);
            }
            Entry::Occupied(taken) => {
                let message = format!("a second routing of {}, expected one", taken.key());
                self.faults.push(Fault::new(
                    body.locate(&["machine"]),
                    TemplateRule::RoutingTwice,
                    message,
                ));
            }
        }
    }

    fn versions<'a>(&'a self, machine: &'a str) -> impl Iterator<Item = GraphVersion> + 'a {
        self.places
            .keys()
            .filter(move |(name, _)| *name == machine)
            .map(|(_, version)| *version)
    }

    /// The structured body of a hosted configuration version, free of what dialects read differently.
    fn body<'n>(&mut self, resource: &'n Node) -> Option<&'n Node> {
        let found = resource.get("Type").map_or_else(|| "none".to_owned(), Node::describe);
        if resource.get("Type").and_then(Node::text) != Some(RESOURCE_TYPE) {
            let message = format!("the type is {found}, expected {RESOURCE_TYPE}");
            self.faults.push(Fault::new(
                resource.locate(&["Type"]),
                TemplateRule::WrongResourceType,
                message,
            ));
        }
        let content = resource
            .get("Properties")
            .and_then(|properties| properties.get("Content"));
        let position = resource.locate(&["Properties", "Content", "Fn::ToJsonString"]);
        let expected = "expected Fn::ToJsonString with a mapping, so that the graph stays structured";
        let Some(content) = content else {
            self.faults.push(Fault::new(
                position,
                TemplateRule::NotStructured,
                format!("no content, {expected}"),
            ));
            return None;
        };
        let body = content
            .get("Fn::ToJsonString")
            .filter(|_| content.tag.is_none())
            .unwrap_or(content);
        let is_structured = !std::ptr::eq(body, content) && matches!(body.content, Content::Map(_));
        if !is_structured || body.tag.is_some() {
            self.faults.push(Fault::new(
                position,
                TemplateRule::NotStructured,
                format!("found {}, {expected}", body.describe()),
            ));
            return None;
        }
        let before = self.faults.len();
        refuse_ambiguity(body, &mut self.faults);
        (self.faults.len() == before).then_some(body)
    }

    fn document<T: DeserializeOwned>(&mut self, body: &Node) -> Option<T> {
        match serde_path_to_error::deserialize(body.to_json()) {
            Ok(document) => Some(document),
            Err(error) => {
                let path: Vec<String> = error.path().iter().map(ToString::to_string).collect();
                let message = format!("{}: {}", error.path(), plain(&error.inner().to_string()));
                self.faults
                    .push(Fault::new(body.locate(&path), TemplateRule::WrongShape, message));
                None
            }
        }
    }

    /// The metadata must say what the body says: it is what tools without a YAML reader look at.
    fn compare(&mut self, mark: &Node, key: &str, expected: &str) {
        let found = mark.get(key);
        if found.and_then(Node::text) != Some(expected) {
            let found = found.map_or_else(|| "nothing".to_owned(), Node::describe);
            let message = format!("the metadata's {key} is {found}, expected {expected} as in the content");
            self.faults
                .push(Fault::new(mark.locate(&[key]), TemplateRule::MetadataDiffers, message));
        }
    }

    fn check_label(&mut self, resource: &Node, version: i64) {
        let label = resource
            .get("Properties")
            .and_then(|properties| properties.get("VersionLabel"));
        let ending = format!("-v{version}");
        if !label.and_then(Node::text).is_some_and(|text| text.ends_with(&ending)) {
            let found = label.map_or_else(|| "nothing".to_owned(), Node::describe);
            let message = format!("the version label is {found}, expected one that ends with {ending}");
            self.faults.push(Fault::new(
                resource.locate(&["Properties", "VersionLabel"]),
                TemplateRule::LabelDiffers,
                message,
            ));
        }
    }

    fn finish(mut self) -> Result<Template, Vec<Fault>> {
        let machines: BTreeSet<MachineName> = self.places.keys().map(|(machine, _)| machine.clone()).collect();
        for machine in machines {
            if self.routings.contains_key(&machine) || !self.faults.is_empty() {
                continue;
            }
            let versions: Vec<GraphVersion> = self.versions(machine.as_str()).collect();
            match versions.as_slice() {
                [version] => {
                    let routing = Routing::sole(machine.as_str(), *version);
                    self.routings.insert(machine, routing);
                }
                _ => {
                    let message = format!(
                        "{machine} has {} versions and no routing, expected a resource with Metadata.StateMachineRouting",
                        versions.len()
                    );
                    let position = versions
                        .first()
                        .map(|version| self.places[&(machine.clone(), *version)]);
                    self.faults.push(Fault::new(
                        position.unwrap_or(Position::START),
                        TemplateRule::NoRouting,
                        message,
                    ));
                }
            }
        }
        if self.faults.is_empty() {
            Ok(Template {
                graphs: self.graphs,
                routings: self.routings,
            })
        } else {
            Err(self.faults)
        }
    }
}

/// The reader's words for shapes, in the words of who writes templates.
fn plain(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once(", expected ") else {
        return message.to_owned();
    };
    let expected = match expected {
        "i64" | "u32" => "a whole number",
        "a sequence" => "a list",
        "a string" => "text",
        shape if shape.starts_with("struct ") || shape == "a map" => "a mapping",
        other => other,
    };
    format!("{found}, expected {expected}")
}

/// Refuses tags, nulls and scalars that YAML 1.1 and 1.2 read differently, at any depth.
fn refuse_ambiguity(node: &Node, faults: &mut Vec<Fault>) {
    if let Some(tag) = &node.tag {
        faults.push(Fault::new(
            node.position,
            TemplateRule::TagInGraph,
            format!("the tag {tag}, expected plain data without intrinsic functions"),
        ));
        return;
    }
    match &node.content {
        Content::Scalar(text, is_plain) => {
            let refusal = is_plain.then(|| scalar::refuse(text)).flatten();
            faults.extend(refusal.map(|(rule, message)| Fault::new(node.position, rule, message)));
        }
        Content::List(items) => items.iter().for_each(|item| refuse_ambiguity(item, faults)),
        Content::Map(entries) => {
            for (key, value) in entries {
                refuse_ambiguity(key, faults);
                refuse_ambiguity(value, faults);
            }
        }
    }
}
