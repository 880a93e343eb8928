//! What always holds: the invariants of docs/architecture.md, as properties of every state.

use std::collections::BTreeSet;

use stateright::Property;
use waybill_domain::{Change, Graph, GraphVersion, Instance, Kind};

use crate::order::{Order, Shared};
use crate::state::{Answer, At, FactSet, Outcome, Plan, Process, State};
use crate::system::System;

/// What does not hold of one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invariant {
    Log,
    Fold,
    Key,
    Reason,
    Edge,
}

/// Everything that does not hold of an order and its log.
pub(crate) fn broken_by(order: &Order, graph: &Graph) -> Vec<Invariant> {
    let mut broken = Vec::new();
    let mut says = |holds: bool, invariant| {
        if !holds {
            broken.push(invariant);
        }
    };
    let places = order.log.iter().zip(1..);
    let steps = || order.log.iter().zip(order.log.iter().skip(1));
    let gapless = places.clone().all(|(row, place)| row.revision.0 == place);
    let chained = steps().all(|(before, row)| row.from.as_ref() == Some(&before.to));
    let rising = steps().all(|(before, row)| row.change != Change::Moved || row.rank > before.rank);
    says(gapless && chained && rising, Invariant::Log);

    let fold = Instance::replay(&order.log, order.version());
    says(fold.as_ref() == Some(&order.row), Invariant::Fold);

    let keys: BTreeSet<&str> = order.log.iter().map(|row| row.key.as_str()).collect();
    says(keys.len() == order.log.len(), Invariant::Key);

    let mut known = BTreeSet::new();
    let reasoned = order.log.iter().all(|row| {
        known.extend(row.fields.keys());
        let state = graph.state(row.to.as_str());
        state.is_some_and(|state| state.requires.iter().all(|field| known.contains(field)))
    });
    says(reasoned, Invariant::Reason);

    let edges = order.log.iter().filter(|row| row.change == Change::Moved).all(|row| {
        let from = row.from.as_ref().map_or("", |from| from.as_str());
        let edge = graph.edge(from, row.event.as_str());
        edge.is_some_and(|edge| edge.to == row.to && edge.actors.contains(&row.actor.role))
    });
    says(edges, Invariant::Edge);
    broken
}

fn holds(state: &State, invariant: Invariant) -> bool {
    state
        .store
        .orders
        .iter()
        .all(|order| !order.broken.contains(&invariant))
}

/// The invariants, and what the story must show.
pub(crate) fn properties(shows: &[Sight]) -> Vec<Property<System>> {
    let mut all = always();
    all.extend(shows.iter().map(|sight| sight.property()));
    all
}

pub(crate) fn always() -> Vec<Property<System>> {
    vec![
        Property::always(
            "I1 the log is gapless, chained, and its ranks rise",
            |_, state: &State| holds(state, Invariant::Log),
        ),
        Property::always("I2 the row is the fold of the log", |_, state| {
            holds(state, Invariant::Fold)
        }),
        Property::always("I3 what was acknowledged is recorded", acknowledged_is_recorded),
        Property::always("I3 what was told twice is in the log once", |_, state: &State| {
            holds(state, Invariant::Key)
        }),
        Property::always(
            "I3 the effects of every move are recorded, and no others published",
            effects_are_recorded,
        ),
        Property::always(
            "I3 an effect that counts as sent has reached the broker",
            |_, state: &State| {
                let mut sent = state.store.effects.iter().filter(|(_, sent)| *sent);
                sent.all(|(effect, _)| state.tasks.iter().any(|task| task.effect == *effect))
            },
        ),
        Property::always("I3 an effect acts once", |_, state: &State| {
            let distinct: BTreeSet<_> = state.tasks.iter().map(|task| task.effect).collect();
            distinct.len() == state.tasks.len()
        }),
        Property::always(
            "I4 an ordering has one live order, linked with the one before",
            orders_are_linked,
        ),
        Property::always("I5 a state has what it requires", |_, state| {
            holds(state, Invariant::Reason)
        }),
        Property::always("I6 a move is an edge of the order's version", |_, state: &State| {
            holds(state, Invariant::Edge)
        }),
        Property::always(
            "I7 what was answered is in the log where the answer says",
            answers_are_true,
        ),
        Property::always("I8 what was given up is with an operator", given_up_is_with_an_operator),
        Property::always(
            "I8 where nothing more happens, every order has ended or is with an operator",
            is_settled,
        ),
        Property::always(
            "I9 who is born after an activation is born on its version",
            |_, state: &State| {
                let mut later = state.store.orders.iter().filter(|order| order.born_after_activation);
                later.all(|order| order.version() == GraphVersion(2))
            },
        ),
        Property::always("I9 nobody lives on a retired version", |_, state: &State| {
            let mut live = state.store.orders.iter().filter(|order| order.live);
            !state.store.retired || live.all(|order| order.version() == GraphVersion(2))
        }),
        Property::always("I10 effects are first published in their order", |_, state: &State| {
            let mut tasks = state.tasks.iter().enumerate();
            tasks.all(|(place, task)| {
                let before = &state.tasks[..place];
                before
                    .iter()
                    .all(|earlier| earlier.effect.order != task.effect.order || earlier.effect <= task.effect)
            })
        }),
    ]
}

fn acknowledged_is_recorded(system: &System, state: &State) -> bool {
    state.acknowledged.iter().all(|fact| {
        let store = &state.store;
        store.inbox.contains_key(system.key(fact)) || store.quarantine.has(fact) || store.parked.has(fact)
    })
}

fn effects_are_recorded(_: &System, state: &State) -> bool {
    let asked: usize = state
        .store
        .orders
        .iter()
        .flat_map(|order| &order.log)
        .map(|row| row.effects.len())
        .sum();
    let recorded = &state.store.effects;
    let mut published = state.tasks.iter();
    asked == recorded.len() && published.all(|task| recorded.iter().any(|(effect, _)| *effect == task.effect))
}

