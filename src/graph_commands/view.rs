//! A graph as other programs see it.

use serde::Serialize;
use waybill_domain::{
    EffectName, EventName, FieldName, Graph, GraphVersion, Kind, MachineName, Outcome, Role, State, StateName,
};

use crate::template::{Published, Template};

/// One version of a machine's graph, with its place in the routing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GraphView {
    /// Which machine.
    pub machine: MachineName,
    /// Which version.
    pub version: GraphVersion,
    /// What it is about.
    pub summary: String,
    /// SHA-256 of its canonical JSON.
    pub sha256: String,
    /// Whether orders may still be on it.
    pub live: bool,
    /// Per cent of new orders that are born with it.
    pub weight: u32,
    /// The state that orders are born in.
    pub initial: StateName,
    /// By rank, then by name.
    pub states: Vec<StateView>,
}

/// A state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StateView {
    /// Its name.
    pub name: StateName,
    /// Length of the longest way from the initial state.
    pub rank: u32,
    /// What it means.
    pub kind: Kind,
    /// How an order ended that ends here.
    pub outcome: Option<Outcome>,
    /// What an order must know to be here.
    pub requires: Vec<FieldName>,
    /// Effects of entering, in order.
    pub on_enter: Vec<EffectName>,
    /// What happens by itself.
    pub deadline: Option<DeadlineView>,
    /// Ways out, by event.
    pub transitions: Vec<EdgeView>,
}

/// An event that happens by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadlineView {
    /// ISO 8601 duration, as the template writes it.
    pub after: String,
    /// Which event.
    pub event: EventName,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EdgeView {
    /// The event that takes it.
    pub event: EventName,
    /// Where it leads.
    pub to: StateName,
    /// Who may report the event.
    pub roles: Vec<Role>,
    /// What the order must know then.
    pub requires: Vec<FieldName>,
    /// What of that a caller brings.
    pub asks: Vec<FieldName>,
}

impl GraphView {
    /// The view of a published graph.
    pub fn of(template: &Template, published: &Published) -> Self {
        let graph = published.graph();
        let routing = template.routing(graph.machine().as_str());
        let version = graph.version();
        let share = routing.and_then(|routing| routing.active.iter().find(|share| share.version == version));
        Self {
            machine: graph.machine().clone(),
            version,
            summary: graph.document().summary.clone(),
            sha256: published.sha256().to_owned(),
            live: routing.is_some_and(|routing| routing.live.contains(&version)),
            weight: share.map_or(0, |share| share.weight),
            initial: graph.initial().name.clone(),
            states: graph.states().map(|state| StateView::of(graph, state)).collect(),
        }
    }
}

impl StateView {
    fn of(graph: &Graph, state: &State) -> Self {
        let written = graph
            .document()
            .states
            .get(state.name.as_str())
            .and_then(|state| state.deadline.as_ref());
        let deadline = written.map(|deadline| DeadlineView {
            after: deadline.after.clone(),
            event: deadline.event.as_str().into(),
        });
        let transitions = state.edges.values().map(|edge| EdgeView {
            event: edge.event.clone(),
            to: edge.to.clone(),
            roles: edge.actors.iter().copied().collect(),
            requires: edge.requires.clone(),
            asks: edge.asks().to_vec(),
        });
        Self {
            name: state.name.clone(),
            rank: state.rank,
            kind: state.kind,
            outcome: state.outcome,
            requires: state.requires.clone(),
            on_enter: state.on_enter.clone(),
            deadline,
            transitions: transitions.collect(),
        }
    }
}
