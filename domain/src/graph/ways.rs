//! Ways: every path from birth to an end, counted before they are walked, and what must be reported to walk one.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::{Condition, Edge, Field, FieldSource, FieldType, Graph, State};
use crate::{Actor, Event, EventName, FieldName, FieldValue, Fields, Instance, OrderId, Role, StateName, Timestamp};

/// More ways than this are not walked one by one.
pub const MOST_WAYS: u64 = 100_000;

/// A path from the initial state to an end: the states left, each with the edge taken.
pub type Way<'g> = Vec<(&'g State, &'g Edge)>;

/// One report on a way, and the states that it leads through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// Which event.
    pub event: EventName,
    /// Who may report it.
    pub role: Role,
    /// What it brings; not what the engine fills.
    pub fields: Fields,
    /// Where it leads, and where that hands on to at once.
    pub states: Vec<StateName>,
}

impl Graph {
    /// How many ways lead from birth to an end; at `u64::MAX` it stops counting.
    pub fn count_ways(&self) -> u64 {
        let mut ways: BTreeMap<&str, u64> = BTreeMap::new();
        // Ranks rise on every edge: what a state leads to is counted before the state.
        for state in self.states.iter().rev() {
            let sum = |sum: u64, edge: &Edge| sum.saturating_add(ways[edge.to.as_str()]);
            let count = if state.is_terminal() {
                1
            } else {
                state.edges.values().fold(0, sum)
            };
            ways.insert(state.name.as_str(), count);
        }
        ways[self.initial().name.as_str()]
    }

    /// Every way, by the names of its events; none of them if there are more than [`MOST_WAYS`].
    ///
    /// Guards are not looked at: a way may ask for data that no one order has.
    pub fn ways(&self) -> Vec<Way<'_>> {
        let mut ways = Vec::new();
        if self.count_ways() <= MOST_WAYS {
            self.walk(self.initial(), &mut Vec::new(), &mut ways);
        }
        ways
    }

    /// How long an order takes that always waits for the deadline, on the slowest way; none where it may wait for somebody for ever.
    pub fn longest_wait(&self) -> Option<TimeDelta> {
        let mut waits: BTreeMap<&str, Option<TimeDelta>> = BTreeMap::new();
        for state in self.states.iter().rev() {
            let after = state.edges.values().map(|edge| waits[edge.to.as_str()]);
            let longest = after.reduce(|a, b| Some(a?.max(b?))).unwrap_or(Some(TimeDelta::zero()));
            let own = match &state.deadline {
                _ if state.is_terminal() || state.is_passed() => Some(TimeDelta::zero()),
                deadline => deadline.as_ref().map(|deadline| deadline.after),
            };
            waits.insert(
                state.name.as_str(),
                longest.zip(own).map(|(longest, own)| longest + own),
            );
        }
        waits[self.initial().name.as_str()]
    }

    /// What has to be reported for an order to take exactly this way; none if no order can, or none that this finds.
    ///
    /// Text that it makes up begins with `salt`, so that two orders need not share a number.
    pub fn plan(&self, way: &[(&State, &Edge)], salt: &str) -> Option<Vec<Stop>> {
        let now = Timestamp::UNIX_EPOCH;
        let event = |name: &EventName, role, fields| Event {
            name: name.clone(),
            key: name.to_string(),
            actor: Actor {
                role,
                id: salt.to_owned(),
            },
            fields,
            inferred: false,
            occurred_at: now,
        };
        let birth = event(&"BORN".into(), Role::System, Fields::new());
        let (mut order, _) = Instance::born(OrderId(uuid::Uuid::nil()), self, birth, now);
        let mut stops = Vec::new();
        let mut rest = way;
        while let Some((_, edge)) = rest.first() {
            let handed_on = rest[1..]
                .iter()
                .take_while(|(state, edge)| happens_by_itself(state, edge))
                .count();
            let fields = self.fields_for(&order, &rest[..=handed_on], salt);
            let role = edge.actors.iter().copied().find(|role| *role != Role::System);
            let role = role.or_else(|| edge.actors.first().copied())?;
            let transitions = order.decide(self, event(&edge.event, role, fields.clone()), now).ok()?;
            let states: Vec<StateName> = transitions.iter().map(|transition| transition.to.clone()).collect();
            let expected = rest[..=handed_on].iter().map(|(_, edge)| &edge.to);
            if !states.iter().eq(expected) {
                return None;
            }
            transitions.iter().for_each(|transition| order.apply(transition));
            let is_reported = |name: &FieldName| self.fields[name].source == FieldSource::Event;
            stops.push(Stop {
                event: edge.event.clone(),
                role,
                fields: fields.into_iter().filter(|(name, _)| is_reported(name)).collect(),
                states,
            });
            rest = &rest[handed_on + 1..];
        }
        Some(stops)
    }

    /// What an event has to bring, so that its edge is taken and those after it happen by themselves.
    fn fields_for(&self, order: &Instance, edges: &[(&State, &Edge)], salt: &str) -> Fields {
        let mut fields = Fields::new();
        for (_, edge) in edges {
            for condition in &edge.when {
                let Some(field) = condition.field().and_then(|name| self.fields.get(name)) else {
                    continue;
                };
                let value = fulfil(condition, field, salt);
                fields.extend(value.map(|value| (field.name.clone(), value)));
            }
            for name in &edge.requires {
                let field = &self.fields[name];
                let brings = !order.fields.contains_key(name) && !edge.sets.contains_key(name);
                if brings && !fields.contains_key(name) {
                    fields.insert(name.clone(), field.sample(salt));
                }
            }
        }
        fields
    }

    fn walk<'g>(&'g self, state: &'g State, way: &mut Way<'g>, ways: &mut Vec<Way<'g>>) {
        if state.is_terminal() {
            ways.push(way.clone());
            return;
        }
        for edge in state.edges.values() {
            let next = self
                .state(edge.to.as_str())
                .expect("an edge leads to a state of the graph");
            way.push((state, edge));
            self.walk(next, way, ways);
            way.pop();
        }
    }
}