fn orders_are_linked(_: &System, state: &State) -> bool {
    let orders = &state.store.orders;
    let linked = orders.iter().all(|order| {
        let successor = order.successor.is_none_or(|successor| {
            let found = orders.iter().find(|other| other.number == successor);
            found.is_some_and(|other| other.predecessor == Some(order.number) && other.attempt == order.attempt + 1)
        });
        let predecessor = order.predecessor.is_none_or(|predecessor| {
            let found = orders.iter().find(|other| other.number == predecessor);
            found.is_some_and(|other| other.successor == Some(order.number) && !other.live)
        });
        successor && predecessor
    });
    linked && orders.iter().filter(|order| order.live).count() <= 1
}

fn answers_are_true(system: &System, state: &State) -> bool {
    state.answers.iter().all(|(fact, answer)| {
        let Answer { order, revision } = answer;
        let found = state.store.orders.iter().find(|other| other.number == *order);
        let row = found.and_then(|order| order.log.iter().find(|row| row.revision.0 == *revision));
        // A move that handed on at once is answered with its last row, whose key begins with that of the fact.
        row.is_some_and(|row| row.key.starts_with(system.key(*fact)))
    })
}

fn given_up_is_with_an_operator(_: &System, state: &State) -> bool {
    let store = &state.store;
    store.inbox.values().all(|entry| match entry.outcome {
        Outcome::Contradicts => store.cases.has(entry.fact),
        Outcome::Unresolved => {
            let escalated = |row: &waybill_domain::Transition| row.event == "CALLBACK_UNRESOLVED";
            let moved = store.orders.iter().any(|order| order.log.iter().any(escalated));
            moved || store.cases.has(entry.fact)
        }
        _ => true,
    })
}

fn is_settled(system: &System, state: &State) -> bool {
    !state.is_at_rest()
        || state.store.orders.iter().all(|order| {
            let graph = system.graphs.get(order.version());
            let kind = graph.state(order.row.state.as_str()).map(|state| state.kind);
            matches!(kind, Some(Kind::Terminal | Kind::Attention))
        })
}

/// What must happen somewhere in a story, so that no invariant holds of nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sight {
    /// A writer will find that another was first.
    Losing,
    /// What a process had committed before it died comes again.
    ComesAgain,
    /// The relay publishes what a dead process left.
    LeftToRelay,
    /// What was told before is recognised by its key or by what it says.
    Recognised,
    /// A message whose key was used for something else.
    SetAside,
    /// A callback waits for its turn.
    Parked,
    /// An order of version 1 lives on after the activation of version 2.
    FirstLivesOn,
    /// An order is born of version 2.
    BornOnSecond,
    /// An order has a successor.
    Succeeded,
    /// Nothing more can happen.
    Settled,
}

impl Sight {
    fn property(self) -> Property<System> {
        match self {
            Self::Losing => Property::sometimes("a writer is about to lose", |_, state: &State| {
                let stale = |plan: &Plan| {
                    let now = |read: &Shared<Order>| state.store.orders.iter().find(|it| it.number == read.number);
                    let read = plan.reading.order.as_ref();
                    read.is_some_and(|read| now(read).is_some_and(|now| now.revision() > read.revision()))
                };
                let decided = |process: &Process| matches!(&process.at, At::Decided(plan) if stale(plan));
                state.processes.iter().any(decided)
            }),
            Self::ComesAgain => {
                Property::sometimes("what was committed comes again", |system: &System, state: &State| {
                    let committed = |fact| state.store.inbox.contains_key(system.key(fact));
                    let mut waiting = (0..).zip(&state.queued).filter(|(_, copies)| **copies > 0);
                    waiting.any(|(fact, _)| committed(fact) && !state.acknowledged.has(fact))
                })
            }
            Self::LeftToRelay => Property::sometimes("the relay publishes what was left", |_, state: &State| {
                state.relay.is_some() && state.processes.iter().all(|process| process.outlet.is_empty())
            }),
            Self::Recognised => Property::sometimes("what was told before is recognised", |_, state: &State| {
                let repeated = |process: &Process| matches!(process.at, At::Committed(Outcome::Repeated));
                let noted = |order: &Shared<Order>| order.log.iter().any(|row| row.change == Change::Noted);
                let payments = state
                    .store
                    .inbox
                    .values()
                    .filter(|entry| entry.answer.is_none())
                    .count();
                state.processes.iter().any(repeated) || state.store.orders.iter().any(noted) || payments > 0
            }),
            Self::SetAside => Property::sometimes("a message is set aside", |_, state: &State| {
                state.store.quarantine != FactSet::default()
            }),
            Self::Parked => Property::sometimes("a callback waits for its turn", |_, state: &State| {
                state.store.parked != FactSet::default()
            }),
            Self::FirstLivesOn => Property::sometimes("an order of version 1 lives on", |_, state: &State| {
                let first = |order: &Shared<Order>| order.live && order.version() == GraphVersion(1);
                state.store.activation == GraphVersion(2) && state.store.orders.iter().any(first)
            }),
            Self::BornOnSecond => Property::sometimes("an order is born of version 2", |_, state: &State| {
                state
                    .store
                    .orders
                    .iter()
                    .any(|order| order.version() == GraphVersion(2))
            }),
            Self::Succeeded => Property::sometimes("an order has a successor", |_, state: &State| {
                state.store.orders.iter().any(|order| order.successor.is_some())
            }),
            Self::Settled => Property::sometimes("nothing more can happen", |_, state: &State| {
                state.is_at_rest() && !state.store.orders.is_empty()
            }),
        }
    }
}
