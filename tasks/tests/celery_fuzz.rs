//! Messages that nobody would send: each is run, kept for later, or set aside whole, and nothing panics.

#[path = "celery_fuzz/chance.rs"]
mod chance;
#[path = "celery_fuzz/mutate.rs"]
mod mutate;
#[path = "celery_fuzz/world.rs"]
mod world;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use chance::Chance;
use mutate::{Mutator, recorded};
use world::World;

/// In `make test`, and in `make long`.
const INPUTS: [u64; 2] = [100_000, 10_000_000];
const PROGRESS: u64 = 500_000;

#[test]
fn every_recorded_message_is_run_as_it_came() {
    let world = World::new();

    for message in recorded() {
        let fate = world.handle(message.clone());

        // JSON knows neither NaN nor an integer of 71 bits: those who write them are told so.
        let is_json = !String::from_utf8_lossy(&message.body).contains("NaN");
        assert_eq!(
            (fate.ran + fate.parked, fate.set_aside),
            (u64::from(is_json), u64::from(!is_json)),
            "{message:?}"
        );
    }
}

/// Inputs of the ten million that once were counted twice: too late, and for a task that nobody has.
#[test]
fn what_comes_too_late_for_an_unknown_task_is_set_aside() {
    let (world, mutator) = (World::new(), Mutator::new());
    for number in [1_332_699, 6_062_304] {
        let fate = world.handle(mutator.message(&mut Chance::new(number)));
        assert!(fate.is_known() && fate.set_aside == 1, "input {number}: {fate:?}");
    }
}

#[test]
fn whatever_comes_is_accepted_or_set_aside_whole_and_nothing_panics() {
    let inputs = INPUTS[usize::from(std::env::var_os("WAYBILL_TEST_LONG").is_some())];
    let threads = thread::available_parallelism()
        .map_or(2, |threads| threads.get() as u64)
        .min(4);
    let (done, set_aside) = (AtomicU64::new(0), AtomicU64::new(0));

    thread::scope(|scope| {
        for thread in 0..threads {
            let (done, set_aside) = (&done, &set_aside);
            scope.spawn(move || {
                let world = World::new();
                let mutator = Mutator::new();
                for number in (thread..inputs).step_by(threads as usize) {
                    // The number alone makes the input, so that one that fails can be made again.
                    let message = mutator.message(&mut Chance::new(number));
                    let fate = world.handle(message.clone());
                    assert!(fate.is_known(), "input {number}: {fate:?} of {message:?}");
                    set_aside.fetch_add(fate.set_aside, Ordering::Relaxed);
                    let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if so_far.is_multiple_of(PROGRESS) {
                        eprintln!(
                            "{so_far} of {inputs} inputs, {} set aside",
                            set_aside.load(Ordering::Relaxed)
                        );
                    }
                }
            });
        }
    });

    let (done, set_aside) = (done.into_inner(), set_aside.into_inner());
    assert_eq!(done, inputs);
    let share = set_aside * 100 / inputs;
    assert!(
        (10..90).contains(&share),
        "inputs of both kinds: {share} % were set aside"
    );
}
