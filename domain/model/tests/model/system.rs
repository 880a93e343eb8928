//! The steps: take, read, decide, commit, publish, acknowledge; and between any two of them, a crash.

use stateright::{Model, Property};
use uuid::Uuid;
use waybill_domain::{
    Change, DeliveryOrder, Edge, Event, Graph, GraphVersion, Instance, OrderId, Refusal, Role, Transition,
};

use crate::bug::Bug;
use crate::facts::{Fact, Graphs, What, event, noon};
use crate::invariants::{self, Sight};
use crate::order::{Order, Shared};
use crate::state::{
    Answer, At, EffectNumber, Entry, FactNumber, Message, Outcome, Plan, Process, Reading, Rollout, Rows, State, Store,
    Task,
};

/// What is walked: what the world tells, and within which bounds.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) graphs: Graphs,
    pub(crate) facts: Vec<Fact>,
    /// So many of them are told before the walk begins, one after the other and undisturbed.
    pub(crate) before: usize,
    /// How many times something is told again.
    pub(crate) again: u8,
    /// Whether version 2 is activated, and version 1 retired, at some moment.
    pub(crate) rollout: bool,
    /// What must happen on some way.
    pub(crate) shows: &'static [Sight],
    pub(crate) bug: Option<Bug>,
}

/// Which of the two processes.
type Which = usize;

/// A step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Take(Which, FactNumber),
    /// A deadline is due.
    Fire(Which, u8),
    Read(Which),
    Decide(Which),
    Commit(Which),
    /// Only where the key is not part of the transaction.
    WriteKey(Which),
    Publish(Which),
    MarkSent(Which),
    Acknowledge(Which),
    Crash(Which),
    TellAgain(FactNumber),
    /// The time that a callback may wait is over.
    PatienceEnds(FactNumber),
    HandOutAgain(FactNumber),
    RelayPublish(EffectNumber),
    RelayMarkSent,
    RelayCrash,
    CloseFence,
    Activate,
    ActivationCrash,
    Retire,
}

