//! Vocabulary: what of the graphs' language a program knows, and what a version asks of every program that runs it.

use std::collections::BTreeSet;

use super::{ConditionDocument, Disposition, Graph, KNOWN_EFFECTS, SCHEMA};

/// The types that a field may have.
pub(super) const FIELD_TYPES: [&str; 7] = ["string", "uuid", "enum", "integer", "flag", "instant", "duration"];

/// Words of the graphs' language, each with its kind: `schema 1`, `effect notify_customer`, `condition been_in`.
pub type Vocabulary = BTreeSet<String>;

/// Everything that this program knows.
pub fn known_words() -> Vocabulary {
    let schemas = (1..=SCHEMA).map(|schema| format!("schema {schema}"));
    let effects = KNOWN_EFFECTS.iter().map(|name| format!("effect {name}"));
    let types = FIELD_TYPES.iter().map(|name| format!("type {name}"));
    let dispositions = Disposition::WORDS.iter().map(|name| format!("disposition {name}"));
    let everything = ConditionDocument {
        field: None,
        known: Some(true),
        is: Some(true.into()),
        is_not: Some(true.into()),
        any_of: vec![true.into()],
        at_least: Some(0),
        at_most: Some(0),
        been_in: Some(String::new()),
        not_been_in: Some(String::new()),
    };
    let conditions = tests(&everything).map(|name| format!("condition {name}"));
    schemas
        .chain(effects)
        .chain(types)
        .chain(dispositions)
        .chain(conditions)
        .collect()
}

/// What a condition asks, as the document writes it.
fn tests(condition: &ConditionDocument) -> impl Iterator<Item = &'static str> {
    let ConditionDocument {
        field: _,
        known,
        is,
        is_not,
        any_of,
        at_least,
        at_most,
        been_in,
        not_been_in,
    } = condition;
    [
        ("known", known.is_some()),
        ("is", is.is_some()),
        ("is_not", is_not.is_some()),
        ("any_of", !any_of.is_empty()),
        ("at_least", at_least.is_some()),
        ("at_most", at_most.is_some()),
        ("been_in", been_in.is_some()),
        ("not_been_in", not_been_in.is_some()),
    ]
    .into_iter()
    .filter_map(|(name, is_asked)| is_asked.then_some(name))
}

impl Graph {
    /// What a program must know to run this version. A task of another service asks nothing of it.
    pub fn words(&self) -> Vocabulary {
        let document = self.document();
        let own = self.effects().values().filter(|effect| effect.task.is_none());
        let states = || document.states.values();
        let transitions = states().flat_map(|state| state.transitions.values());
        let conditions = transitions.flat_map(|transition| &transition.when).flat_map(tests);
        let dispositions = states().flat_map(|state| state.otherwise.values());
        std::iter::once(format!("schema {}", document.schema))
            .chain(own.map(|effect| format!("effect {}", effect.name)))
            .chain(document.fields.values().map(|field| format!("type {}", field.kind)))
            .chain(dispositions.map(|said| format!("disposition {}", said.is)))
            .chain(conditions.map(|name| format!("condition {name}")))
            .collect()
    }
}
