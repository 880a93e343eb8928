//! What an event means in a state that it does not lead out of: what the graph says, else what follows from the ranks.

use super::Instance;
use crate::{Disposition, Edge, Event, Graph, Refusal, State};

impl Instance {
    /// Why an event without an edge from the present state does not move the order.
    pub(super) fn refuse(&self, graph: &Graph, event: Event) -> Refusal {
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
        let said = graph
            .state(self.state.as_str())
            .and_then(|state| state.otherwise.get(&event.name));
        match said {
            Some(said) => self.refuse_as(*said, graph, &edges, event),
            None => self.refuse_by_history(graph, &edges, event),
        }
    }

    /// What the graph says of this event in this state.
    fn refuse_as(&self, said: Disposition, graph: &Graph, edges: &[(&State, &Edge)], event: Event) -> Refusal {
        let (state, event) = (self.state.clone(), event.name);
        let ahead = |(from, _): &&(&State, &Edge)| graph.leads_to(self.state.as_str(), from.name.as_str());
        match said {
            Disposition::Note => Refusal::Noted { state, event },
            Disposition::Duplicate => Refusal::Duplicate { state, event },
            Disposition::Operator => Refusal::ForOperator { state, event },
            Disposition::Stale => match edges.first() {
                Some((_, edge)) => Refusal::Stale {
                    target: edge.to.clone(),
                    state,
                    event,
                },
                None => Refusal::UnknownEvent { event },
            },
            Disposition::Park(_) => match edges.iter().find(ahead) {
                Some((from, edge)) => Refusal::Early {
                    expected: from.name.clone(),
                    target: edge.to.clone(),
                    state,
                    event,
                },
                None => Refusal::Contradiction { state, event },
            },
            Disposition::Conflict | Disposition::Move => Refusal::Contradiction { state, event },
        }
    }

    /// What follows from where the order has been and where it can still go.
    fn refuse_by_history(&self, graph: &Graph, edges: &[(&State, &Edge)], event: Event) -> Refusal {
        let (state, role) = (self.state.clone(), event.actor.role);
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