fn happens_by_itself(state: &State, edge: &Edge) -> bool {
    let immediate = state.deadline.as_ref().filter(|deadline| deadline.is_immediate());
    state.automatic.contains(&edge.event) || immediate.is_some_and(|deadline| deadline.event == edge.event)
}

/// A value of the field with which the condition holds.
fn fulfil(condition: &Condition, field: &Field, salt: &str) -> Option<FieldValue> {
    match condition {
        Condition::Known(_, false) | Condition::Been(..) => None,
        Condition::Known(_, true) => Some(field.sample(salt)),
        Condition::AnyOf(_, values) => values.first().cloned(),
        Condition::Between(_, low, high) => match field.kind {
            FieldType::Integer { minimum, maximum } => Some((*low).max(minimum).min((*high).min(maximum)).into()),
            _ => None,
        },
        Condition::Not(_, other) => match &field.kind {
            FieldType::Words(words) => words.iter().map(|word| word.as_str().into()).find(|word| word != other),
            FieldType::Flag => Some((*other != FieldValue::Flag(true)).into()),
            _ => Some(field.sample(salt)).filter(|value| value != other),
        },
    }
}

impl Field {
    /// Some value that the field may hold.
    fn sample(&self, salt: &str) -> FieldValue {
        match &self.kind {
            FieldType::Text { max_length } => salt.chars().take(*max_length).collect::<String>().into(),
            FieldType::Uuid => uuid::Uuid::nil().to_string().into(),
            FieldType::Words(words) => words.first().map_or("", String::as_str).into(),
            FieldType::Integer { minimum, maximum } => 0.clamp(*minimum, *maximum).into(),
            FieldType::Flag => true.into(),
            FieldType::Instant => Timestamp::UNIX_EPOCH.to_rfc3339().into(),
            FieldType::Duration => "PT1H".into(),
        }
    }
}