impl System {
    pub(crate) fn key(&self, fact: FactNumber) -> &'static str {
        self.fact(fact).key
    }

    pub(crate) fn fact(&self, fact: FactNumber) -> &Fact {
        &self.facts[usize::from(fact)]
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The order that a message is about.
    fn order_of<'s>(&self, store: &'s Store, message: Message) -> Option<&'s Shared<Order>> {
        match message {
            Message::Deadline { order, .. } => store.orders.iter().find(|other| other.number == order),
            Message::Fact(fact) => match self.fact(fact).what {
                What::Paid { .. } => None,
                What::Event { attempt, .. } => store.of_attempt(attempt),
            },
        }
    }

    /// Whether a message may bring an order into being: it reads the activation behind the fence.
    fn may_give_birth(&self, message: Message) -> bool {
        let Message::Fact(fact) = message else { return false };
        match &self.fact(fact).what {
            What::Paid { .. } => true,
            What::Event { event, .. } => {
                let graph = self.graphs.get(GraphVersion(1));
                graph.edges(event).any(|(_, edge)| edge.successor.is_some())
            }
        }
    }

    fn read(&self, state: &State, message: Message) -> Reading {
        let store = &state.store;
        let order = self.order_of(store, message);
        let fact = match message {
            Message::Fact(fact) => Some(fact),
            Message::Deadline { .. } => None,
        };
        let payment = fact.and_then(|fact| match self.fact(fact).what {
            What::Paid { payment } => Some(payment),
            What::Event { .. } => None,
        });
        Reading {
            order: order.cloned(),
            entry: fact.and_then(|fact| store.inbox.get(self.key(fact)).copied()),
            payment_known: payment.is_some_and(|payment| store.payments.contains(&payment)),
            has_live_order: payment.is_some() && store.orders.iter().any(|order| order.live),
            waits: order.is_some_and(|order| store.waits(order.number)),
            overdue: fact.is_some_and(|fact| store.overdue.has(fact)),
            activation: store.activation,
        }
    }

    fn decide(&self, message: Message, reading: &Reading) -> Plan {
        let mut plan = Plan {
            message,
            reading: reading.clone(),
            outcome: Outcome::Recorded,
            rows: Rows::default(),
            born: None,
            case: false,
        };
        match message {
            Message::Deadline { sequence, .. } => self.decide_deadline(&mut plan, sequence),
            Message::Fact(number) => {
                if let Some(entry) = reading.entry {
                    plan.outcome = match entry.fact == number {
                        true => Outcome::Repeated,
                        false => Outcome::SetAside,
                    };
                } else {
                    self.decide_fact(&mut plan, number);
                }
            }
        }
        plan
    }

    /// As `Fire` in src/engine/deadline.rs.
    fn decide_deadline(&self, plan: &mut Plan, sequence: i64) {
        plan.outcome = Outcome::Over;
        let Some(order) = plan.reading.order.clone() else {
            return;
        };
        let Some((_, name)) = order.deadline.clone().filter(|(armed, _)| *armed == sequence) else {
            return;
        };
        let key = format!("deadline:{sequence}");
        if let Ok(rows) = self.ask(plan, &order, event(&name, &key, Role::System, &[])) {
            plan.rows = Rows(rows);
            plan.outcome = Outcome::Recorded;
        }
    }

    fn decide_fact(&self, plan: &mut Plan, number: FactNumber) {
        let fact = self.fact(number);
        match &fact.what {
            What::Paid { .. } if plan.reading.payment_known && !self.has(Bug::TwoLiveOrders) => {}
            What::Paid { .. } if plan.reading.has_live_order && !self.has(Bug::TwoLiveOrders) => {
                plan.case = true;
                plan.outcome = Outcome::Contradicts;
            }
            What::Paid { .. } => {
                let paid = event("PAYMENT_SUCCEEDED", fact.key, Role::PaymentService, &[]);
                plan.born = Some(Shared::new(self.born(plan, number, paid)));
            }
            What::Event {
                event: name,
                role,
                fields,
                ..
            } => {
                let Some(order) = plan.reading.order.clone() else {
                    return;
                };
                let told = event(name, fact.key, *role, fields);
                self.decide_event(plan, number, &order, told);
            }
        }
    }

    /// As `Core::apply` in src/engine/core.rs, and what callers do with its refusals.
    fn decide_event(&self, plan: &mut Plan, number: FactNumber, order: &Shared<Order>, mut told: Event) {
        let graph = self.graph_for(plan, order);
        let edge = graph.edge(order.row.state.as_str(), told.name.as_str());
        let successor = edge.and_then(|edge: &Edge| edge.successor.clone());
        if let Some(field) = &successor {
            told.fields.insert(field.clone(), id(number).to_string().into());
        }
        match self.ask(plan, order, told.clone()) {
            Ok(rows) => {
                plan.rows = Rows(rows);
                if successor.is_some() {
                    let birth = event("DELIVERY_ORDER_CREATED", "successor", Role::Operator, &[]);
                    let mut born = self.born(plan, number, birth);
                    born.attempt = order.attempt + 1;
                    born.predecessor = Some(order.number);
                    plan.born = Some(Shared::new(born));
                }
            }
            Err(refusal) if self.fact(number).is_patient() => self.refuse_callback(plan, order, told, &refusal),
            Err(_) => plan.outcome = Outcome::Refused,
        }
    }

    /// As `Apply::refused` and `unresolved` in src/engine/callback.rs, but that nothing is inferred.
    fn refuse_callback(&self, plan: &mut Plan, order: &Shared<Order>, told: Event, refusal: &Refusal) {
        let overdue = plan.reading.overdue;
        match refusal {
            Refusal::Duplicate { .. } | Refusal::Stale { .. } | Refusal::Noted { .. } => {
                plan.rows = Rows(vec![order.row.note(told, noon())]);
            }
            Refusal::Early { .. } if !overdue => plan.outcome = Outcome::Parked,
            Refusal::Early { .. } if self.has(Bug::UnresolvedForgotten) => plan.outcome = Outcome::Unresolved,
            Refusal::Early { .. } => {
                plan.outcome = Outcome::Unresolved;
                let given_up = Event {
                    key: format!("{}/unresolved", told.key),
                    ..event("CALLBACK_UNRESOLVED", "", Role::System, &[])
                };
                let note = order.row.note(told, noon());
                let mut noted = order.row.clone();
                noted.apply(&note);
                plan.rows = Rows(vec![note]);
                match noted.decide(self.graph_for(plan, order), given_up, noon()) {
                    Ok(rows) => plan.rows.0.extend(rows),
                    Err(_) => plan.case = true,
                }
            }
            _ => {
                plan.outcome = Outcome::Contradicts;
                plan.case = true;
                // What it claims is evidence, and nothing that the order knows.
                let claim = Event {
                    fields: waybill_domain::Fields::new(),
                    ..told
                };
                plan.rows = Rows(vec![order.row.note(claim, noon())]);
            }
        }
    }

    fn born(&self, plan: &Plan, number: FactNumber, event: Event) -> Order {
        let graph = self.graphs.get(plan.reading.activation);
        let (row, birth) = DeliveryOrder::born(id(number), graph, event, noon());
        Order::born(number, row, birth, graph)
    }

    fn graph_for(&self, plan: &Plan, order: &Order) -> &Graph {
        let version = match self.has(Bug::ActiveVersionDecides) {
            true => plan.reading.activation,
            false => order.version(),
        };
        self.graphs.get(version)
    }

    /// Asks the domain; planted bugs take another answer for its own.
    fn ask(&self, plan: &Plan, order: &Order, told: Event) -> Result<Vec<Transition>, Refusal> {
        let graph = self.graph_for(plan, order);
        let decided = order.row.decide(graph, told.clone(), noon());
        let planted = match (&decided, self.bug) {
            (Err(_), Some(Bug::TerminalStateLeft)) if !order.live => moved_from_elsewhere(graph, &order.row, told),
            (Err(Refusal::Stale { .. }), Some(Bug::StaleMoves)) => moved_from_elsewhere(graph, &order.row, told),
            (Err(Refusal::MissingField { field, .. }), Some(Bug::FailureWithoutReason)) => {
                let mut complete = told;
                complete.fields.insert(field.clone(), "UNKNOWN".into());
                let rows = order.row.decide(graph, complete, noon());
                rows.ok().map(|mut rows| {
                    rows.iter_mut().for_each(|row| drop(row.fields.remove(field)));
                    rows
                })
            }
            _ => None,
        };
        planted.map_or(decided, Ok)
    }
}

