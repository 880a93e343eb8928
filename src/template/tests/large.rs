//! Two hundred states: as many as nobody has, checked as a whole.

use std::fmt::Write as _;

use super::*;

/// States one after the other; each leads on, skips some, gives up, is guarded and has a deadline.
fn template_of(states: usize) -> String {
    let mut text = fixture("good.yaml");
    let start = text.find("            CREATED:\n").unwrap();
    let end = text.find("            PENDING:\n").unwrap();
    let mut body = String::new();
    for place in 0..states - 2 {
        let name = if place == 0 {
            "CREATED".to_owned()
        } else {
            format!("STEP_{place}")
        };
        writeln!(
            body,
            "            {name}:\n              kind: active\n              on_enter: [notify_customer]"
        )
        .unwrap();
        body += "              deadline: {after: PT1H, event: OVERDUE}\n              transitions:\n";
        body += "                OVERDUE:\n                  to: PENDING\n                  actors: [system]\n";
        for skip in 1..=5 {
            let to = match place + skip {
                next if next < states - 2 => format!("STEP_{next}"),
                _ => "DONE".to_owned(),
            };
            writeln!(
                body,
                "                ON_{skip}:\n                  to: {to}\n                  actors: [service]"
            )
            .unwrap();
            body += "                  requires: [partner_order_number]\n";
            if place > 10 {
                body += "                  when: [{field: failure_reason, is: LOST}, {been_in: STEP_7}]\n";
            }
        }
    }
    text.replace_range(start..end, &body);
    text
}

#[test]
fn two_hundred_states_are_checked_as_a_whole() {
    let template = Template::parse(&template_of(200), "large.yaml").unwrap_or_else(|error| panic!("{error}"));

    let graph = template.graph(MACHINE, GraphVersion(1)).unwrap();
    assert_eq!(graph.states().count(), 200);
    assert_eq!(
        graph.states().map(|state| state.edges.len()).sum::<usize>(),
        198 * 6 + 1
    );
    assert!(graph.count_ways() > 100_000);
    assert!(graph.ways().is_empty());
}

#[test]
fn one_fault_among_two_hundred_states_is_found_where_it_is() {
    let text = template_of(200).replacen("been_in: STEP_7", "been_in: STEP_150", 1);

    let faults = faults(&text);

    assert_eq!(faults.len(), 1);
    let told = "guard-never-holds: states.STEP_11.transitions.ON_1.when: ON_1 can never happen in STEP_11";
    assert!(faults[0].contains(told), "{faults:?}");
}
