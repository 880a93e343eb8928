//! Bad templates: each is refused with the expected code at the expected place. Places are where the fault was put in by hand.

use super::{Template, TemplateError, fixture};

/// File, line, column and code of the first fault.
const REFUSED: &[(&str, usize, usize, &str)] = &[
    ("alias", 36, 27, "anchor"),
    ("ambiguous-key", 58, 17, "ambiguous-scalar"),
    ("ambiguous-scalars", 18, 20, "ambiguous-scalar"),
    ("anchor", 60, 27, "anchor"),
    ("automatic-asks-input", 40, 27, "automatic-asks-input"),
    ("automatic-event-unknown", 40, 27, "automatic-event-unknown"),
    ("automatic-not-for-system", 40, 27, "automatic-not-for-system"),
    ("automatic-shadowed", 40, 38, "automatic-shadowed"),
    ("bad-argument", 29, 32, "bad-argument"),
    ("bad-condition", 44, 26, "bad-condition"),
    ("bad-duration", 29, 33, "bad-duration"),
    ("bad-names", 16, 20, "bad-name"),
    ("bounds", 22, 45, "length-out-of-range"),
    ("cancellable-without-way", 39, 15, "cancellable-without-way"),
    ("content-as-text", 14, 9, "not-structured"),
    ("critical-without-failure", 26, 67, "critical-without-failure"),
    ("cycle", 62, 23, "cycle"),
    ("dead-end", 47, 13, "operator-out-of-reach"),
    ("deadline-asks-input", 29, 47, "deadline-asks-input"),
    ("deadline-event-unknown", 29, 47, "deadline-event-unknown"),
    ("deadline-field-unfit", 29, 46, "deadline-field-unfit"),
    ("deadline-guarded", 29, 47, "deadline-guarded"),
    ("deadline-not-for-system", 29, 47, "deadline-not-for-system"),
    ("duplicate-entries", 24, 39, "duplicate-entry"),
    ("duplicate-key", 64, 15, "duplicate-key"),
    ("effect-of-deliveries", 28, 26, "effect-of-deliveries"),
    ("empty", 1, 1, "empty-file"),
    ("enum-without-values", 22, 13, "enum-without-values"),
    ("failure-asks-input", 26, 49, "failure-asks-input"),
    ("failure-event-unknown", 26, 49, "failure-event-unknown"),
    ("failure-without-reason", 47, 13, "failure-without-reason"),
    ("foreign-effect-without-queue", 26, 13, "bad-effect"),
    ("guard-always-holds", 44, 26, "guard-always-holds"),
    ("guard-never-holds", 44, 19, "guard-never-holds"),
    ("guard-wrong-type", 44, 26, "bad-condition"),
    ("happy-path-broken", 26, 13, "happy-path-broken"),
    ("initial-immediate", 29, 33, "initial-immediate"),
    ("initial-requires", 28, 15, "initial-requires"),
    ("length-out-of-range", 21, 62, "length-out-of-range"),
    ("list-as-key", 63, 17, "key-not-text"),
    ("list-expected", 60, 27, "wrong-shape"),
    ("many-defects", 19, 20, "unknown-initial"),
    ("merge-key", 64, 15, "merge-key"),
    ("metadata-differs", 7, 36, "metadata-differs"),
    ("misplaced-attributes", 21, 60, "misplaced-attribute"),
    ("misplaced-disposition", 48, 17, "misplaced-disposition"),
    ("missing-key", 58, 17, "wrong-shape"),
    ("modifiable-end", 63, 15, "modifiable-end"),
    ("no-actors", 37, 13, "waits-for-ever"),
    ("no-content", 8, 5, "not-structured"),
    ("no-graph", 1, 1, "no-graph"),
    ("no-resources", 2, 1, "not-a-template"),
    ("not-a-template", 1, 1, "not-a-template"),
    ("not-yaml", 1, 31, "not-yaml"),
    ("nothing-to-compensate", 65, 28, "nothing-to-compensate"),
    ("null", 18, 20, "null-value"),
    ("operator-out-of-reach", 47, 13, "operator-out-of-reach"),
    ("outcome-before-end", 57, 24, "outcome-before-end"),
    ("parked-for-ever", 62, 17, "parked-for-ever"),
    ("routing-revision", 74, 21, "routing-revision"),
    ("routing-twice", 86, 20, "routing-twice"),
    ("routing-version-unknown", 75, 21, "routing-version-unknown"),
    ("routing-weights", 76, 11, "weights-not-hundred"),
    ("schema-and-version", 15, 19, "schema-out-of-range"),
    ("second-document", 78, 1, "second-document"),
    ("sets-unfit", 37, 42, "sets-unfit"),
    ("short-form", 13, 7, "not-structured"),
    ("successor-unfit", 37, 30, "successor-unfit"),
    ("tabs", 2, 2, "not-yaml"),
    ("tag-in-graph", 18, 20, "tag-in-graph"),
    ("takes-too-long", 40, 15, "takes-too-long"),
    ("terminal-with-exits", 67, 15, "terminal-with-deadline"),
    ("terminal-without-outcome", 61, 13, "terminal-without-outcome"),
    ("too-deep", 1, 75, "too-deep"),
    ("too-many-active", 76, 11, "too-many-active"),
    ("two-graphs-of-one-version", 65, 3, "published-twice"),
    ("two-versions-no-routing", 4, 3, "no-routing"),
    ("unknown-disposition", 62, 33, "unknown-word"),
    ("unknown-effect", 64, 51, "unknown-effect"),
    ("unknown-field", 39, 48, "unknown-field"),
    ("unknown-initial", 19, 20, "unknown-initial"),
    ("unknown-inverse", 26, 66, "unknown-inverse"),
    ("unknown-key", 28, 15, "wrong-shape"),
    ("unknown-role", 60, 38, "unknown-role"),
    ("unknown-target", 42, 23, "unknown-target"),
    ("unknown-words", 21, 42, "unknown-word"),
    ("unreachable", 61, 13, "unreachable"),
    ("waits-for-ever", 37, 13, "waits-for-ever"),
    ("wrong-resource-type", 5, 11, "wrong-resource-type"),
    ("wrong-type", 17, 20, "wrong-shape"),
];

