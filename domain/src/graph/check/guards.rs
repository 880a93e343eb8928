//! Rules about guards: each condition is one test that its field allows, and each guard can hold and can fail to.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Condition, DefectKind, Findings, GraphDocument, Knowledge, Path, Shape, TransitionDocument, build_field,
    required_fields,
};
use crate::FieldValue;
use crate::graph::{Field, FieldType};

pub(super) fn check(document: &GraphDocument, shape: &Shape<'_>, knowledge: &Knowledge<'_>, findings: &mut Findings) {
    for (name, state) in &document.states {
        for (event, transition) in state.transitions.iter().filter(|(_, way)| !way.when.is_empty()) {
            let path = Path::transition(name, event).at("when");
            let Some(conditions) = read(document, &path, transition, findings) else {
                continue;
            };
            let place = Place {
                document,
                shape,
                knowledge,
                state: name,
                transition,
            };
            let way = || shape.way_on(name, event, &transition.to);
            if let Some(why) = place.never(&conditions) {
                let detail = format!("{event} can never happen in {name}: {why}");
                findings.add_on(way(), path, DefectKind::GuardNeverHolds, detail);
            } else if let Some(number) = conditions.iter().position(|condition| place.always(condition)) {
                let detail = format!("{} always holds in {name}", conditions[number]);
                findings.add_on(way(), path.at(number), DefectKind::GuardAlwaysHolds, detail);
            }
        }
    }
}

/// The conditions of a guard, if all of them are good.
fn read(
    document: &GraphDocument,
    path: &Path,
    transition: &TransitionDocument,
    findings: &mut Findings,
) -> Option<Vec<Condition>> {
    let mut conditions = Vec::new();
    for (number, written) in transition.when.iter().enumerate() {
        let condition = Condition::of(written);
        let wrong = match &condition {
            None => Some("expected a field with exactly one test, or exactly one state".to_owned()),
            Some(condition) => unfit(document, condition),
        };
        match wrong {
            Some(detail) => findings.add(path.at(number), DefectKind::BadCondition, detail),
            None => conditions.extend(condition),
        }
    }
    (conditions.len() == transition.when.len()).then_some(conditions)
}

/// Why a condition does not fit what it names.
fn unfit(document: &GraphDocument, condition: &Condition) -> Option<String> {
    if let Condition::Been(state, _) = condition {
        return (!document.states.contains_key(state.as_str())).then(|| format!("state {state} is not defined"));
    }
    let name = condition.field()?;
    let Some(field) = document
        .fields
        .get(name.as_str())
        .map(|field| build_field(name.as_str(), field))
    else {
        return Some(format!("field {name} is not defined"));
    };
    let refuse = |value: &FieldValue| {
        let expected = field.expected();
        (!field.accepts(value)).then(|| format!("{name} is never {value}, it is {expected}"))
    };
    match condition {
        Condition::AnyOf(_, values) => values.iter().find_map(refuse),
        Condition::Not(_, value) => refuse(value),
        Condition::Between(..) if !matches!(field.kind, FieldType::Integer { .. }) => Some(format!(
            "{name} is {}, only an integer is at least or at most something",
            field.expected()
        )),
        _ => None,
    }
}

/// Where a guard stands.
struct Place<'p, 'a> {
    document: &'p GraphDocument,
    shape: &'p Shape<'a>,
    knowledge: &'p Knowledge<'a>,
    state: &'p str,
    transition: &'p TransitionDocument,
}

impl Place<'_, '_> {
    /// Why no order fulfils all of them, if none does.
    fn never(&self, conditions: &[Condition]) -> Option<String> {
        let mut fields: BTreeMap<&str, Vec<&Condition>> = BTreeMap::new();
        for condition in conditions {
            match condition {
                Condition::Been(other, true) if !self.may_have_been(other.as_str()) => {
                    return Some(format!("no way leads through {other} before"));
                }
                Condition::Been(other, false) if self.knowledge.surely_passed(self.state, other.as_str()) => {
                    return Some(format!("every way leads through {other} before"));
                }
                Condition::Been(other, true) if conditions.contains(&Condition::Been(other.clone(), false)) => {
                    return Some(format!("an order has been in {other} or has not"));
                }
                _ => {}
            }
            if let Some(field) = condition.field() {
                fields.entry(field.as_str()).or_default().push(condition);
            }
        }
        let contradicted = fields
            .into_iter()
            .find(|(field, tests)| !self.field_allows(field, tests));
        contradicted.map(|(field, tests)| {
            let tests: Vec<String> = tests.iter().map(ToString::to_string).collect();
            format!("{} cannot be true of {field}", tests.join(" and "))
        })
    }

