//! What a program knows of the graphs' language, and what a version asks of it.

use waybill_domain::{Graph, known_words};

use crate::support::{shipped, shipped_document};

#[test]
fn this_program_knows_every_word_of_the_shipped_graph() {
    let words = shipped().words();

    assert!(words.is_subset(&known_words()), "{words:?}");
    for word in [
        "schema 1",
        "effect book_delivery_partner",
        "effect cancel_delivery_partner",
        "type enum",
    ] {
        assert!(words.contains(word), "{word}");
    }
    assert!(!words.contains("type instant"));
}

#[test]
fn a_version_asks_for_what_it_says_and_not_for_the_tasks_of_others() {
    let mut document = shipped_document();
    let foreign = r#"{ "tell_the_shop": { "task": "shop.tell", "queue": "shop" } }"#;
    document.effects = serde_json::from_str(foreign).expect("effects");
    let created = document.states.get_mut("CREATED").expect("a state");
    created.on_enter.push("tell_the_shop".to_owned());
    let noted = r#"{ "CUSTOMER_CONFIRMED": { "is": "note" } }"#;
    created.otherwise = serde_json::from_str(noted).expect("dispositions");
    let cancelled = created.transitions.get_mut("CANCELLED").expect("a transition");
    cancelled.when = serde_json::from_str(r#"[{ "field": "note", "known": false }]"#).expect("conditions");

    let words = Graph::check(document).expect("a good graph").words();

    let more: Vec<String> = words.difference(&shipped().words()).cloned().collect();
    assert_eq!(more, ["condition known", "disposition note"]);
}
