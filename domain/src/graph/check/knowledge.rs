//! What an order knows in each state, and where it has been, whatever way it came.

use std::collections::{BTreeMap, BTreeSet};

use super::{GraphDocument, Shape, TransitionDocument, required_fields};

type Sets<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// What is sure in each state.
pub(super) struct Knowledge<'a> {
    /// Fields that every way in has brought.
    known: Sets<'a>,
    /// States that every way in leads through, the state itself included.
    passed: Sets<'a>,
    /// For a field that some way does not bring: the arrow by which it comes without.
    without: BTreeMap<(&'a str, &'a str), (&'a str, &'a str)>,
    initial: &'a str,
}

impl<'a> Knowledge<'a> {
    pub(super) fn of(document: &'a GraphDocument, shape: &Shape<'a>) -> Self {
        let fields: BTreeSet<&str> = document.fields.keys().map(String::as_str).collect();
        let states: BTreeSet<&str> = document.states.keys().map(String::as_str).collect();
        let everywhere =
            |all: &BTreeSet<&'a str>| -> Sets<'a> { states.iter().map(|name| (*name, all.clone())).collect() };
        let mut this = Self {
            known: everywhere(&fields),
            passed: everywhere(&states),
            without: BTreeMap::new(),
            initial: &document.initial,
        };
        if let Some(known) = this.known.get_mut(this.initial) {
            known.clear();
            this.passed.insert(this.initial, BTreeSet::from([this.initial]));
        }
        let order = shape.order();
        // One round is enough where there is no cycle; with one, the others tell what else is wrong.
        while this.narrow(document, &order) {}
        this
    }

    /// Takes from every state what one of its ways in does not bring; whether anything was taken.
    fn narrow(&mut self, document: &'a GraphDocument, order: &[&'a str]) -> bool {
        let mut changed = false;
        for name in order {
            for (event, transition) in &document.states[*name].transitions {
                let to = transition.to.as_str();
                let mut brought = self.known[name].clone();
                brought.extend(required_fields(document, transition));
                brought.extend(transition.sets.keys().map(String::as_str));
                let Some(known) = self.known.get_mut(to) else { continue };
                for field in known.iter().filter(|field| !brought.contains(*field)) {
                    self.without.entry((to, field)).or_insert((name, event));
                    changed = true;
                }
                known.retain(|field| brought.contains(field));
                let before = self.passed[name].clone();
                if let Some(passed) = self.passed.get_mut(to) {
                    let size = passed.len();
                    passed.retain(|state| *state == to || before.contains(state));
                    changed |= passed.len() < size;
                }
            }
        }
        changed
    }

    /// Whether every order knows that field in that state.
    pub(super) fn knows(&self, state: &str, field: &str) -> bool {
        self.known.get(state).is_some_and(|known| known.contains(field))
    }

    /// Whether every order that is in `state` has been in `other`.
    pub(super) fn surely_passed(&self, state: &str, other: &str) -> bool {
        self.passed.get(state).is_some_and(|passed| passed.contains(other))
    }

    /// What a transition requires that nobody has brought, if it is taken with nothing, and a way on which that happens.
    pub(super) fn missing(
        &self,
        document: &GraphDocument,
        state: &str,
        transition: &TransitionDocument,
    ) -> Option<(String, Option<String>)> {
        let asked: Vec<&str> = required_fields(document, transition)
            .into_iter()
            .filter(|field| !self.knows(state, field) && !transition.sets.contains_key(*field))
            .collect();
        let first = asked.first()?;
        Some((asked.join(", "), self.way_without(state, first)))
    }

    /// A way to a state that does not bring the field.
    fn way_without(&self, state: &str, field: &str) -> Option<String> {
        let mut text = String::new();
        let mut name = state;
        // As many arrows as there are states: a cycle is another rule's affair.
        for _ in 0..=self.known.len() {
            if name == self.initial {
                return Some(format!("{name}{text}"));
            }
            let ((_, _), (from, event)) = self.without.get_key_value(&(name, field))?;
            text = format!(" -{event}-> {name}{text}");
            name = from;
        }
        None
    }
}
