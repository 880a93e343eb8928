//! Live orders on their way to another version of their graph: who may move, and what becomes of state, history and deadline.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use chrono::SubsecRound as _;

use crate::{
    Actor, ArmedDeadline, Change, Fields, Graph, GraphVersion, Instance, Passage, State, StateName, Timestamp,
    Transition,
};

/// The event of the log row that moves an order to another version.
const EVENT: &str = "GRAPH_MIGRATED";
/// Fields of that row. They say what happened to the order's graph, and are nothing that the order knows.
const FROM: &str = "from_version";
const TO: &str = "to_version";
const STATES: &str = "states";

/// States that another version calls otherwise. Whoever is, or has been, in the old one is or has been in the new one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StateMapping(BTreeMap<StateName, StateName>);

impl StateMapping {
    /// What the other version calls a state.
    pub fn of<'a>(&'a self, state: &'a StateName) -> &'a StateName {
        self.0.get(state).unwrap_or(state)
    }

    /// Whether somebody has said what becomes of a state.
    pub fn names(&self, state: &StateName) -> bool {
        self.0.contains_key(state)
    }

    /// `OLD=NEW, …`, as it displays itself.
    pub(crate) fn parse(text: &str) -> Self {
        let pair = |pair: &str| pair.split_once('=').map(|(old, new)| (old.into(), new.into()));
        text.split(", ").filter_map(pair).collect()
    }
}

impl FromIterator<(StateName, StateName)> for StateMapping {
    fn from_iter<I: IntoIterator<Item = (StateName, StateName)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl fmt::Display for StateMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<String> = self.0.iter().map(|(old, new)| format!("{old}={new}")).collect();
        f.write_str(&pairs.join(", "))
    }
}

/// Why no order at all can move so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrationError {
    /// The versions are the same one, or of different machines.
    #[error("{0} version {1} and {2} version {3} are not two versions of one machine")]
    NotTwoVersions(String, GraphVersion, String, GraphVersion),
    /// The mapping names a state that a version does not have.
    #[error("version {version} has no state {state}")]
    UnknownState {
        /// Which version.
        version: GraphVersion,
        /// The name that was given.
        state: StateName,
    },
}

/// The way from one version of a machine to another one, for every live order that is pinned to the first.
#[derive(Debug, Clone)]
pub struct Migration {
    from: Arc<Graph>,
    to: Arc<Graph>,
    mapping: StateMapping,
    passages: BTreeMap<StateName, Passage>,
}

impl Migration {
    /// Plans the way. What holds for every order in a state is found out here, what depends on an order in [`Self::decide`].
    pub fn plan(from: Arc<Graph>, to: Arc<Graph>, mapping: StateMapping) -> Result<Self, MigrationError> {
        if from.machine() != to.machine() || from.version() == to.version() {
            let (older, newer) = (from.machine().to_string(), to.machine().to_string());
            return Err(MigrationError::NotTwoVersions(
                older,
                from.version(),
                newer,
                to.version(),
            ));
        }
        for (old, new) in &mapping.0 {
            for (graph, state) in [(&from, old), (&to, new)] {
                if graph.state(state.as_str()).is_none() {
                    let (version, state) = (graph.version(), state.clone());
                    return Err(MigrationError::UnknownState { version, state });
                }
            }
        }
        let passages = from.passages(&to, &mapping);
        let passages = passages.into_iter().map(|it| (it.state.clone(), it)).collect();
        Ok(Self {
            from,
            to,
            mapping,
            passages,
        })
    }

    /// The version that orders leave.
    pub fn from(&self) -> &Arc<Graph> {
        &self.from
    }

    /// The version that they move to.
    pub fn to(&self) -> &Arc<Graph> {
        &self.to
    }

    /// Where an order in that state will stand.
    pub fn target<'a>(&'a self, state: &'a StateName) -> &'a StateName {
        self.mapping.of(state)
    }

    /// What changes for those in a state that move.
    pub fn changes(&self, state: &StateName) -> &[String] {
        self.passages.get(state).map_or(&[], |passage| &passage.changes)
    }

