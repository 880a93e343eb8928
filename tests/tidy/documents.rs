//! Documents that tests can check: decisions, links, the names of tasks.

use std::path::Path;

use crate::code::identifiers;
use crate::repository::{Source, files, keep, product, root};

/// What tests, benches and `make accept` are told; not for the product.
const FOREIGN: [&str; 3] = ["WAYBILL_TEST_", "WAYBILL_BENCH", "WAYBILL_ACCEPT"];

fn decisions() -> Vec<(u32, &'static Source)> {
    let adrs = files()
        .iter()
        .filter(|file| file.path.starts_with("docs/adr/") && file.path.ends_with(".md"));
    let numbered = adrs.filter(|file| !matches!(file.stem(), "README" | "index" | "template"));
    let number = |file: &Source| file.stem().split('-').next().and_then(|digits| digits.parse().ok());
    numbered
        .map(|file| {
            (
                number(file).unwrap_or_else(|| panic!("{}: an ADR is NNNN-title.md", file.path)),
                file,
            )
        })
        .collect()
}

#[test]
fn decisions_are_numbered_without_gaps() {
    let mut numbers: Vec<_> = decisions().into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();

    let expected: Vec<_> = (1..).take(numbers.len()).collect();

    assert_eq!(numbers, expected, "docs/adr: numbered from 1, each once");
}

#[test]
fn a_decision_says_status_context_decision_and_consequences() {
    let headings = ["## Status", "## Context", "## Decision", "## Consequences"];
    let mut broken = Vec::new();
    for (_, file) in decisions() {
        let missing = headings
            .iter()
            .filter(|heading| !file.text.lines().any(|line| line.trim_end() == **heading));
        broken.extend(missing.map(|heading| format!("{}: no heading {heading}", file.path)));
    }

    keep("an ADR has four headings", broken);
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for file in files().iter().filter(|file| file.path.ends_with(".md")) {
        let folder = root()
            .join(&file.path)
            .parent()
            .map(Path::to_path_buf)
            .unwrap_or_default();
        for (at, _) in file.text.match_indices("](") {
            let target = file.text[at + 2..].split([')', ' ', '\n']).next().unwrap_or_default();
            let path = target.split('#').next().unwrap_or_default();
            let elsewhere = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !elsewhere && !folder.join(path).exists() {
                broken.push(file.at(at));
            }
        }
    }

    keep("a relative link names a file that is there", broken);
}

#[test]
fn every_edge_case_names_tests_that_are_there() {
    let pages = ["docs/edge-cases.md", "docs/receiver-conformance.md"];
    let rust = || files().iter().filter(|file| file.is_rust());
    // A test of both databases is a module.
    let is_there = |name: &str| {
        let declared = [format!("fn {name}("), format!("{name}:"), format!("mod {name} ")];
        rust().any(|file| declared.iter().any(|text| file.code.contains(text)))
    };
    let is_name = |text: &&str| {
        text.contains('_')
            && text
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte))
    };
    let mut broken = Vec::new();
    for page in files().iter().filter(|file| pages.contains(&file.path.as_str())) {
        let rows = page
            .text
            .lines()
            .zip(1..)
            .filter(|(line, _)| line.starts_with("| ") && !line.contains("| test |"));
        for (line, number) in rows {
            let tests: Vec<&str> = line.split('`').skip(1).step_by(2).filter(is_name).collect();
            let missing = tests.iter().filter(|name| !is_there(name));
            broken.extend(missing.map(|name| format!("{}:{number}: no test {name}", page.path)));
            if tests.is_empty() {
                broken.push(format!("{}:{number}: names no test", page.path));
            }
        }
    }

    keep(
        "each row of the edge cases and of the receiver's conformance names its tests",
        broken,
    );
}

#[test]
fn what_is_compatible_is_shown_by_a_test_of_that_name() {
    let page = files()
        .iter()
        .find(|file| file.path.ends_with("docs/celery-compatibility.md"))
        .expect("the page");
    let rows = page
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with("| ") && !line.starts_with("| |"));
    let shown_by: Vec<(usize, &str)> = rows
        .filter_map(|(number, line)| Some((number, line.trim_end_matches(" |").rsplit_once(" | ")?.1)))
        .filter(|(_, cell)| cell.contains("]("))
        .collect();

    let mut broken = Vec::new();
    for (number, cell) in &shown_by {
        for link in cell.split("; ") {
            let Some((_, rest)) = link.split_once("](../") else {
                broken.push(format!("line {}: no file in {link}", number + 1));
                continue;
            };
            let (path, names) = rest.split_once(')').unwrap_or((rest, ""));
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
            let missing = names.iter().filter(|name| !text.contains(**name));
            broken.extend(missing.map(|name| format!("line {}: no {name} in {path}", number + 1)));
            if names.is_empty() {
                broken.push(format!("line {}: {path} shows much, name what shows this", number + 1));
            }
        }
    }

    assert!(
        shown_by.len() > 50,
        "only {} rows are shown by anything",
        shown_by.len()
    );
    keep("a row of the compatibility page names a test that is there", broken);
}

#[test]
fn every_task_is_documented() {
    let pages = files()
        .iter()
        .filter(|file| file.path.starts_with("docs/") && file.path.ends_with(".md"));
    let docs: String = pages.map(|file| file.text.as_str()).collect();
    let effects =
        product().filter(|file| file.path.starts_with("tasks/src/effects/") && file.code.contains("const NAME"));

    let unknown = effects.filter(|file| !docs.is_empty() && !docs.contains(&format!("waybill.{}", file.stem())));

    keep(
        "each task is named in docs/, as waybill.<file>",
        unknown.map(|file| file.path.clone()).collect(),
    );
}

#[test]
fn settings_that_are_named_exist() {
    let known = files()
        .iter()
        .find(|file| file.path == "src/config/names.rs")
        .expect("the settings have a list");
    let exists = |name: &str| {
        let setting = name.strip_suffix("_FILE").unwrap_or(name);
        known.text.contains(&format!("\"{setting}\"")) || FOREIGN.iter().any(|prefix| name.starts_with(prefix))
    };

    let shown = files()
        .iter()
        .filter(|file| file.path.ends_with(".md") || file.path.starts_with("deploy/"));
    let broken = shown.flat_map(|file| {
        let names = identifiers(&file.text).filter(|(_, name)| name.starts_with("WAYBILL_") && !name.ends_with('_'));
        names.filter(|(_, name)| !exists(name)).map(|(at, _)| file.at(at))
    });

    keep(
        "a setting in docs/ and deploy/ is one of src/config/names.rs",
        broken.collect(),
    );
}
