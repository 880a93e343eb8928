//! `domain` <- `tasks`, `webhooks` <- `waybill`: what each package may depend on.

use serde_json::Value;

use crate::repository::{cargo, files, keep, root, run};

/// Name and direct dependencies (not those of tests) of each package in the workspace.
fn packages() -> Vec<(String, Vec<String>)> {
    let printed = run(
        cargo(),
        &["metadata", "--no-deps", "--format-version", "1", "--offline"],
    );
    let metadata: Value = serde_json::from_str(&printed).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a workspace has packages");
    packages
        .iter()
        .map(|package| (text(&package["name"]), dependencies(package)))
        .collect()
}

fn dependencies(package: &Value) -> Vec<String> {
    let listed = package["dependencies"]
        .as_array()
        .expect("a package lists its dependencies");
    listed
        .iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .map(|dependency| text(&dependency["name"]))
        .collect()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a name is text").to_owned()
}

fn of(name: &str) -> Vec<String> {
    let found = packages().into_iter().find(|(package, _)| package == name);
    found.unwrap_or_else(|| panic!("there is no package {name}")).1
}

#[test]
fn the_domain_depends_on_four_small_crates() {
    let allowed = ["serde", "thiserror", "chrono", "uuid"];

    let others = of("waybill-domain")
        .into_iter()
        .filter(|name| !allowed.contains(&name.as_str()));

    keep(
        "domain/Cargo.toml: only serde, thiserror, chrono and uuid",
        others.collect(),
    );
}

#[test]
fn tasks_and_webhooks_know_neither_each_other_nor_sql() {
    let mut broken = Vec::new();
    for (package, forbidden) in [
        ("waybill-tasks", ["waybill-webhooks", "waybill", "sqlx"]),
        ("waybill-webhooks", ["waybill-tasks", "waybill", "sqlx"]),
    ] {
        let known = of(package)
            .into_iter()
            .filter(|name| forbidden.contains(&name.as_str()));
        broken.extend(known.map(|name| format!("{package} depends on {name}")));
    }

    keep("tasks and webhooks never meet, and know no SQL", broken);
}

#[test]
fn ring_is_the_one_crypto_provider_and_no_other_tls_is_linked() {
    let tree = run(
        cargo(),
        &[
            "tree",
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
            "--locked",
        ],
    );
    let forbidden = ["aws-lc-rs", "aws-lc-sys", "openssl", "openssl-sys", "native-tls"];

    let names: Vec<_> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let linked = names
        .iter()
        .filter(|name| forbidden.contains(name))
        .map(|name| (*name).to_owned());

    assert!(names.contains(&"ring"), "cargo tree is not understood:\n{tree}");
    keep("`cargo tree -e normal` must not list", linked.collect());
}

#[test]
fn every_package_takes_the_lints_of_the_workspace() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a Cargo.toml");
    assert!(
        manifest.contains("unsafe_code = \"forbid\""),
        "Cargo.toml: unsafe code is forbidden in the whole workspace"
    );

    let manifests = files().iter().filter(|file| file.path.ends_with("Cargo.toml"));
    let without = manifests.filter(|file| !file.text.contains("[lints]\nworkspace = true"));

    keep(
        "each Cargo.toml has [lints] workspace = true",
        without.map(|file| file.path.clone()).collect(),
    );
}
