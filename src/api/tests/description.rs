//! What is written about the API: every code a heading, and the description in docs as it is generated.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::openapi::describe;
use super::super::problem::Code;

/// Codes of the partners' receiver, which is a package of its own.
const OF_WEBHOOKS: [&str; 9] = [
    "webhook-unauthorized",
    "webhook-method-not-allowed",
    "webhook-too-large",
    "webhook-too-many",
    "webhook-too-slow",
    "webhook-too-fast",
    "webhook-not-json",
    "webhook-incomplete",
    "webhook-unavailable",
];

fn docs(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name)
}

#[test]
fn every_problem_has_a_heading_and_every_heading_a_problem() {
    let text = std::fs::read_to_string(docs("problems.md")).expect("docs/problems.md is there");

    let headings: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();

    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).chain(OF_WEBHOOKS).collect();
    let unique: BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!(unique.len(), codes.len(), "a code stands for one thing");
    assert_eq!(headings.iter().copied().collect::<BTreeSet<_>>(), unique);
    assert_eq!(headings.len(), unique.len(), "a heading stands once");
}

#[test]
fn the_receiver_s_problems_are_those_that_are_listed() {
    let source = include_str!("../../../webhooks/src/problem.rs");

    let written = source
        .split('"')
        .filter(|word| word.starts_with("webhook-"))
        .collect::<BTreeSet<_>>();

    assert_eq!(written, OF_WEBHOOKS.into_iter().collect());
}

#[test]
fn the_heading_of_a_problem_names_its_status() {
    let text = std::fs::read_to_string(docs("problems.md")).expect("docs/problems.md is there");

    for code in Code::ALL {
        let section = text
            .split(&format!("\n## {}\n", code.as_str()))
            .nth(1)
            .expect("it has a heading");
        let first = section.trim_start().lines().next().unwrap_or_default();
        assert!(
            first.starts_with(&format!("Status {}.", code.status().as_u16())),
            "{}: {first}",
            code.as_str()
        );
    }
}

#[test]
fn the_description_in_docs_is_the_one_that_is_served() {
    let mut generated = describe().to_pretty_json().expect("the description is JSON");
    generated.push('\n');
    let path = docs("openapi.json");
    if std::env::var("WAYBILL_ACCEPT").is_ok_and(|accept| accept == "1") {
        std::fs::write(&path, &generated).expect("docs can be written");
    }

    let kept = std::fs::read_to_string(&path).unwrap_or_default();

    assert!(
        kept == generated,
        "docs/openapi.json is not what is generated: WAYBILL_ACCEPT=1 rewrites it"
    );
}

#[test]
fn every_route_under_a_token_describes_its_refusals() {
    let described = serde_json::to_value(describe()).expect("the description is JSON");
    let paths = described["paths"].as_object().expect("paths");

    for (path, methods) in paths {
        for (method, operation) in methods.as_object().expect("methods") {
            assert!(
                operation["summary"].as_str().is_some_and(|text| !text.is_empty()),
                "{method} {path} has a summary"
            );
            let answers = operation["responses"].as_object().expect("responses");
            assert!(answers.contains_key("200"), "{method} {path}");
            if operation["security"].is_array() {
                for status in ["401", "403", "503"] {
                    let kinds = answers
                        .get(status)
                        .unwrap_or_else(|| panic!("{method} {path} describes {status}"));
                    assert!(
                        kinds["content"]["application/problem+json"].is_object(),
                        "{method} {path} {status}: {kinds}"
                    );
                }
            }
        }
    }
}