/// What would be decided if the order stood where the event leads from.
fn moved_from_elsewhere(graph: &Graph, row: &Instance, told: Event) -> Option<Vec<Transition>> {
    let (from, _) = graph.edges(told.name.as_str()).next()?;
    let elsewhere = Instance {
        state: from.name.clone(),
        ..row.clone()
    };
    let mut rows = elsewhere.decide(graph, told, noon()).ok()?;
    rows[0].from = Some(row.state.clone());
    Some(rows)
}

fn id(number: FactNumber) -> OrderId {
    OrderId(Uuid::from_u128(u128::from(number) + 1))
}

// What a step does.
impl System {
    /// What the database refuses: a revision that has moved on, or a key that is taken.
    fn is_refused(&self, store: &Store, fact: Option<FactNumber>, plan: &Plan) -> bool {
        let new = matches!(
            plan.outcome,
            Outcome::Recorded | Outcome::Contradicts | Outcome::Parked | Outcome::Unresolved
        );
        let moved = plan.reading.order.as_ref().is_some_and(|read| {
            let mut orders = store.orders.iter();
            new && orders.any(|order| order.number == read.number && order.revision() != read.revision())
        });
        let taken = fact.is_some_and(|fact| new && store.inbox.contains_key(self.key(fact)));
        let paid = plan.born.is_some()
            && fact.is_some_and(|fact| match self.fact(fact).what {
                What::Paid { payment } => store.payments.contains(&payment) || store.orders.iter().any(|it| it.live),
                What::Event { .. } => false,
            });
        (moved && !self.has(Bug::NoRevisionCheck))
            || (taken && !self.has(Bug::KeyOutsideTransaction))
            || (paid && !self.has(Bug::TwoLiveOrders))
    }

