//! Every rule for graphs, broken once.

use waybill_domain::{DeadlineDocument, DefectKind, Graph, GraphDocument, StateDocument, TransitionDocument};

use crate::support::small_document;

/// The defects of the small graph after `spoil`, as kind and text.
fn defects(spoil: impl FnOnce(&mut GraphDocument)) -> Vec<(DefectKind, String)> {
    let mut document = small_document();
    spoil(&mut document);
    let defects = Graph::check(document).expect_err("a spoiled graph");
    defects
        .into_iter()
        .map(|defect| (defect.kind, defect.to_string()))
        .collect()
}

/// Spoiling breaks exactly one rule, at that path and in these words.
fn breaks(kind: DefectKind, expected: &str, spoil: impl FnOnce(&mut GraphDocument)) {
    assert_eq!(defects(spoil), [(kind, expected.to_owned())]);
}

fn state<'a>(document: &'a mut GraphDocument, name: &str) -> &'a mut StateDocument {
    document.states.get_mut(name).expect("a state of the small graph")
}

fn transition<'a>(document: &'a mut GraphDocument, name: &str, event: &str) -> &'a mut TransitionDocument {
    state(document, name)
        .transitions
        .get_mut(event)
        .expect("a transition of the small graph")
}

fn a_way(to: &str, actor: &str) -> TransitionDocument {
    TransitionDocument {
        to: to.to_owned(),
        actors: vec![actor.to_owned()],
        ..TransitionDocument::default()
    }
}

fn an_end() -> StateDocument {
    StateDocument {
        kind: "terminal".to_owned(),
        outcome: Some("cancelled".to_owned()),
        ..StateDocument::default()
    }
}

fn after(after: &str, event: &str) -> Option<DeadlineDocument> {
    Some(DeadlineDocument {
        after: after.to_owned(),
        from: None,
        event: event.to_owned(),
    })
}

#[test]
fn the_small_graph_is_good() {
    Graph::check(small_document()).unwrap();
}

#[test]
fn the_initial_state_must_exist() {
    breaks(
        DefectKind::UnknownInitial,
        "initial: state NOWHERE is not defined",
        |document| {
            document.initial = "NOWHERE".to_owned();
        },
    );
}

#[test]
fn a_transition_must_lead_to_a_state() {
    let expected = "states.PENDING.transitions.RESOLVED.to: state NOWHERE is not defined";

    breaks(DefectKind::UnknownTarget, expected, |document| {
        transition(document, "PENDING", "RESOLVED").to = "NOWHERE".to_owned();
    });
}

#[test]
fn a_way_back_is_a_cycle_and_is_printed() {
    // No arrow of a cycle is more wrong than the others: it is shown at the one that closes it on the first way round.
    let expected = "states.FAILED.transitions.ESCALATED.to: the graph must be acyclic: PENDING -> PICKED_UP -> FAILED -> \
                    PENDING";

    breaks(DefectKind::Cycle, expected, |document| {
        state(document, "PENDING")
            .transitions
            .insert("REOPENED".to_owned(), a_way("PICKED_UP", "operator"));
    });
}

#[test]
fn a_state_that_leads_to_itself_is_a_cycle() {
    let expected = "states.PENDING.transitions.WAITED.to: the graph must be acyclic: PENDING -> PENDING";

    breaks(DefectKind::Cycle, expected, |document| {
        state(document, "PENDING")
            .transitions
            .insert("WAITED".to_owned(), a_way("PENDING", "operator"));
    });
}

#[test]
fn two_ways_back_are_two_cycles() {
    let found = defects(|document| {
        state(document, "PENDING")
            .transitions
            .insert("REOPENED".to_owned(), a_way("CREATED", "operator"));
        state(document, "FAILED")
            .transitions
            .insert("RETRIED".to_owned(), a_way("PICKED_UP", "operator"));
    });

    let kinds: Vec<DefectKind> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [DefectKind::Cycle, DefectKind::Cycle], "{found:?}");
}

