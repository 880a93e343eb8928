//! The delivery order as the graph sees it: where it stands, what it knows, what may follow.

use std::collections::BTreeSet;

use chrono::SubsecRound;

use crate::{
    Actor, ArmedDeadline, Change, Edge, Event, FieldValue, Fields, Graph, GraphVersion, OrderId, Refusal, Revision,
    State, StateName, Timestamp, Transition,
};

/// Where a delivery order stands, and which graph version it obeys for life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryOrder {
    /// Its id.
    pub id: OrderId,
    /// The version it was born with.
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

impl DeliveryOrder {
    /// A new order in the graph's initial state, and the first row of its log.
    pub fn born(id: OrderId, graph: &Graph, event: Event, now: Timestamp) -> (Self, Transition) {
        let initial = graph.initial();
        let step = Step {
            order_id: id,
            revision: Revision(1),
            change: Change::Born,
            from: None,
        };
        let birth = step.into(initial, event, now);
        (Self::beginning_with(&birth, graph.version()), birth)
    }

    /// Decides what `event` means for this order. Nothing is written, sent or timed here.
    ///
    /// More than one transition follows where the state entered hands on at once: each is a log row of its own.
    pub fn decide(&self, graph: &Graph, event: Event, now: Timestamp) -> Result<Vec<Transition>, Refusal> {
        let Some(edge) = graph.edge(self.state.as_str(), event.name.as_str()) else {
            return Err(self.refuse(graph, event));
        };
        self.accept(graph, edge, &event)?;
        let mut transitions = vec![
            self.step(self.revision, &self.state)
                .into(target(graph, edge), event, now),
        ];
        while let Some(following) = follow(graph, &transitions, now) {
            transitions.push(following);
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
        self.visited.insert(transition.to.clone());
        for (name, value) in &transition.fields {
            self.fields.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }

    /// Rebuilds an order from its log; none if the log does not begin with a birth.
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

    fn step(&self, revision: Revision, from: &StateName) -> Step {
        Step {
            order_id: self.id,
            revision: revision.next(),
            change: Change::Moved,
            from: Some(from.clone()),
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
        let is_told = |value: &FieldValue| value.as_text().is_none_or(|text| !text.trim().is_empty());
        let is_missing = |name: &&_| {
            let told = [event.fields.get(*name), self.fields.get(*name)];
            !told.into_iter().flatten().any(is_told)
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
        let is_bad = |(name, value): &(&_, &FieldValue)| !graph.fields()[*name].accepts(value);
        match event.fields.iter().find(is_bad) {
            Some((name, _)) => Err(Refusal::BadField {
                field: name.clone(),
                expected: graph.fields()[name].expected(),
            }),
            None => Ok(()),
        }
    }

    /// Why an event without an edge from the present state does not move the order.
    fn refuse(&self, graph: &Graph, event: Event) -> Refusal {
        let edges: Vec<(&State, &Edge)> = graph.edges(event.name.as_str()).collect();
        if edges.is_empty() {
            return Refusal::UnknownEvent { event: event.name };
        }
        let role = event.actor.role;
        if !edges.iter().any(|(_, edge)| edge.actors.contains(&role)) {
            return Refusal::WrongActor {
                role,
                event: event.name,
            };
        }
        let state = self.state.clone();
        if edges.iter().any(|(_, edge)| edge.to == state) {
            return Refusal::Duplicate {
                state,
                event: event.name,
            };
        }
        if let Some((_, edge)) = edges.iter().find(|(_, edge)| self.visited.contains(&edge.to)) {
            return Refusal::Stale {
                state,
                event: event.name,
                target: edge.to.clone(),
            };
        }
        // Only an edge that this reporter may take later is worth waiting for.
        let is_ahead = |(from, edge): &&(&State, &Edge)| {
            edge.actors.contains(&role) && graph.leads_to(self.state.as_str(), from.name.as_str())
        };
        match edges.iter().find(is_ahead) {
            Some((from, edge)) => Refusal::Early {
                state,
                event: event.name,
                expected: from.name.clone(),
                target: edge.to.clone(),
            },
            None => Refusal::Contradiction {
                state,
                event: event.name,
            },
        }
    }
}

/// A log row to be: everything that does not depend on where it leads.
struct Step {
    order_id: OrderId,
    revision: Revision,
    change: Change,
    from: Option<StateName>,
}

impl Step {
    fn into(self, target: &State, event: Event, now: Timestamp) -> Transition {
        let at = now.trunc_subsecs(6);
        let deadline = target.deadline.as_ref().filter(|deadline| !deadline.is_immediate());
        Transition {
            order_id: self.order_id,
            revision: self.revision,
            change: self.change,
            event: event.name,
            key: event.key,
            actor: event.actor,
            from: self.from,
            to: target.name.clone(),
            rank: target.rank,
            fields: event.fields,
            inferred: event.inferred,
            occurred_at: event.occurred_at.trunc_subsecs(6),
            at,
            effects: target.on_enter.clone(),
            deadline: deadline.map(|deadline| ArmedDeadline {
                event: deadline.event.clone(),
                at: at.checked_add_signed(deadline.after).unwrap_or(Timestamp::MAX_UTC),
            }),
        }
    }
}

/// The transition that the newest one entails, if its state hands on at once. Ends because ranks rise.
fn follow(graph: &Graph, transitions: &[Transition], now: Timestamp) -> Option<Transition> {
    let last = transitions.last()?;
    let state = graph.state(last.to.as_str())?;
    let deadline = state.deadline.as_ref().filter(|deadline| deadline.is_immediate())?;
    let edge = state.edges.get(&deadline.event)?;
    let event = Event {
        name: deadline.event.clone(),
        key: format!("{}/{}", last.key, deadline.event),
        actor: Actor::system(),
        fields: Fields::new(),
        inferred: false,
        occurred_at: now,
    };
    let step = Step {
        order_id: last.order_id,
        revision: last.revision.next(),
        change: Change::Moved,
        from: Some(state.name.clone()),
    };
    Some(step.into(target(graph, edge), event, now))
}

fn target<'a>(graph: &'a Graph, edge: &Edge) -> &'a State {
    graph
        .state(edge.to.as_str())
        .expect("an edge of a checked graph leads to one of its states")
}