    /// The transaction.
    fn commit(&self, state: &mut State, which: Which, plan: &Shared<Plan>) {
        let fact = match plan.message {
            Message::Fact(fact) => Some(fact),
            Message::Deadline { .. } => None,
        };
        if self.is_refused(&state.store, fact, plan) {
            state.processes[which].at = At::Taken;
            state.processes[which].in_birth = false;
            return;
        }
        let effects = self.write_orders(state, fact, plan);
        let store = &mut state.store;
        if !self.has(Bug::EffectsOutsideTransaction) {
            store.effects.extend(effects.iter().map(|effect| (*effect, false)));
        }
        if let (Some(fact), false) = (fact, self.has(Bug::KeyOutsideTransaction)) {
            self.write_fact(store, fact, plan);
        }
        let free = |effect: &EffectNumber| {
            let read = plan.reading.order.as_ref();
            let overtakes = plan.reading.waits && read.is_some_and(|order| order.number == effect.order);
            !overtakes || self.has(Bug::OvertakesOlderEffects)
        };
        let process = &mut state.processes[which];
        process.outlet.extend(effects.into_iter().filter(free));
        process.in_birth = false;
        process.at = match self.has(Bug::KeyOutsideTransaction) {
            true => At::Keyless(plan.clone()),
            false => At::Committed(plan.outcome),
        };
    }

    /// Writes rows and births; answers the effects that follow.
    fn write_orders(&self, state: &mut State, fact: Option<FactNumber>, plan: &Plan) -> Vec<EffectNumber> {
        let store = &mut state.store;
        let mut effects = Vec::new();
        if let (Some(read), false) = (&plan.reading.order, plan.rows.0.is_empty()) {
            let place = store.orders.iter().position(|order| order.number == read.number);
            let order = &mut store.orders[place.expect("an order is never deleted")];
            let mut next = order.with(read, &plan.rows.0, self.graphs.get(order.version()));
            next.successor = plan.born.as_ref().map(|born| born.number).or(next.successor);
            *order = Shared::new(next);
            effects.extend(effects_of(read.number, &plan.rows.0));
            if plan.rows.0.iter().any(|row| row.change == Change::Moved) {
                // Who came early gets its turn.
                store.due = store.parked;
            }
        }
        if let Some(born) = &plan.born {
            let activated = matches!(state.rollout, Rollout::Activated | Rollout::Retired);
            effects.extend(effects_of(born.number, &born.log));
            store.orders.push(Shared::new(Order {
                born_after_activation: activated,
                ..Order::clone(born)
            }));
        }
        if let Some(What::Paid { payment }) = fact.map(|fact| &self.fact(fact).what)
            && !store.payments.contains(payment)
            && plan.outcome == Outcome::Recorded
        {
            store.payments.push(payment);
        }
        effects
    }

    /// Writes what became of a fact: its key with the outcome, or that it waits or was set aside.
    fn write_fact(&self, store: &mut Store, fact: FactNumber, plan: &Plan) {
        if plan.case {
            store.cases.add(fact);
        }
        match plan.outcome {
            Outcome::Parked => {
                if !self.has(Bug::ParkLost) {
                    store.parked.add(fact);
                }
                if store.overdue.has(fact) {
                    store.due.add(fact);
                }
            }
            Outcome::SetAside => store.quarantine.add(fact),
            Outcome::Repeated | Outcome::Refused | Outcome::Over => {}
            Outcome::Recorded | Outcome::Contradicts | Outcome::Unresolved => {
                store.parked.remove(fact);
                store.overdue.remove(fact);
                store.due.remove(fact);
                store.inbox.insert(self.key(fact), entry(fact, plan));
            }
        }
    }

