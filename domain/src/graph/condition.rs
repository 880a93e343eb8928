//! Conditions: a small closed set, so that whether a guard can hold is decided before anybody relies on it.

use std::collections::BTreeSet;
use std::fmt;

use super::ConditionDocument;
use crate::{FieldName, FieldValue, StateName};

/// What a transition's guard asks of an order. Each comparison also asks that the field is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The field is known, or is not.
    Known(FieldName, bool),
    /// The field is one of these values.
    AnyOf(FieldName, Vec<FieldValue>),
    /// The field is another value.
    Not(FieldName, FieldValue),
    /// The field is an integer between these.
    Between(FieldName, i64, i64),
    /// The order has been in that state, or has not.
    Been(StateName, bool),
}

impl Condition {
    /// The condition that a document names, if it is exactly one.
    pub(super) fn of(document: &ConditionDocument) -> Option<Self> {
        let field = document.field.as_deref().map(FieldName::from);
        let mut found = Vec::new();
        if let Some(field) = field.clone() {
            found.extend(document.known.map(|known| Self::Known(field.clone(), known)));
            found.extend(document.is.clone().map(|value| Self::AnyOf(field.clone(), vec![value])));
            found.extend(document.is_not.clone().map(|value| Self::Not(field.clone(), value)));
            if !document.any_of.is_empty() {
                found.push(Self::AnyOf(field.clone(), document.any_of.clone()));
            }
            if document.at_least.is_some() || document.at_most.is_some() {
                let (low, high) = (
                    document.at_least.unwrap_or(i64::MIN),
                    document.at_most.unwrap_or(i64::MAX),
                );
                found.push(Self::Between(field, low, high));
            }
        }
        let tests = field_tests(document);
        let states = [(&document.been_in, true), (&document.not_been_in, false)];
        let been = states
            .into_iter()
            .filter_map(|(state, been)| Some((state.as_deref()?, been)));
        found.extend(been.map(|(state, been)| Self::Been(state.into(), been)));
        // A test without a field belongs to nothing, a field without a test says nothing.
        let is_whole = field.is_some() || !tests;
        (found.len() == 1 && is_whole && (field.is_none() || tests)).then(|| found.remove(0))
    }

    /// Which field it looks at, if at one.
    pub fn field(&self) -> Option<&FieldName> {
        match self {
            Self::Known(field, _) | Self::AnyOf(field, _) | Self::Not(field, _) | Self::Between(field, ..) => {
                Some(field)
            }
            Self::Been(..) => None,
        }
    }

    /// Whether it holds for an order that has been in `visited` and knows what `known` answers.
    pub fn holds<'a>(
        &self,
        known: impl Fn(&FieldName) -> Option<&'a FieldValue>,
        visited: &BTreeSet<StateName>,
    ) -> bool {
        match self {
            Self::Known(field, expected) => known(field).is_some() == *expected,
            Self::AnyOf(field, values) => known(field).is_some_and(|value| values.contains(value)),
            Self::Not(field, other) => known(field).is_some_and(|value| value != other),
            Self::Between(field, low, high) => {
                matches!(known(field), Some(FieldValue::Integer(number)) if (low..=high).contains(&number))
            }
            Self::Been(state, expected) => visited.contains(state) == *expected,
        }
    }
}

fn field_tests(document: &ConditionDocument) -> bool {
    document.known.is_some()
        || document.is.is_some()
        || document.is_not.is_some()
        || !document.any_of.is_empty()
        || document.at_least.is_some()
        || document.at_most.is_some()
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(field, true) => write!(f, "{field} is known"),
            Self::Known(field, false) => write!(f, "{field} is not known"),
            Self::AnyOf(field, values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                write!(f, "{field} is {}", values.join(" or "))
            }
            Self::Not(field, value) => write!(f, "{field} is not {value}"),
            Self::Between(field, low, i64::MAX) => write!(f, "{field} is at least {low}"),
            Self::Between(field, i64::MIN, high) => write!(f, "{field} is at most {high}"),
            Self::Between(field, low, high) => write!(f, "{field} is from {low} to {high}"),
            Self::Been(state, true) => write!(f, "the order has been in {state}"),
            Self::Been(state, false) => write!(f, "the order has not been in {state}"),
        }
    }
}
