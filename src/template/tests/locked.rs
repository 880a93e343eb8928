//! Published versions are never edited: the lock file says what they were.

use super::super::lock::{Lock, LockError};
use super::*;

fn refusal(lock: &Lock, text: &str) -> Vec<(usize, &'static str, String)> {
    let template = Template::parse(text, "t.yaml").unwrap_or_else(|error| panic!("{error}"));
    match lock.check(&template, "t.yaml") {
        Ok(()) => Vec::new(),
        Err(TemplateError::Faulty { faults, .. }) => {
            let faults = faults.into_iter();
            faults
                .map(|fault| (fault.position.line, fault.code, fault.message))
                .collect()
        }
        Err(other) => panic!("{other}"),
    }
}

fn line_of(text: &str, wanted: &str) -> usize {
    text.lines().position(|line| line == wanted).expect("a line") + 1
}

#[test]
fn every_version_of_every_machine_is_what_was_published() {
    for (name, text) in MACHINES {
        let template = Template::parse(text, name).unwrap_or_else(|error| panic!("{error}"));

        Lock::shipped()
            .check(&template, name)
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn an_edited_version_is_refused_where_it_begins() {
    let edited = SHIPPED.replace("after: PT48H", "after: PT49H");

    let found = refusal(&Lock::shipped(), &edited);

    let [(line, code, message)] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!(
        (*line, *code),
        (line_of(SHIPPED, "  DeliveryGraphV1:"), "version-changed")
    );
    assert!(
        message.starts_with("delivery-order version 1 was published with sha256 "),
        "{message}"
    );
    assert!(message.ends_with(": publish a new version instead"), "{message}");
}

#[test]
fn another_way_of_writing_the_same_is_no_edit() {
    let rewritten = SHIPPED.replace(
        "{after: PT48H, event: PICKUP_OVERDUE}",
        "{event: 'PICKUP_OVERDUE', after: \"PT48H\"}",
    );

    assert_ne!(rewritten, SHIPPED);
    assert_eq!(refusal(&Lock::shipped(), &rewritten), []);
}

#[test]
fn a_version_that_is_not_locked_is_told_the_line_it_needs() {
    let two = fixture("two-versions.yaml");
    let template = Template::parse(&two, "t.yaml").unwrap();
    let first = format!(
        "delivery-order 1 {}\n",
        template.sha256(MACHINE, GraphVersion(1)).unwrap()
    );
    let lock = Lock::parse(&first, "graph.lock").unwrap();

    let found = refusal(&lock, &two);

    assert_eq!((found.len(), found[0].0, found[0].1), (1, 65, "version-unlocked"));
    let lines = lock.missing(&template);
    let whole = Lock::parse(&format!("# versions\n\n{first}{}\n", lines.join("\n")), "graph.lock").unwrap();
    assert_eq!(refusal(&whole, &two), []);
    assert!(whole.missing(&template).is_empty());
}

#[test]
fn a_published_version_stays_until_it_is_retired() {
    let one = fixture("one-version-no-routing.yaml");
    let hash = Template::parse(&one, "t")
        .unwrap()
        .sha256(MACHINE, GraphVersion(1))
        .unwrap()
        .to_owned();
    let lock = |ending: &str| {
        let text = format!("delivery-order 1 {hash}\ndelivery-order 2 {hash}{ending}\nother 9 {hash}\n");
        Lock::parse(&text, "graph.lock").unwrap()
    };

    let found = refusal(&lock(""), &one);

    assert_eq!((found.len(), found[0].1), (1, "version-lost"));
    assert_eq!(refusal(&lock(" retired"), &one), []);
}

#[test]
fn a_lock_that_says_something_else_is_refused_by_its_line() {
    let hash = "a".repeat(64);
    let twice = format!("order 1 {hash}\norder 1 {hash}\n");
    for (text, line) in [
        ("order 1\n", 1),
        ("order one abc\n", 1),
        (twice.as_str(), 2),
        ("# good\norder 1 zz\n", 2),
    ] {
        let error = Lock::parse(text, "graph.lock").unwrap_err();
        assert!(
            matches!(error, LockError::Malformed { line: found, .. } if found == line),
            "{text}"
        );
    }
}
