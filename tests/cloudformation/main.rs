//! The templates as an AWS account would meet them: their policy rules, and their life in an emulator on this machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The Python that `make templates` checks with, made if it is not there.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let home = root.join("target/cloudformation");
    let made = Command::new(root.join("tests/services/venv"))
        .arg(&home)
        .arg(root.join("tests/services/cloudformation.txt"))
        .status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "a Python environment in {}",
        home.display()
    );
    home.join("bin/python")
}

fn run(script: &str, arguments: &[&str]) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cloudformation")
        .join(script);
    let Output { status, stdout, stderr } = Command::new(python())
        .arg(file)
        .args(arguments)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python starts");
    let said = String::from_utf8_lossy(&stdout).into_owned();
    print!("{said}");
    assert!(status.success(), "{script}: {said}{}", String::from_utf8_lossy(&stderr));
    said
}

#[test]
fn every_template_keeps_the_rules_and_every_mutation_breaks_the_one_that_it_should() {
    let said = run("policy.py", &[]);

    assert!(said.matches("caught by").count() >= 12, "{said}");
}

#[test]
fn a_version_is_published_activated_rolled_back_and_retired_and_an_edited_one_is_refused() {
    let said = run("deploy.py", &[env!("CARGO_BIN_EXE_waybill")]);

    assert!(said.ends_with("holds: the routing is as before\n"), "{said}");
}