    /// What some bugs do with a decision that is not committed.
    fn hurry(&self, state: &mut State, which: Which, plan: &Plan) {
        if self.has(Bug::AcknowledgedBeforeCommit) {
            self.acknowledge(state, which, plan.outcome);
        }
        if self.has(Bug::PublishedBeforeCommit) {
            let order = plan.reading.order.as_ref().map_or(0, |order| order.number);
            let born = plan.born.iter().flat_map(|born| effects_of(born.number, &born.log));
            for effect in effects_of(order, &plan.rows.0).chain(born) {
                self.publish(state, effect);
            }
        }
    }

    fn acknowledge(&self, state: &mut State, which: Which, outcome: Outcome) {
        let message = state.processes[which].message;
        if let Some(Message::Fact(fact)) = message {
            if outcome != Outcome::Refused {
                state.acknowledged.add(fact);
            }
            let entry = state.store.inbox.get(self.key(fact)).filter(|entry| entry.fact == fact);
            if let Some(answer) = entry.and_then(|entry| entry.answer) {
                state.answers.insert(fact, answer);
            }
        }
        state.processes[which].message = None;
    }

    fn publish(&self, state: &mut State, effect: EffectNumber) {
        let before = state.tasks.iter().filter(|task| task.effect == effect).count();
        let id = match self.has(Bug::FreshTaskIds) {
            true => u8::try_from(before).expect("a few"),
            false => 0,
        };
        let task = Task { effect, id };
        if !state.tasks.contains(&task) {
            state.tasks.push(task);
        }
    }

    /// Publishes the first of a process's effects, or marks it as sent; in the order that the bug says.
    fn send(&self, state: &mut State, which: Which, publishes: bool) {
        let effect = state.processes[which].outlet[0];
        match publishes {
            true => self.publish(state, effect),
            false => self.mark(&mut state.store, effect),
        }
        let process = &mut state.processes[which];
        if process.half_sent {
            process.outlet.remove(0);
        }
        process.half_sent = !process.half_sent;
    }

    fn mark(&self, store: &mut Store, effect: EffectNumber) {
        let mut known = store.effects.iter_mut();
        match known.find(|(other, _)| *other == effect) {
            Some((_, sent)) => *sent = true,
            None => store.effects.push((effect, true)),
        }
    }

    fn crash(&self, state: &mut State, which: Which) {
        let died = std::mem::replace(&mut state.processes[which], Process::idle());
        if let Some(Message::Fact(fact)) = died.message {
            state.queued[usize::from(fact)] += 1;
        }
    }
}

fn effects_of(order: u8, rows: &[Transition]) -> impl Iterator<Item = EffectNumber> {
    rows.iter().flat_map(move |row| {
        (0..).zip(&row.effects).map(move |(ordinal, _)| EffectNumber {
            order,
            sequence: row.revision.0,
            ordinal,
        })
    })
}

fn entry(fact: FactNumber, plan: &Plan) -> Entry {
    let written = plan.rows.0.last().zip(plan.reading.order.as_ref());
    let moved = written.map(|(row, order)| Answer {
        order: order.number,
        revision: row.revision.0,
    });
    let born = plan.born.as_ref().map(|born| Answer {
        order: born.number,
        revision: born.revision(),
    });
    Entry {
        fact,
        outcome: plan.outcome,
        answer: moved.or(born),
    }
}

// What can happen.
impl System {
    fn steps_of(&self, state: &State, which: Which, steps: &mut Vec<Step>) {
        let process = &state.processes[which];
        match &process.at {
            At::Idle => self.takes(state, which, steps),
            At::Taken => {
                let births = process.message.is_some_and(|message| self.may_give_birth(message));
                if !births || state.rollout != Rollout::Fenced || self.has(Bug::ActivationNotFenced) {
                    steps.push(Step::Read(which));
                }
            }
            At::Read(_) => steps.push(Step::Decide(which)),
            At::Decided(_) => steps.push(Step::Commit(which)),
            At::Keyless(_) => steps.push(Step::WriteKey(which)),
            At::Committed(_) => steps.push(Step::Acknowledge(which)),
        }
        if !process.outlet.is_empty() {
            let publishes = process.half_sent == self.has(Bug::SentBeforePublished);
            steps.push(match publishes {
                true => Step::Publish(which),
                false => Step::MarkSent(which),
            });
        }
        if process.at != At::Idle || !process.outlet.is_empty() {
            steps.push(Step::Crash(which));
        }
    }