    /// The log row that moves an order, or everything that keeps it where it is.
    ///
    /// `entered_at` is when the order came to where it stands: a deadline that the new version has otherwise counts from
    /// there, and may be due at once. No effect follows: the order entered its state long ago.
    pub fn decide(
        &self,
        order: &Instance,
        armed: Option<&ArmedDeadline>,
        entered_at: Timestamp,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Transition, Vec<String>> {
        let (Some(old), Some(target)) = (
            self.from.state(order.state.as_str()),
            self.to.state(self.target(&order.state).as_str()),
        ) else {
            return Err(vec![format!("{} was removed", order.state)]);
        };
        let passage = self.passages.get(&order.state);
        let mut blockers = passage.map_or_else(Vec::new, |passage| passage.blockers.clone());
        self.check_history(order, target, &mut blockers);
        self.check_knowledge(order, target, &mut blockers);
        if !blockers.is_empty() {
            return Err(blockers);
        }
        let at = now.trunc_subsecs(6);
        let revision = order.revision.next();
        Ok(Transition {
            order_id: order.id,
            revision,
            change: Change::Migrated,
            event: EVENT.into(),
            key: format!("migration:{revision}"),
            actor,
            from: Some(order.state.clone()),
            to: target.name.clone(),
            rank: target.rank,
            fields: self.fields(order),
            inferred: false,
            occurred_at: at,
            at,
            effects: Vec::new(),
            deadline: if old.deadline == target.deadline {
                armed.cloned()
            } else {
                order.deadline(&self.to, target, entered_at)
            },
        })
    }

    /// What the log keeps: both versions, and those of the mapped states that the order has to do with.
    fn fields(&self, order: &Instance) -> Fields {
        let pairs = self.mapping.0.iter().filter(|(old, _)| order.visited.contains(*old));
        let states: StateMapping = pairs.map(|(old, new)| (old.clone(), new.clone())).collect();
        let mut fields = Fields::from([
            (FROM.into(), i64::from(self.from.version().0).into()),
            (TO.into(), i64::from(self.to.version().0).into()),
        ]);
        if !states.0.is_empty() {
            fields.insert(STATES.into(), states.to_string().into());
        }
        fields
    }

    /// Where the order has been must lie behind it in the new version too, and what was done there must be taken back as before.
    fn check_history(&self, order: &Instance, target: &State, blockers: &mut Vec<String>) {
        for before in order.visited.iter().filter(|before| **before != order.state) {
            let name = self.target(before);
            if before == &target.name {
                blockers.push(format!("it was in {before} before"));
            } else if self.to.state(name.as_str()).is_none() {
                blockers.push(format!("it was in {before}, which was removed"));
            } else if self.to.leads_to(target.name.as_str(), name.as_str()) {
                blockers.push(format!("it was in {before}, which lies ahead now"));
            }
        }
        let mut states = self.from.states();
        let compensates =
            |state: &State| state.compensates && self.from.leads_to(order.state.as_str(), state.name.as_str());
        if !states.any(compensates) {
            return;
        }
        for before in self.from.states().filter(|state| order.visited.contains(&state.name)) {
            for effect in &before.on_enter {
                let inverse = |graph: &Graph| graph.effects().get(effect).and_then(|effect| effect.inverse.clone());
                let now = self.to.state(self.target(&before.name).as_str());
                let is_asked = now.is_some_and(|now| now.on_enter.contains(effect));
                if let Some(inverse) =
                    inverse(&self.from).filter(|own| !is_asked || inverse(&self.to).as_ref() != Some(own))
                {
                    blockers.push(format!(
                        "{effect} may be done, and {inverse} would no longer take it back"
                    ));
                }
            }
        }
    }

    /// What the order knows must still be good, and what its state requires must be known.
    fn check_knowledge(&self, order: &Instance, target: &State, blockers: &mut Vec<String>) {
        for (name, value) in &order.fields {
            match self.to.fields().get(name) {
                // What never was a field of the graph is evidence beside it.
                None if self.from.fields().contains_key(name) => {
                    blockers.push(format!("it knows {name}, which was removed"));
                }
                Some(field) if !field.accepts(value) => {
                    blockers.push(format!("its {name} is no longer good"));
                }
                _ => {}
            }
        }
        for field in target
            .requires
            .iter()
            .filter(|field| !order.fields.contains_key(*field))
        {
            blockers.push(format!("{} requires {field}, which it does not know", target.name));
        }
    }
}

impl Instance {
    /// Takes the log row of a migration: version and names are the new ones. What its fields say is nothing that the order knows.
    pub(crate) fn apply_migration(&mut self, transition: &Transition) {
        if let Some(version) = version(&transition.fields, TO) {
            self.graph_version = version;
        }
        let states = transition.fields.get(STATES).and_then(|states| states.as_text());
        let mapping = states.map(StateMapping::parse).unwrap_or_default();
        self.visited = self.visited.iter().map(|state| mapping.of(state).clone()).collect();
    }
}

impl Transition {
    /// The versions that the log row of a migration leads from and to; none for other rows.
    pub fn migrated(&self) -> Option<(GraphVersion, GraphVersion)> {
        let versions = || Some((version(&self.fields, FROM)?, version(&self.fields, TO)?));
        (self.change == Change::Migrated).then(versions).flatten()
    }
}

fn version(fields: &Fields, name: &str) -> Option<GraphVersion> {
    match fields.get(name)? {
        crate::FieldValue::Integer(number) => u32::try_from(*number).ok().map(GraphVersion),
        _ => None,
    }
}
