//! Rules about tags: what is said of a state must be so.

use super::{DefectKind, Findings, GraphDocument, Path, Shape, StateDocument, Tag};

pub(super) fn check(document: &GraphDocument, shape: &Shape<'_>, findings: &mut Findings) {
    // A graph that tags nothing says nothing that could be wrong.
    let is_said = |tag: Tag| document.states.values().any(|state| has(state, tag));
    let cancellable_is_said = is_said(Tag::Cancellable);
    for (name, state) in &document.states {
        let path = Path::state(name);
        if cancellable_is_said {
            check_cancellable(document, shape, (name, state), findings);
        }
        if state.kind == "terminal" && has(state, Tag::Modifiable) {
            let detail = format!("{name} is terminal, nothing can be changed in it");
            findings.add(path.at("tags"), DefectKind::ModifiableEnd, detail);
        }
    }
    if is_said(Tag::Happy) {
        check_happy(document, findings);
    }
}

fn has(state: &StateDocument, tag: Tag) -> bool {
    state.tags.iter().any(|word| word == tag.as_str())
}

fn check_cancellable(
    document: &GraphDocument,
    shape: &Shape<'_>,
    (name, state): (&str, &StateDocument),
    findings: &mut Findings,
) {
    let is_cancelled = |to: &str| {
        document
            .states
            .get(to)
            .is_some_and(|target| target.outcome.as_deref() == Some("cancelled"))
    };
    let way = state.transitions.iter().find(|(_, way)| is_cancelled(&way.to));
    match (has(state, Tag::Cancellable), way) {
        (true, None) => {
            let detail = format!("{name} is tagged cancellable, but no transition leads to an end that is cancelled");
            findings.add(Path::state(name).at("tags"), DefectKind::CancellableWithoutWay, detail);
        }
        (false, Some((event, way))) => {
            let detail = format!("{event} cancels, but {name} is not tagged cancellable");
            let example = shape.way_on(name, event, &way.to);
            findings.add_on(example, Path::state(name), DefectKind::CancellableWithoutWay, detail);
        }
        (true, Some(_)) | (false, None) => {}
    }
}

/// Every happy state but the last leads to exactly one other happy state, and they begin where orders do.
fn check_happy(document: &GraphDocument, findings: &mut Findings) {
    let mut broken = |name: &str, what: String| {
        let path = if document.states.contains_key(name) {
            Path::state(name)
        } else {
            Path::root().at("states")
        };
        findings.add(path, DefectKind::HappyPathBroken, what);
    };
    let happy = |name: &str| document.states.get(name).is_some_and(|state| has(state, Tag::Happy));
    let mut name = document.initial.as_str();
    let mut walked = std::collections::BTreeSet::new();
    if !happy(name) {
        return broken(
            name,
            format!("{name} is the initial state and not tagged happy, as others are"),
        );
    }
    while walked.insert(name) {
        let Some(state) = document.states.get(name) else { return };
        if state.outcome.as_deref() == Some("success") {
            break;
        }
        let mut next: Vec<&str> = state.transitions.values().map(|way| way.to.as_str()).collect();
        next.sort_unstable();
        next.dedup();
        next.retain(|to| happy(to));
        match next.as_slice() {
            [only] => name = only,
            [] => {
                return broken(
                    name,
                    format!("the happy path ends in {name}, expected it to end in a success"),
                );
            }
            several => return broken(name, format!("the happy path forks in {name}: {}", several.join(", "))),
        }
    }
    let beside = document
        .states
        .keys()
        .find(|name| happy(name) && !walked.contains(name.as_str()));
    if let Some(name) = beside {
        broken(
            name,
            format!("{name} is tagged happy, but does not lie on the happy path"),
        );
    }
}
