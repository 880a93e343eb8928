//! What hides a problem must say why.

use crate::repository::{Source, files, keep};

/// Offsets of the attributes that begin so, with their whole text.
fn attributes<'a>(file: &'a Source, name: &str) -> Vec<(usize, &'a str)> {
    let mut found = Vec::new();
    for opening in ["#[", "#!["] {
        let start = format!("{opening}{name}");
        for (at, _) in file.code.match_indices(&start) {
            let end = file.code[at..].find(']').map_or(file.code.len(), |length| at + length);
            found.push((at, &file.text[at..end]));
        }
    }
    found
}

#[test]
fn a_lint_is_expected_with_a_reason_and_never_allowed() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.is_rust()) {
        broken.extend(attributes(file, "allow(").iter().map(|(at, _)| file.at(*at)));
        let silent = attributes(file, "expect(")
            .into_iter()
            .filter(|(_, attribute)| !attribute.contains("reason = \""));
        broken.extend(silent.map(|(at, _)| file.at(at)));
    }

    keep("a suppressed lint is #[expect(lint, reason = \"…\")]", broken);
}

#[test]
fn no_test_is_ignored() {
    let rust = files().iter().filter(|file| file.is_rust());

    let broken = rust.flat_map(|file| attributes(file, "ignore").into_iter().map(|(at, _)| file.at(at)));

    keep("a test runs, or is not there", broken.collect());
}

#[test]
fn what_is_still_to_be_done_has_a_number() {
    let mark = concat!("TO", "DO");
    let open = |line: &str| {
        line.split(mark).skip(1).any(|after| {
            let number = after.trim_start_matches(['(', ' ']).strip_prefix('#');
            !number.is_some_and(|number| number.starts_with(|letter: char| letter.is_ascii_digit()))
        })
    };

    let texts = files()
        .iter()
        .filter(|file| !file.path.starts_with("tests/tidy/") && file.path != "Cargo.lock");
    let broken = texts.flat_map(|file| file.lines_where(&file.text, |line| line.contains(mark) && open(line)));

    keep(
        &format!("a {mark} has the number of an issue: {mark}(#12)"),
        broken.collect(),
    );
}
