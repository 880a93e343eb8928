//! Entering a state: the log row, the effects with what they are told, the deadline, and what happens by itself.

use std::collections::{BTreeMap, BTreeSet};

use chrono::SubsecRound;

use super::Instance;
use crate::{
    Actor, Argument, ArmedDeadline, Change, Condition, Deadline, Edge, EffectDefinition, EffectName, Event, EventName,
    FieldValue, Fields, Graph, RequestedEffect, State, Timestamp, Transition,
};

impl Instance {
    /// The log row of entering a state by an event.
    pub(super) fn enter(&self, graph: &Graph, target: &State, event: Event, now: Timestamp) -> Transition {
        let at = now.trunc_subsecs(6);
        let deadline = self.armed(graph, target, &event.fields, at);
        Transition {
            order_id: self.id,
            revision: self.revision.next(),
            change: Change::Moved,
            effects: self.effects(graph, target, &event.fields),
            event: event.name,
            key: event.key,
            actor: event.actor,
            from: Some(self.state.clone()),
            to: target.name.clone(),
            rank: target.rank,
            fields: event.fields,
            inferred: event.inferred,
            occurred_at: event.occurred_at.trunc_subsecs(6),
            at,
            deadline,
        }
    }

    /// The deadline of this order, had it come to a state at `entered_at`.
    pub(crate) fn deadline(&self, graph: &Graph, state: &State, entered_at: Timestamp) -> Option<ArmedDeadline> {
        self.armed(graph, state, &Fields::new(), entered_at)
    }

    fn armed(&self, graph: &Graph, state: &State, brought: &Fields, at: Timestamp) -> Option<ArmedDeadline> {
        let deadline = state.deadline.as_ref().filter(|deadline| !deadline.is_immediate())?;
        Some(ArmedDeadline {
            event: deadline.event.clone(),
            at: self.due(graph, deadline, brought, at),
        })
    }

    /// When a deadline is due: counted from its field where the order knows it, else after its fixed time.
    fn due(&self, graph: &Graph, deadline: &Deadline, brought: &Fields, at: Timestamp) -> Timestamp {
        let counted = deadline.from.as_ref().and_then(|name| {
            let field = graph.fields().get(name)?;
            field.due(self.know(brought, name)?, at)
        });
        let fixed = || at.checked_add_signed(deadline.after).unwrap_or(Timestamp::MAX_UTC);
        counted.map_or_else(fixed, |due| due.trunc_subsecs(6))
    }

    /// What must follow on entry, with what takes back earlier effects first, the newest before the older.
    fn effects(&self, graph: &Graph, target: &State, brought: &Fields) -> Vec<RequestedEffect> {
        let mut names: Vec<EffectName> = if target.compensates {
            self.inverses(graph)
        } else {
            Vec::new()
        };
        names.extend(target.on_enter.iter().cloned());
        let mut seen = BTreeSet::new();
        names.retain(|name| seen.insert(name.clone()));
        let defined = names.iter().filter_map(|name| graph.effects().get(name));
        defined
            .map(|effect| self.request(graph, target, effect, brought))
            .collect()
    }

    /// The inverses of all effects that entering states so far has asked for, but those that were asked for already.
    fn inverses(&self, graph: &Graph) -> Vec<EffectName> {
        let visited = graph.states().filter(|state| self.visited.contains(&state.name));
        let asked: Vec<&EffectName> = visited.flat_map(|state| &state.on_enter).collect();
        let inverse = |name: &&EffectName| graph.effects().get(*name)?.inverse.clone();
        let mut inverses: Vec<EffectName> = asked.iter().filter_map(inverse).collect();
        inverses.retain(|name| !asked.contains(&name));
        inverses.reverse();
        inverses
    }

    fn request(&self, graph: &Graph, target: &State, effect: &EffectDefinition, brought: &Fields) -> RequestedEffect {
        let told = |argument: &Argument| match argument {
            Argument::Value(value) => Some(value.clone()),
            Argument::Field(name) => self.know(brought, name).cloned(),
            Argument::Property(name) => self.property(graph, target, name),
        };
        let arguments: BTreeMap<String, FieldValue> = effect
            .arguments
            .iter()
            .filter_map(|(key, argument)| Some((key.clone(), told(argument)?)))
            .collect();
        RequestedEffect {
            name: effect.name.clone(),
            task: effect.task.clone(),
            arguments,
        }
    }

    fn property(&self, graph: &Graph, target: &State, name: &str) -> Option<FieldValue> {
        Some(match name {
            "id" => self.id.to_string().into(),
            "state" => target.name.as_str().into(),
            "machine" => graph.machine().as_str().into(),
            "version" => i64::from(self.graph_version.0).into(),
            "sequence" => self.revision.next().0.into(),
            _ => return None,
        })
    }

    /// The first condition of an edge that does not hold.
    pub(super) fn unmet<'e>(&self, edge: &'e Edge, brought: &Fields) -> Option<&'e Condition> {
        edge.when
            .iter()
            .find(|condition| !condition.holds(|name| self.know(brought, name), &self.visited))
    }

    /// The transition that happens by itself where this order has just come to.
    pub(super) fn follow(&self, graph: &Graph, last: &Transition, now: Timestamp) -> Option<Transition> {
        let state = graph.state(self.state.as_str())?;
        let (event, edge, fields) = self.automatic(state)?;
        let event = Event {
            key: format!("{}/{event}", last.key),
            name: event,
            actor: Actor::system(),
            fields,
            inferred: false,
            occurred_at: now,
        };
        Some(self.enter(graph, target(graph, edge), event, now))
    }

    /// The first automatic event whose guard holds, else the deadline that is due at once; with what its edge brings.
    fn automatic<'g>(&self, state: &'g State) -> Option<(EventName, &'g Edge, Fields)> {
        let immediate = state.deadline.as_ref().filter(|deadline| deadline.is_immediate());
        let mut events = state.automatic.iter().chain(immediate.map(|deadline| &deadline.event));
        events.find_map(|event| {
            let edge = state.edges.get(event)?;
            let mut fields = Fields::new();
            self.bring(edge, &mut fields);
            self.unmet(edge, &fields)
                .is_none()
                .then_some((event.clone(), edge, fields))
        })
    }
}

pub(super) fn target<'a>(graph: &'a Graph, edge: &Edge) -> &'a State {
    graph
        .state(edge.to.as_str())
        .expect("an edge of a checked graph leads to one of its states")
}