#[test]
fn every_bad_template_is_refused_with_its_code_at_its_place() {
    assert!(REFUSED.len() >= 30);
    for (name, line, column, code) in REFUSED {
        let faults = match Template::parse(&fixture(&format!("{name}.yaml")), name) {
            Err(TemplateError::Faulty { faults, .. }) => faults,
            other => panic!("{name}: {other:?}"),
        };
        let first = &faults[0];
        let found = (first.position.line, first.position.column, first.code);
        assert_eq!(found, (*line, *column, *code), "{name}: {faults:#?}");
    }
}

/// What no small text can break: a file or a list that is too large, bytes that are no text; and a version that differs from its line
/// in the lock, which is another file (`locked.rs`).
const WITHOUT_A_FILE: [&str; 6] = [
    "file-too-large",
    "not-utf-8",
    "too-large",
    "version-changed",
    "version-lost",
    "version-unlocked",
];

#[test]
fn every_rule_has_a_bad_template() {
    let folder = super::at_home("tests/fixtures/graphs");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut broken = std::collections::BTreeSet::from(WITHOUT_A_FILE.map(str::to_owned));
    for path in files {
        let text = std::fs::read_to_string(path).unwrap();
        if let Err(TemplateError::Faulty { faults, .. }) = Template::parse(&text, "template.yaml") {
            broken.extend(faults.into_iter().map(|fault| fault.code.to_owned()));
        }
    }

    let rules = waybill_domain::DefectKind::ALL.iter().map(|kind| kind.code());
    let rules = rules.chain(super::TemplateRule::ALL.iter().map(|rule| rule.code()));
    let unbroken: Vec<&str> = rules.filter(|code| !broken.contains(*code)).collect();
    assert_eq!(unbroken, Vec::<&str>::new(), "a rule that no fixture breaks");
}

#[test]
fn every_bad_fixture_is_in_the_table() {
    let folder = super::at_home("tests/fixtures/graphs");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in names {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        let is_bad = Template::parse(&fixture(&format!("{name}.yaml")), name).is_err();
        let is_expected = REFUSED.iter().any(|(refused, ..)| *refused == name);
        assert_eq!(is_bad, is_expected, "{name}");
    }
}