    fn takes(&self, state: &State, which: Which, steps: &mut Vec<Step>) {
        for (fact, copies) in (0..).zip(&state.queued) {
            // Nobody tells anything of an order that is not there yet.
            let told = match self.fact(fact).what {
                What::Paid { .. } => true,
                What::Event { .. } => self.order_of(&state.store, Message::Fact(fact)).is_some(),
            };
            if *copies > 0 && told {
                steps.push(Step::Take(which, fact));
            }
        }
        let armed = state.store.orders.iter().filter(|order| order.deadline.is_some());
        steps.extend(armed.map(|order| Step::Fire(which, order.number)));
    }

    fn steps_of_relay(state: &State, steps: &mut Vec<Step>) {
        if state.relay.is_some() {
            steps.extend([Step::RelayMarkSent, Step::RelayCrash]);
            return;
        }
        let mut orders = Vec::new();
        for (effect, _) in state.store.effects.iter().filter(|(_, sent)| !sent) {
            if !orders.contains(&effect.order) {
                orders.push(effect.order);
                steps.push(Step::RelayPublish(*effect));
            }
        }
    }

    fn steps_of_rollout(&self, state: &State, steps: &mut Vec<Step>) {
        let unfenced = self.has(Bug::ActivationNotFenced);
        let in_birth = !unfenced && state.processes.iter().any(|process| process.in_birth);
        match state.rollout {
            Rollout::Planned if self.rollout && !in_birth => steps.push(Step::CloseFence),
            Rollout::Fenced => steps.extend([Step::Activate, Step::ActivationCrash]),
            Rollout::Activated if !in_birth => {
                let first = |order: &Shared<Order>| order.live && order.version() == GraphVersion(1);
                if !state.store.orders.iter().any(first) {
                    steps.push(Step::Retire);
                }
            }
            Rollout::Planned | Rollout::Activated | Rollout::Retired => {}
        }
    }
}

impl System {
    /// The next step of the first process with what it has in hand.
    fn undisturbed(&self, state: &State) -> Option<Step> {
        let process = &state.processes[0];
        if process.at == At::Idle && process.outlet.is_empty() {
            return None;
        }
        let mut steps = Vec::new();
        self.steps_of(state, 0, &mut steps);
        let on = |step: &Step| !matches!(step, Step::Crash(_) | Step::Take(..) | Step::Fire(..));
        steps.into_iter().find(on)
    }

    /// A step in words.
    pub(crate) fn words(&self, step: Step) -> String {
        let name = |fact: FactNumber| self.fact(fact).name;
        let process = |which: Which| format!("process {}", which + 1);
        match step {
            Step::Take(which, fact) => format!("{} takes \"{}\"", process(which), name(fact)),
            Step::Fire(which, _) => format!("{} takes a deadline that is due", process(which)),
            Step::Read(which) => format!("{} reads", process(which)),
            Step::Decide(which) => format!("{} decides", process(which)),
            Step::Commit(which) => format!("{} commits, or loses and reads again", process(which)),
            Step::WriteKey(which) => format!("{} writes the key", process(which)),
            Step::Publish(which) => format!("{} publishes an effect", process(which)),
            Step::MarkSent(which) => format!("{} marks an effect as sent", process(which)),
            Step::Acknowledge(which) => format!("{} acknowledges", process(which)),
            Step::Crash(which) => format!("{} dies", process(which)),
            Step::TellAgain(fact) => format!("\"{}\" is told again", name(fact)),
            Step::PatienceEnds(fact) => format!("\"{}\" has waited long enough", name(fact)),
            Step::HandOutAgain(fact) => format!("\"{}\" is handed out again", name(fact)),
            Step::RelayPublish(_) => "the relay publishes an effect".to_owned(),
            Step::RelayMarkSent => "the relay marks it as sent".to_owned(),
            Step::RelayCrash => "the relay dies".to_owned(),
            Step::CloseFence => "an activation closes the fence".to_owned(),
            Step::Activate => "version 2 is active".to_owned(),
            Step::ActivationCrash => "the activation dies".to_owned(),
            Step::Retire => "version 1 is retired".to_owned(),
        }
    }
}

