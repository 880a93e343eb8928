//! Rules about size: far beyond any life cycle, they bound what checking can cost.

use super::{DefectKind, Findings, GraphDocument, Path};

/// States, fields, entries of a list.
const LARGEST: usize = 500;
/// Transitions of all states together.
const MOST_TRANSITIONS: usize = 5_000;
/// Conditions of one guard.
const MOST_CONDITIONS: usize = 20;

pub(super) fn check(document: &GraphDocument, findings: &mut Findings) {
    let mut limit = |path: Path, what: &str, size: usize, most: usize| {
        if size > most {
            findings.add(
                path,
                DefectKind::TooLarge,
                format!("{size} {what}, expected at most {most}"),
            );
        }
    };
    limit(Path::root().at("states"), "states", document.states.len(), LARGEST);
    limit(Path::root().at("effects"), "effects", document.effects.len(), LARGEST);
    limit(Path::root().at("fields"), "fields", document.fields.len(), LARGEST);
    let transitions = document.states.values().map(|state| state.transitions.len()).sum();
    limit(Path::root().at("states"), "transitions", transitions, MOST_TRANSITIONS);
    for (name, field) in &document.fields {
        limit(Path::field(name).at("values"), "entries", field.values.len(), LARGEST);
    }
    for (name, state) in &document.states {
        limit(
            Path::state(name).at("requires"),
            "entries",
            state.requires.len(),
            LARGEST,
        );
        limit(
            Path::state(name).at("on_enter"),
            "entries",
            state.on_enter.len(),
            LARGEST,
        );
        let path = Path::state(name);
        limit(path.at("automatic"), "entries", state.automatic.len(), LARGEST);
        limit(path.at("otherwise"), "entries", state.otherwise.len(), LARGEST);
        for (event, transition) in &state.transitions {
            let path = Path::transition(name, event);
            limit(path.at("when"), "conditions", transition.when.len(), MOST_CONDITIONS);
            limit(path.at("actors"), "entries", transition.actors.len(), LARGEST);
            limit(path.at("requires"), "entries", transition.requires.len(), LARGEST);
        }
    }
}