#[test]
fn a_cycle_among_unreachable_states_is_found_too() {
    let found = defects(|document| {
        let mut limbo = an_end();
        limbo.kind = "active".to_owned();
        limbo.outcome = None;
        limbo
            .transitions
            .insert("WAITED".to_owned(), a_way("LIMBO", "operator"));
        document.states.insert("LIMBO".to_owned(), limbo);
    });

    let kinds: Vec<DefectKind> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [DefectKind::Unreachable, DefectKind::Cycle], "{found:?}");
}

#[test]
fn a_state_that_no_way_leads_to_is_unreachable() {
    breaks(
        DefectKind::Unreachable,
        "states.LIMBO: no way leads from CREATED to LIMBO",
        |document| {
            document.states.insert("LIMBO".to_owned(), an_end());
        },
    );
}

#[test]
fn a_state_without_a_way_out_is_a_dead_end() {
    let expected = "states.STUCK: STUCK is not terminal and has no transitions: an order would stay for ever";

    breaks(DefectKind::DeadEnd, expected, |document| {
        let mut stuck = an_end();
        stuck.kind = "active".to_owned();
        stuck.outcome = None;
        document.states.insert("STUCK".to_owned(), stuck);
        state(document, "PENDING")
            .transitions
            .insert("STUCK".to_owned(), a_way("STUCK", "operator"));
    });
}

#[test]
fn a_terminal_state_has_no_way_out() {
    let expected = "states.REPLACED.transitions: REPLACED is terminal, expected no transitions";

    breaks(DefectKind::TerminalWithExits, expected, |document| {
        state(document, "REPLACED")
            .transitions
            .insert("ENDED".to_owned(), a_way("DONE", "operator"));
    });
}

#[test]
fn a_terminal_state_has_no_deadline() {
    let found = defects(|document| state(document, "DONE").deadline = after("P1D", "FORGOTTEN"));

    let expected = [
        (
            DefectKind::TerminalWithDeadline,
            "states.DONE.deadline: DONE is terminal, expected no deadline",
        ),
        (
            DefectKind::DeadlineEventUnknown,
            "states.DONE.deadline.event: FORGOTTEN is not a transition of DONE",
        ),
    ];
    assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
}

#[test]
fn a_terminal_state_says_how_it_ended() {
    let expected = "states.DONE: terminal state DONE has no outcome, expected success, failure or cancelled";

    breaks(DefectKind::TerminalWithoutOutcome, expected, |document| {
        state(document, "DONE").outcome = None
    });
}

#[test]
fn only_an_end_has_an_outcome() {
    let expected = "states.PENDING.outcome: PENDING is not terminal, expected no outcome";

    breaks(DefectKind::OutcomeBeforeEnd, expected, |document| {
        state(document, "PENDING").outcome = Some("failure".to_owned());
    });
}

#[test]
fn a_failure_that_a_partner_reports_requires_a_reason() {
    let expected = "states.FAILED: FAILED has no reason: a delivery partner can bring it about, expected an enum field in \
                    requires that gives the reason";

    breaks(DefectKind::FailureWithoutReason, expected, |document| {
        state(document, "FAILED").requires.clear()
    });
}

#[test]
fn a_text_is_not_a_reason() {
    let found = defects(|document| state(document, "FAILED").requires = vec!["number".to_owned()]);

    assert_eq!(found[0].0, DefectKind::FailureWithoutReason);
    assert_eq!(found.len(), 1);
}

#[test]
fn a_state_that_only_records_a_fact_requires_a_reason() {
    let expected = "states.FAILED: FAILED has no reason: it hands on at once, expected an enum field in requires that gives \
                    the reason";

    breaks(DefectKind::FailureWithoutReason, expected, |document| {
        state(document, "FAILED").requires.clear();
        transition(document, "PICKED_UP", "FAILED").actors = vec!["service".to_owned()];
    });
}

#[test]
fn an_end_in_failure_requires_a_reason_or_what_takes_over() {
    let expected = "states.REPLACED: REPLACED has no reason: its outcome is failure, expected an enum field in requires \
                    that gives the reason, or a uuid of what takes over";

    breaks(DefectKind::FailureWithoutReason, expected, |document| {
        state(document, "REPLACED").requires.clear()
    });
}

