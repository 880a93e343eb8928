//! `decide` under a model checker: two writers, crashes, repeated, reordered and late messages, an activation in the middle.
//!
//! docs/model.md says what is modelled, within which bounds, and what holds.

mod bug;
mod facts;
mod invariants;
mod order;
mod scenarios;
mod state;
mod system;

use stateright::{Checker, HasDiscoveries, Model, Path};

use bug::Bug;
use scenarios::{DEEP, FOR_FAULTS, Scenario, WHOLE};
use state::State;
use system::{Step, System};

/// The invariant that is broken on the shortest way, with that way.
fn broken(system: System, found: impl Checker<System>) -> Option<String> {
    let mut discoveries = found.discoveries();
    let invariants = invariants::always().into_iter();
    let ways = invariants.filter_map(|invariant| Some((invariant.name, discoveries.remove(invariant.name)?)));
    let (name, way) = ways.min_by_key(|(_, way)| way.clone().into_actions().len())?;
    Some(trace(&system, name, way))
}

fn trace(system: &System, invariant: &str, path: Path<State, Step>) -> String {
    let last = path.last_state().clone();
    let steps: String = path
        .into_actions()
        .into_iter()
        .map(|step| format!("  {}\n", system.words(step)))
        .collect();
    let orders: String = last.store.orders.iter().map(|order| format!("{order:?}\n")).collect();
    format!("broken: {invariant}\n{steps}{orders}")
}

/// Walks every state of a story; answers how many there are.
fn walk(name: &str) -> usize {
    let story = story(name);
    let checker = story.system(None).checker().finish_when(HasDiscoveries::AnyFailures);
    let walked = checker.spawn_dfs().join();
    let states = walked.unique_state_count();
    walked.assert_properties();
    states
}

fn story(name: &str) -> Scenario {
    let found = WHOLE.iter().chain(&FOR_FAULTS).find(|story| story.name == name);
    *found.unwrap_or_else(|| panic!("no story {name}"))
}

/// The states of each story: walked to the end, and so a number that only the rules change.
macro_rules! holds {
    ($($test:ident: $story:literal, $states:literal states;)*) => {
        $(
            #[test]
            fn $test() {
                assert_eq!(walk($story), $states);
            }
        )*

        /// Of the stories that every run walks.
        const STATES: &[(&str, usize)] = &[$(($story, $states)),*];
    };
}

holds! {
    everything_holds_where_a_payment_is_told_again: "paid, told again", 125_251 states;
    everything_holds_where_a_payment_is_told_in_two_forms: "paid, told in two forms", 402_616 states;
    everything_holds_where_an_ordering_is_paid_twice: "paid twice", 78_027 states;
    everything_holds_where_a_key_is_used_twice: "a key used twice", 47_648 states;
    everything_holds_where_an_order_is_picked_up_or_overdue: "picked up or never", 137_573 states;
    everything_holds_where_a_delivery_is_told_early: "delivered before it is picked up", 305_657 states;
    everything_holds_where_a_partner_contradicts_itself: "picked up and failed", 130_269 states;
    everything_holds_where_a_late_failure_meets_a_confirmation: "confirmed and failed without a reason", 372_693 states;
    everything_holds_where_an_order_has_a_successor: "an operator arranges a new order", 1_000_941 states;
}

#[test]
fn a_million_states_are_walked() {
    assert!(STATES.iter().map(|(_, states)| states).sum::<usize>() >= 1_000_000);
    assert!(
        WHOLE
            .iter()
            .all(|story| STATES.iter().any(|(name, _)| *name == story.name))
    );
}

/// On request ten million states; otherwise the beginning.
#[test]
fn everything_holds_in_the_deep_stories() {
    let (each, enough) = match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => (40_000_000, 10_000_000),
        None => (60_000, 20_000),
    };
    let mut states = 0;
    for story in DEEP {
        let checker = story.system(None).checker().target_state_count(each).threads(2);
        let walked = checker.finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
        println!("{}: {} states", story.name, walked.unique_state_count());
        states += walked.unique_state_count();
        if let Some(broken) = broken(story.system(None), walked) {
            panic!("{broken}");
        }
    }
    assert!(states >= enough, "only {states} states");
}

/// Each fault breaks an invariant, and the shortest way to it is kept as a snapshot.
macro_rules! found {
    ($($test:ident: $bug:ident in $story:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let system = || story($story).system(Some(Bug::$bug));
                let checker = system().checker().finish_when(HasDiscoveries::AnyFailures);

                let way = broken(system(), checker.spawn_bfs().join());

                insta::assert_snapshot!(way.expect("the fault breaks an invariant"));
            }
        )*
    };
}

found! {
    a_commit_without_a_look_at_the_revision_is_found: NoRevisionCheck in "picked up and failed";
    a_key_outside_the_transaction_is_found: KeyOutsideTransaction in "picked up and failed";
    an_acknowledgement_before_the_commit_is_found: AcknowledgedBeforeCommit in "picked up or never";
    a_publication_before_the_commit_is_found: PublishedBeforeCommit in "picked up or never";
    effects_outside_the_transaction_are_found: EffectsOutsideTransaction in "picked up or never";
    an_effect_that_counts_as_sent_too_early_is_found: SentBeforePublished in "picked up or never";
    a_fresh_task_id_for_each_publication_is_found: FreshTaskIds in "picked up or never";
    an_effect_that_overtakes_older_ones_is_found: OvertakesOlderEffects in "picked up or never";
    an_activation_without_a_fence_is_found: ActivationNotFenced in "paid, told again";
    a_decision_on_the_active_version_is_found: ActiveVersionDecides in "an event of version 2 alone";
    an_order_that_moves_on_after_its_end_is_found: TerminalStateLeft in "confirmed and failed without a reason";
    a_stale_event_that_moves_is_found: StaleMoves in "picked up, told late under another key";
    a_failure_without_its_reason_is_found: FailureWithoutReason in "failed without a reason";
    a_lost_callback_that_came_early_is_found: ParkLost in "delivered before it is picked up";
    a_forgotten_callback_whose_turn_never_came_is_found: UnresolvedForgotten in "delivered before it is picked up";
    two_live_orders_of_one_ordering_are_found: TwoLiveOrders in "paid twice";
}