    /// Whether every order that is here fulfils it.
    fn always(&self, condition: &Condition) -> bool {
        let surely = |field: &str| self.surely_known(field);
        match condition {
            Condition::Been(other, true) => self.knowledge.surely_passed(self.state, other.as_str()),
            Condition::Been(other, false) => !self.may_have_been(other.as_str()),
            Condition::Known(field, true) => surely(field.as_str()),
            Condition::Known(_, false) => false,
            Condition::AnyOf(field, values) => {
                let all = finite(&self.field(field.as_str()));
                surely(field.as_str()) && all.is_some_and(|all| all.iter().all(|value| values.contains(value)))
            }
            Condition::Not(..) => false,
            Condition::Between(field, low, high) => {
                let covered = match self.field(field.as_str()).kind {
                    FieldType::Integer { minimum, maximum } => *low <= minimum && *high >= maximum,
                    _ => false,
                };
                surely(field.as_str()) && covered
            }
        }
    }

    fn may_have_been(&self, other: &str) -> bool {
        other == self.state || self.shape.leads_to(other, self.state)
    }

    /// Whether the field is known when the guard is looked at, whatever way the order came.
    fn surely_known(&self, field: &str) -> bool {
        self.knowledge.knows(self.state, field)
            || required_fields(self.document, self.transition).contains(&field)
            || self.transition.sets.contains_key(field)
    }

    fn field(&self, name: &str) -> Field {
        build_field(name, &self.document.fields[name])
    }

    /// Whether some value of the field, or none, passes all tests.
    fn field_allows(&self, name: &str, tests: &[&Condition]) -> bool {
        let none = BTreeSet::new();
        let passes = |value: Option<&FieldValue>| tests.iter().all(|test| test.holds(|_| value, &none));
        if !self.surely_known(name) && passes(None) {
            return true;
        }
        let field = self.field(name);
        match finite(&field) {
            Some(values) => values.iter().any(|value| passes(Some(value))),
            None => candidates(&field, tests).iter().any(|value| passes(Some(value))),
        }
    }
}

/// All values of a field that has few.
fn finite(field: &Field) -> Option<Vec<FieldValue>> {
    match &field.kind {
        FieldType::Words(words) => Some(words.iter().map(|word| FieldValue::from(word.as_str())).collect()),
        FieldType::Flag => Some(vec![true.into(), false.into()]),
        _ => None,
    }
}

/// Values among which one passes the tests if any does: those that the tests name, their neighbours, and one that none names.
fn candidates(field: &Field, tests: &[&Condition]) -> Vec<FieldValue> {
    let mut values = Vec::new();
    let mut numbers = Vec::new();
    for test in tests {
        match test {
            Condition::AnyOf(_, named) => values.extend(named.iter().cloned()),
            Condition::Not(_, named) => values.push(named.clone()),
            Condition::Between(_, low, high) => numbers.extend([*low, *high]),
            Condition::Known(..) | Condition::Been(..) => {}
        }
    }
    let FieldType::Integer { minimum, maximum } = field.kind else {
        // Text, UUIDs and instants have always another value than those that are named.
        values.push("a value that no test names".into());
        return values;
    };
    numbers.extend([minimum, maximum]);
    numbers.extend(values.iter().filter_map(|value| match value {
        FieldValue::Integer(number) => Some(*number),
        _ => None,
    }));
    // As many steps beside each as values may be excluded.
    let steps = i64::try_from(tests.len()).unwrap_or(i64::MAX);
    let around = numbers
        .iter()
        .flat_map(|number| (-steps..=steps).map(|step| number.saturating_add(step)));
    around
        .filter(|number| (minimum..=maximum).contains(number))
        .map(FieldValue::from)
        .collect()
}