impl Model for System {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::empty(self.facts.len(), self.again);
        for fact in (0..).take(self.before) {
            let mut next = Some(Step::Take(0, fact));
            while let Some(step) = next {
                state = self.next_state(&state, step).expect("the step was offered");
                next = self.undisturbed(&state);
            }
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        for which in 0..state.processes.len() {
            self.steps_of(state, which, steps);
        }
        Self::steps_of_relay(state, steps);
        self.steps_of_rollout(state, steps);
        for (fact, copies) in (0..).zip(&state.queued) {
            if state.again > 0 && *copies == 0 {
                steps.push(Step::TellAgain(fact));
            }
        }
        for fact in state.store.parked.iter() {
            if state.store.due.has(fact) {
                steps.push(Step::HandOutAgain(fact));
            } else if !state.store.overdue.has(fact) {
                steps.push(Step::PatienceEnds(fact));
            }
        }
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Take(which, fact) => {
                state.queued[usize::from(fact)] -= 1;
                state.processes[which].message = Some(Message::Fact(fact));
                state.processes[which].at = At::Taken;
            }
            Step::Fire(which, number) => {
                let order = state.store.orders.iter().find(|order| order.number == number)?;
                let (sequence, _) = order.deadline.clone()?;
                state.processes[which].message = Some(Message::Deadline {
                    order: number,
                    sequence,
                });
                state.processes[which].at = At::Taken;
            }
            Step::Read(which) => {
                let message = state.processes[which].message?;
                let reading = Shared::new(self.read(&state, message));
                let process = &mut state.processes[which];
                process.in_birth = self.may_give_birth(message);
                process.at = At::Read(reading);
            }
            Step::Decide(which) => {
                let message = state.processes[which].message?;
                let At::Read(reading) = &state.processes[which].at else {
                    return None;
                };
                let plan = Shared::new(self.decide(message, reading));
                self.hurry(&mut state, which, &plan);
                state.processes[which].at = At::Decided(plan);
            }
            Step::Commit(which) => {
                let At::Decided(plan) = state.processes[which].at.clone() else {
                    return None;
                };
                self.commit(&mut state, which, &plan);
            }
            Step::WriteKey(which) => {
                let At::Keyless(plan) = state.processes[which].at.clone() else {
                    return None;
                };
                if let Message::Fact(fact) = plan.message {
                    self.write_fact(&mut state.store, fact, &plan);
                }
                state.processes[which].at = At::Committed(plan.outcome);
            }
            Step::Publish(which) => self.send(&mut state, which, true),
            Step::MarkSent(which) => self.send(&mut state, which, false),
            Step::Acknowledge(which) => {
                let At::Committed(outcome) = state.processes[which].at else {
                    return None;
                };
                self.acknowledge(&mut state, which, outcome);
                state.processes[which].at = At::Idle;
            }
            Step::Crash(which) => self.crash(&mut state, which),
            Step::TellAgain(fact) => {
                state.again -= 1;
                state.queued[usize::from(fact)] += 1;
            }
            Step::PatienceEnds(fact) => {
                state.store.overdue.add(fact);
                state.store.due.add(fact);
            }
            Step::HandOutAgain(fact) => {
                state.store.due.remove(fact);
                state.queued[usize::from(fact)] += 1;
            }
            Step::RelayPublish(effect) => {
                self.publish(&mut state, effect);
                state.relay = Some(effect);
            }
            Step::RelayMarkSent => {
                let effect = state.relay.take()?;
                self.mark(&mut state.store, effect);
            }
            Step::RelayCrash => state.relay = None,
            Step::CloseFence => state.rollout = Rollout::Fenced,
            Step::Activate => {
                state.store.activation = GraphVersion(2);
                state.rollout = Rollout::Activated;
            }
            Step::ActivationCrash => state.rollout = Rollout::Planned,
            Step::Retire => {
                state.store.retired = true;
                state.rollout = Rollout::Retired;
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        invariants::properties(self.shows)
    }
}
