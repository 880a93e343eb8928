//! An instance of a machine as its graph sees it: where it stands, what it knows, what may follow.

mod refuse;
mod step;

use std::collections::BTreeSet;

use chrono::SubsecRound;

use crate::{
    Change, Edge, Event, FieldName, FieldValue, Fields, Graph, GraphVersion, OrderId, Refusal, Revision, StateName,
    Timestamp, Transition,
};

/// Where an instance of a machine stands, and which graph version it obeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its id.
    pub id: OrderId,
    /// The version it was born with, or was migrated to since.
    pub graph_version: GraphVersion,
    /// Where it is.
    pub state: StateName,
    /// Rank of that state.
    pub rank: u32,
    /// Sequence of its newest log row.
    pub revision: Revision,
    /// Every state it has been in, the present one included.
    pub visited: BTreeSet<StateName>,
    /// What its events brought so far; a field keeps its first value.
    pub fields: Fields,
}

/// An instance of the machine `delivery-order`.
pub type DeliveryOrder = Instance;

impl Instance {
    /// A new order in the graph's initial state, and the first row of its log.
    pub fn born(id: OrderId, graph: &Graph, event: Event, now: Timestamp) -> (Self, Transition) {
        let initial = graph.initial();
        let unborn = Self {
            id,
            graph_version: graph.version(),
            state: initial.name.clone(),
            rank: initial.rank,
            revision: Revision(0),
            visited: BTreeSet::new(),
            fields: Fields::new(),
        };
        let mut birth = unborn.enter(graph, initial, event, now);
        birth.change = Change::Born;
        birth.from = None;
        (Self::beginning_with(&birth, graph.version()), birth)
    }

    /// Decides what `event` means for this order. Nothing is written, sent or timed here.
    ///
    /// More than one transition follows where the state entered hands on at once: each is a log row of its own.
    pub fn decide(&self, graph: &Graph, mut event: Event, now: Timestamp) -> Result<Vec<Transition>, Refusal> {
        let Some(edge) = graph.edge(self.state.as_str(), event.name.as_str()) else {
            return Err(self.refuse(graph, event));
        };
        self.bring(edge, &mut event.fields);
        self.accept(graph, edge, &event)?;
        let mut transitions = vec![self.enter(graph, step::target(graph, edge), event, now)];
        let mut order = self.clone();
        // Ends because ranks rise.
        while let Some(last) = transitions.last() {
            order.apply(last);
            match order.follow(graph, last, now) {
                Some(following) => transitions.push(following),
                None => break,
            }
        }
        Ok(transitions)
    }

    /// Records an event that does not move the order: no effects, and the present deadline stays.
    pub fn note(&self, event: Event, now: Timestamp) -> Transition {
        Transition {
            order_id: self.id,
            revision: self.revision.next(),
            change: Change::Noted,
            event: event.name,
            key: event.key,
            actor: event.actor,
            from: Some(self.state.clone()),
            to: self.state.clone(),
            rank: self.rank,
            fields: event.fields,
            inferred: event.inferred,
            occurred_at: event.occurred_at.trunc_subsecs(6),
            at: now.trunc_subsecs(6),
            effects: Vec::new(),
            deadline: None,
        }
    }

    /// Takes a decided transition. Holds no rules, so replaying the log rebuilds the order.
    pub fn apply(&mut self, transition: &Transition) {
        self.state = transition.to.clone();
        self.rank = transition.rank;
        self.revision = transition.revision;
        if transition.change == Change::Migrated {
            self.apply_migration(transition);
            return;
        }
        self.visited.insert(transition.to.clone());
        for (name, value) in &transition.fields {
            self.fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Rebuilds an order, born on that version, from its log; none if the log does not begin with a birth.
    pub fn replay<'a>(log: impl IntoIterator<Item = &'a Transition>, graph_version: GraphVersion) -> Option<Self> {
        let mut log = log.into_iter();
        let birth = log.next().filter(|first| first.change == Change::Born)?;
        let mut order = Self::beginning_with(birth, graph_version);
        for transition in log {
            order.apply(transition);
        }
        Some(order)
    }

    fn beginning_with(birth: &Transition, graph_version: GraphVersion) -> Self {
        let mut order = Self {
            id: birth.order_id,
            graph_version,
            state: birth.to.clone(),
            rank: birth.rank,
            revision: birth.revision,
            visited: BTreeSet::new(),
            fields: Fields::new(),
        };
        order.apply(birth);
        order
    }

    /// What is known of a field while an event is taken: the first value stays.
    fn know<'a>(&'a self, brought: &'a Fields, name: &FieldName) -> Option<&'a FieldValue> {
        self.fields.get(name).or_else(|| brought.get(name))
    }

    /// Adds what the edge itself brings, where nobody else does.
    fn bring(&self, edge: &Edge, fields: &mut Fields) {
        for (name, value) in &edge.sets {
            if !self.fields.contains_key(name) {
                fields.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
    }

    /// Whether this reporter may take the edge with these fields.
    fn accept(&self, graph: &Graph, edge: &Edge, event: &Event) -> Result<(), Refusal> {
        if !edge.actors.contains(&event.actor.role) {
            return Err(Refusal::WrongActor {
                role: event.actor.role,
                event: event.name.clone(),
            });
        }
        let is_missing = |name: &&_| {
            let told = [event.fields.get(*name), self.fields.get(*name)];
            !told.into_iter().flatten().any(FieldValue::says_something)
        };
        if let Some(field) = edge.requires.iter().find(is_missing) {
            return Err(Refusal::MissingField {
                field: field.clone(),
                event: event.name.clone(),
            });
        }
        if let Some(name) = event.fields.keys().find(|name| !graph.fields().contains_key(*name)) {
            return Err(Refusal::UnknownField { field: name.clone() });
        }
        for (name, value) in &event.fields {
            let field = &graph.fields()[name];
            let expected = if !edge.takes(name) {
                format!("left out, {} does not take it", event.name)
            } else if !field.accepts(value) {
                field.expected()
            } else {
                continue;
            };
            return Err(Refusal::BadField {
                field: name.clone(),
                expected,
            });
        }
        match self.unmet(edge, &event.fields) {
            Some(condition) => Err(Refusal::GuardNotMet {
                state: self.state.clone(),
                event: event.name.clone(),
                condition: condition.clone(),
            }),
            None => Ok(()),
        }
    }
}