#[test]
fn an_operator_can_act_after_every_deviation() {
    let found = defects(|document| {
        for event in ["RESOLVED", "REPLACED"] {
            transition(document, "PENDING", event).actors = vec!["service".to_owned()];
        }
    });

    let expected = ["FAILED", "PENDING"].map(|name| {
        let detail =
            format!("states.{name}: {name} needs attention, but an operator can act neither in it nor after it");
        (DefectKind::OperatorOutOfReach, detail)
    });
    assert_eq!(found, expected);
}

#[test]
fn a_deadline_is_a_duration() {
    let expected = "states.CREATED.deadline.after: \"48 hours\" is not a duration, expected ISO 8601 of at most ten years \
                    in weeks, days, hours, minutes and seconds, such as PT48H or P7D";

    breaks(DefectKind::BadDuration, expected, |document| {
        state(document, "CREATED").deadline = after("48 hours", "OVERDUE")
    });
}

#[test]
fn a_deadline_names_a_way_out_of_its_state() {
    let expected = "states.CREATED.deadline.event: RESOLVED is not a transition of CREATED";

    breaks(DefectKind::DeadlineEventUnknown, expected, |document| {
        state(document, "CREATED").deadline = after("P1D", "RESOLVED");
    });
}

#[test]
fn a_deadline_is_reported_by_the_system() {
    let expected = "states.CREATED.deadline.event: OVERDUE is not allowed to system, which reports deadlines";

    breaks(DefectKind::DeadlineNotForSystem, expected, |document| {
        transition(document, "CREATED", "OVERDUE").actors = vec!["operator".to_owned()];
    });
}

#[test]
fn a_deadline_asks_for_nothing() {
    let expected = "states.CREATED.deadline.event: OVERDUE requires number, which a deadline cannot bring";

    breaks(DefectKind::DeadlineAsksInput, expected, |document| {
        transition(document, "CREATED", "OVERDUE").requires = vec!["number".to_owned()];
    });
}

#[test]
fn a_deadline_may_lead_where_everything_required_is_known_already() {
    let mut document = small_document();
    state(&mut document, "PICKED_UP").deadline = after("P7D", "LATE");
    let mut late = a_way("PENDING", "system");
    late.requires = vec!["number".to_owned()];
    state(&mut document, "PICKED_UP")
        .transitions
        .insert("LATE".to_owned(), late);

    Graph::check(document).unwrap();
}

#[test]
fn what_only_one_way_in_brings_is_not_known() {
    // PENDING is entered from CREATED too, where no number is known.
    breaks(
        DefectKind::DeadlineAsksInput,
        "states.PENDING.deadline.event: FORGOTTEN requires number, which a deadline cannot bring",
        |document| {
            state(document, "PENDING").deadline = after("P30D", "FORGOTTEN");
            let mut forgotten = a_way("DONE", "system");
            forgotten.requires = vec!["number".to_owned()];
            state(document, "PENDING")
                .transitions
                .insert("FORGOTTEN".to_owned(), forgotten);
        },
    );
}

#[test]
fn an_order_can_be_in_its_initial_state() {
    let expected = "states.CREATED.deadline.after: CREATED is the initial state, expected a deadline after its birth";

    breaks(DefectKind::InitialImmediate, expected, |document| {
        state(document, "CREATED").deadline = after("PT0S", "OVERDUE");
    });
}

#[test]
fn a_birth_is_asked_for_nothing() {
    let expected = "states.CREATED.requires: CREATED is the initial state, expected no required fields";

    breaks(DefectKind::InitialRequires, expected, |document| {
        state(document, "CREATED").requires = vec!["number".to_owned()];
    });
}

#[test]
fn all_defects_are_found_at_once() {
    let found = defects(|document| {
        document.initial = "NOWHERE".to_owned();
        state(document, "CREATED").deadline = after("P1M", "OVERDUE");
        state(document, "DONE").outcome = None;
        state(document, "FAILED").requires = vec!["reasons".to_owned()];
        transition(document, "PENDING", "RESOLVED").actors = vec!["courier".to_owned()];
    });

    let kinds: Vec<DefectKind> = found.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [
            DefectKind::UnknownInitial,
            DefectKind::BadDuration,
            DefectKind::TerminalWithoutOutcome,
            DefectKind::FailureWithoutReason,
            DefectKind::UnknownField,
            DefectKind::UnknownRole,
        ],
        "{found:#?}"
    );
}
