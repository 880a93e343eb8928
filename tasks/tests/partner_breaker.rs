//! The breaker: a table of timing cases, a model, and what threads may not do to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use waybill_tasks::partner::breaker::{Breaker, BreakerSettings, BreakerState, CallResult, Permit};

const ANSWERED: CallResult = CallResult::Answered;
const FAILED: CallResult = CallResult::Failed { retry_after: None };
const NOT_CONNECTED: CallResult = CallResult::NotConnected;

/// Without jitter, so that every instant can be named.
fn exact() -> BreakerSettings {
    BreakerSettings {
        jitter: 0.0,
        ..BreakerSettings::default()
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// A breaker with its own clock.
struct Bench {
    breaker: Arc<Breaker>,
    now: Instant,
}

impl Bench {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            breaker: Breaker::new(exact(), now),
            now,
        }
    }

    fn wait(&mut self, milliseconds: u64) {
        self.now += ms(milliseconds);
    }

    fn call(&mut self, result: CallResult, takes: u64) -> bool {
        let Ok(permit) = self.breaker.admit(self.now) else {
            return false;
        };
        self.wait(takes);
        permit.finish(result, self.now);
        true
    }

    fn calls(&mut self, count: u32, result: CallResult) {
        for _ in 0..count {
            self.call(result, 0);
        }
    }

    fn slow_calls(&mut self, count: u32, result: CallResult) {
        for _ in 0..count {
            self.call(result, 2_001);
        }
    }

    fn admit(&self) -> Option<Permit> {
        self.breaker.admit(self.now).ok()
    }

    fn state(&self) -> BreakerState {
        self.breaker.snapshot(self.now).state
    }

    fn open_for(&self) -> u64 {
        self.breaker
            .snapshot(self.now)
            .open_for
            .map_or(0, |left| left.as_millis() as u64)
    }

    fn opened() -> Self {
        let mut bench = Self::new();
        bench.calls(10, FAILED);
        assert_eq!(bench.state(), BreakerState::Open);
        bench
    }
}

/// What is done to a breaker, one word each.
#[derive(Debug, Clone, Copy)]
enum Step {
    Ok(u32),
    Fail(u32),
    Slow(u32),
    SlowFail(u32),
    NoConnection(u32),
    RetryAfter(u64),
    Suspended,
    Wait(u64),
}

#[test]
fn a_table_of_timing_cases() {
    use BreakerState::{Closed, HalfOpen, Open};
    use Step::*;
    #[rustfmt::skip]
    let cases: &[(&str, &[Step], BreakerState, u64)] = &[
        ("nothing happened",                         &[],                                                    Closed,   0),
        ("nine failures are too few to judge",       &[Fail(9)],                                             Closed,   0),
        ("ten failures open for five seconds",       &[Fail(10)],                                            Open,     5_000),
        ("half of ten is enough",                    &[Ok(5), Fail(5)],                                      Open,     5_000),
        ("less than half is not",                    &[Ok(6), Fail(5)],                                      Closed,   0),
        ("a success can complete the ten",           &[Fail(5), Ok(5)],                                      Open,     5_000),
        ("failures of 31 s ago are forgotten",       &[Fail(9), Wait(31_000), Fail(1)],                      Closed,   0),
        ("failures of 26 s ago are not",             &[Fail(9), Wait(26_000), Fail(1)],                      Open,     5_000),
        ("a bucket leaves as a whole",               &[Fail(9), Wait(29_999), Fail(1)],                      Open,     5_000),
        ("and exactly after the window",             &[Fail(9), Wait(30_000), Fail(1)],                      Closed,   0),
        ("successes of long ago do not dilute",      &[Ok(1_000), Wait(31_000), Fail(10)],                   Open,     5_000),
        ("five without a connection are enough",     &[NoConnection(5)],                                     Open,     5_000),
        ("four are not",                             &[NoConnection(4)],                                     Closed,   0),
        ("an answer in between starts anew",         &[NoConnection(4), Ok(1), NoConnection(4)],             Closed,   0),
        ("a server error in between does, too",      &[NoConnection(4), Fail(1), NoConnection(4)],           Closed,   0),
        ("without a connection for a whole hour",    &[NoConnection(4), Wait(3_600_000), NoConnection(1)],   Open,     5_000),
        ("eight slow of ten open",                   &[Slow(8), Ok(2)],                                      Open,     5_000),
        ("seven slow of ten do not",                 &[Slow(7), Ok(3)],                                      Closed,   0),
        ("slow failures count as both",              &[Ok(5), SlowFail(5)],                                  Open,     5_000),
        ("just before the time it is open",          &[Fail(10), Wait(4_999)],                               Open,     1),
        ("at the time it asks carefully",            &[Fail(10), Wait(5_000)],                               HalfOpen, 0),
        ("two good probes are not enough",           &[Fail(10), Wait(5_000), Ok(2)],                        HalfOpen, 0),
        ("three good probes close",                  &[Fail(10), Wait(5_000), Ok(3)],                        Closed,   0),
        ("a bad probe opens for twice as long",      &[Fail(10), Wait(5_000), Fail(1)],                      Open,     10_000),
        ("also after two good ones",                 &[Fail(10), Wait(5_000), Ok(2), Fail(1)],               Open,     10_000),
        ("also without a connection",                &[Fail(10), Wait(5_000), NoConnection(1)],              Open,     10_000),
        ("three slow probes open again",             &[Fail(10), Wait(5_000), Slow(3)],                      Open,     10_000),
        ("one slow probe does not",                  &[Fail(10), Wait(5_000), Slow(1), Ok(2)],               Closed,   0),
        ("and twice again",                          &[Fail(10), Wait(5_000), Fail(1), Wait(10_000), Fail(1)], Open,   20_000),
        ("never longer than a minute",               &[Fail(10), Wait(60_000), Fail(1), Wait(60_000), Fail(1), Wait(60_000), Fail(1), Wait(60_000), Fail(1)], Open, 60_000),
        ("once closed, the first time again",        &[Fail(10), Wait(5_000), Fail(1), Wait(10_000), Ok(3), Fail(10)], Open, 5_000),
        ("closing forgets the failures of before",   &[Fail(10), Wait(5_000), Ok(3), Fail(9)],               Closed,   0),
        ("Retry-After is the least time open",       &[Fail(9), RetryAfter(30_000)],                         Open,     30_000),
        ("a short one changes nothing",              &[Fail(9), RetryAfter(1_000)],                          Open,     5_000),
        ("one of before the opening counts",         &[RetryAfter(30_000), Wait(1_000), Fail(9)],            Open,     29_000),
        ("alone it does not open",                   &[RetryAfter(30_000)],                                  Closed,   0),
        ("suspended opens at once, for a minute",    &[Suspended],                                           Open,     60_000),
    ];

    for (name, steps, state, open_for) in cases {
        let mut bench = Bench::new();
        for step in *steps {
            match *step {
                Ok(count) => bench.calls(count, ANSWERED),
                Fail(count) => bench.calls(count, FAILED),
                NoConnection(count) => bench.calls(count, NOT_CONNECTED),
                Slow(count) => bench.slow_calls(count, ANSWERED),
                SlowFail(count) => bench.slow_calls(count, FAILED),
                RetryAfter(after) => bench.calls(
                    1,
                    CallResult::Failed {
                        retry_after: Some(ms(after)),
                    },
                ),
                Suspended => bench.calls(1, CallResult::Suspended),
                Wait(milliseconds) => bench.wait(milliseconds),
            }
        }

        assert_eq!((bench.state(), bench.open_for()), (*state, *open_for), "{name}");
    }
}

#[test]
fn after_a_million_successes_an_outage_still_opens_it() {
    let mut failing = Bench::new();
    let mut unreachable = Bench::new();
    for _ in 0..1_000_000 {
        assert!(failing.call(ANSWERED, 1) && unreachable.call(ANSWERED, 1));
    }
    let outage = failing.now;

    // As many calls as before, now failing: at the latest when half of the window is behind.
    while failing.state() == BreakerState::Closed && failing.now - outage < ms(60_000) {
        failing.call(FAILED, 1);
    }
    unreachable.calls(5, NOT_CONNECTED);

    assert!(failing.now - outage <= ms(15_000), "it took {:?}", failing.now - outage);
    assert_eq!(unreachable.state(), BreakerState::Open, "without connections at once");
}

#[test]
fn of_a_thousand_callers_at_once_three_probe() {
    let mut bench = Bench::opened();
    bench.wait(5_000);
    let passed = AtomicUsize::new(0);
    let barrier = std::sync::Barrier::new(50);

    std::thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                barrier.wait();
                let permits: Vec<_> = (0..20).filter_map(|_| bench.admit()).collect();
                passed.fetch_add(permits.len(), Ordering::Relaxed);
                // None is given back before everybody has asked.
                barrier.wait();
            });
        }
    });

    assert_eq!(passed.load(Ordering::Relaxed), 3);
}

#[test]
fn a_finished_probe_does_not_make_room_for_a_fourth() {
    let mut bench = Bench::opened();
    bench.wait(5_000);
    let (first, second, third) = (bench.admit().unwrap(), bench.admit().unwrap(), bench.admit().unwrap());

    first.finish(ANSWERED, bench.now);

    assert!(bench.admit().is_none());
    second.finish(ANSWERED, bench.now);
    assert!(bench.admit().is_none());
    third.finish(ANSWERED, bench.now);
    assert!(bench.admit().is_some());
}

#[test]
fn a_cancelled_probe_gives_its_permit_back() {
    let mut bench = Bench::opened();
    bench.wait(5_000);

    for _ in 0..1_000 {
        drop(bench.admit().expect("no permit may leak"));
    }
    bench.calls(3, ANSWERED);

    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_cancelled_call_says_nothing() {
    let mut bench = Bench::new();
    bench.calls(9, FAILED);

    for _ in 0..100 {
        drop(bench.admit());
    }

    assert_eq!(bench.breaker.snapshot(bench.now).calls, 9);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_late_result_of_an_older_epoch_is_ignored() {
    let mut bench = Bench::new();
    let late: Vec<_> = (0..6).map(|_| bench.admit().unwrap()).collect();
    bench.calls(10, FAILED);
    bench.wait(5_000);
    let probe = bench.admit().unwrap();

    for (permit, result) in late
        .into_iter()
        .zip([ANSWERED, FAILED, ANSWERED, NOT_CONNECTED, ANSWERED, ANSWERED])
    {
        permit.finish(result, bench.now);
    }

    assert_eq!(
        bench.state(),
        BreakerState::HalfOpen,
        "neither closed nor opened by what is old"
    );
    probe.finish(ANSWERED, bench.now);
    bench.calls(2, ANSWERED);
    assert_eq!(bench.state(), BreakerState::Closed);
}

#[test]
fn a_late_probe_of_an_earlier_half_open_time_is_ignored() {
    let mut bench = Bench::opened();
    bench.wait(5_000);
    let late = bench.admit().unwrap();
    bench.calls(1, FAILED);
    bench.wait(10_000);
    let probes = (bench.admit().unwrap(), bench.admit().unwrap(), bench.admit().unwrap());

    drop(late);

    assert!(
        bench.admit().is_none(),
        "the old permit must not come back into the new time"
    );
    drop(probes);
}

#[test]
fn an_operator_holds_it_open_and_lets_go() {
    let mut bench = Bench::new();

    bench.breaker.force_open();
    bench.wait(3_600_000);
    let while_held = (bench.admit().is_some(), bench.breaker.snapshot(bench.now).held);
    bench.breaker.release(bench.now);

    assert_eq!(while_held, (false, true));
    assert!(bench.admit().is_some());
    assert!(!bench.breaker.snapshot(bench.now).held);
}

#[test]
fn an_operator_holds_it_closed_through_an_outage() {
    let mut bench = Bench::opened();

    bench.breaker.force_close();
    let passed = (0..100).filter(|_| bench.call(FAILED, 0)).count();
    bench.breaker.release(bench.now);

    assert_eq!(passed, 100);
    assert_eq!(bench.state(), BreakerState::Closed);
    bench.calls(10, FAILED);
    assert_eq!((bench.state(), bench.open_for()), (BreakerState::Open, 5_000));
}

#[test]
fn jitter_lengthens_the_open_time_by_a_fifth_at_most() {
    let times: Vec<_> = (0..200)
        .map(|_| {
            let now = Instant::now();
            let breaker = Breaker::new(BreakerSettings::default(), now);
            let opened = (0..5).find_map(|_| breaker.admit(now).unwrap().finish(NOT_CONNECTED, now));
            opened.expect("the fifth opens it")
        })
        .collect();

    assert!(
        times.iter().all(|time| (ms(5_000)..=ms(6_000)).contains(time)),
        "{times:?}"
    );
    assert!(
        times.iter().max().unwrap().abs_diff(*times.iter().min().unwrap()) > ms(300),
        "they differ"
    );
}

/// What may happen to a breaker, in any order.
#[derive(Debug, Clone, Copy)]
enum Act {
    Wait(u16),
    Admit,
    /// The n-th newest permit.
    Finish(u8, CallResult),
    Cancel(u8),
    ForceOpen,
    ForceClose,
    Release,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let result = prop_oneof![
        6 => Just(ANSWERED),
        5 => Just(FAILED),
        2 => Just(NOT_CONNECTED),
        1 => (0..20_000u64).prop_map(|after| CallResult::Failed { retry_after: Some(ms(after)) }),
    ];
    let act = prop_oneof![
        60 => Just(Act::Admit),
        80 => (0..4u8, result).prop_map(|(newest, result)| Act::Finish(newest, result)),
        30 => (0..1_500u16).prop_map(Act::Wait),
        8 => (5_000..40_000u16).prop_map(Act::Wait),
        8 => (0..4u8).prop_map(Act::Cancel),
    ];
    let hold = prop_oneof![Just(Act::ForceOpen), Just(Act::ForceClose), Just(Act::Release)];
    let held = (hold, proptest::collection::vec(act.clone(), 0..20)).prop_map(|(hold, mut acts)| {
        acts.insert(0, hold);
        acts.push(Act::Release);
        acts
    });
    (
        proptest::collection::vec(act, 0..250),
        held,
        any::<proptest::sample::Index>(),
    )
        .prop_map(|(mut acts, held, at)| {
            let at = at.index(acts.len() + 1);
            acts.splice(at..at, held);
            acts
        })
}

/// The breaker as one would explain it: every call is remembered, nothing is optimised.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    epoch: u32,
    held: Option<BreakerState>,
    open_until: Option<u64>,
    probing: bool,
    probes_out: u32,
    probe_results: Vec<bool>,
    origin: u64,
    calls: Vec<(u64, bool, bool)>,
    connect_errors: u32,
    openings: u32,
    not_before: u64,
    permits: Vec<(u32, u64)>,
}

impl Model {
    fn state(&self) -> BreakerState {
        match (self.held, self.open_until) {
            (Some(held), _) => held,
            (None, Some(until)) if until > self.now => BreakerState::Open,
            (None, Some(_)) => BreakerState::HalfOpen,
            (None, None) if self.probing => BreakerState::HalfOpen,
            (None, None) => BreakerState::Closed,
        }
    }

    fn admit(&mut self) -> bool {
        let state = self.state();
        if self.held.is_none() && state == BreakerState::HalfOpen && !self.probing {
            self.change();
            self.probing = true;
        }
        let passes = match state {
            BreakerState::Closed => true,
            BreakerState::Open => false,
            BreakerState::HalfOpen => self.probes_out + (self.probe_results.len() as u32) < 3,
        };
        if passes {
            self.probes_out += u32::from(self.probing && self.held.is_none());
            self.permits.push((self.epoch, self.now));
        }
        passes
    }

    fn cancel(&mut self, permit: usize) {
        let (epoch, _) = self.permits.remove(permit);
        if epoch == self.epoch && self.probing {
            self.probes_out -= 1;
        }
    }

    fn finish(&mut self, permit: usize, result: CallResult) {
        let (epoch, started) = self.permits.remove(permit);
        if epoch != self.epoch || self.held.is_some() {
            return;
        }
        let (failed, slow) = (result != ANSWERED, self.now - started > 2_000);
        if let CallResult::Failed {
            retry_after: Some(after),
        } = result
        {
            self.not_before = self.not_before.max(self.now + after.as_millis() as u64);
        }
        if self.probing {
            self.probes_out -= 1;
            self.probe_results.push(slow);
            let all_slow = self.probe_results.iter().all(|slow| *slow);
            match (failed, self.probe_results.len()) {
                (true, _) => self.open(),
                (false, 3) if all_slow => self.open(),
                (false, 3) => self.close(),
                (false, _) => (),
            }
            return;
        }
        self.calls.push((self.now, failed, slow));
        self.connect_errors = if result == NOT_CONNECTED {
            self.connect_errors + 1
        } else {
            0
        };
        let (calls, failures, slow) = self.window();
        if self.connect_errors >= 5 || calls >= 10 && (failures * 2 >= calls || slow * 5 >= calls * 4) {
            self.open();
        }
    }

    fn window(&self) -> (u32, u32, u32) {
        let slot = |at: u64| (at - self.origin) / 3_000;
        let seen = self.calls.iter().filter(|(at, ..)| slot(*at) + 10 > slot(self.now));
        seen.fold((0, 0, 0), |(calls, failures, slows), (_, failed, slow)| {
            (calls + 1, failures + u32::from(*failed), slows + u32::from(*slow))
        })
    }

    fn open(&mut self) {
        let wait = (5_000 << self.openings.min(10)).min(60_000);
        self.openings += 1;
        self.connect_errors = 0;
        self.change();
        self.open_until = Some((self.now + wait).max(self.not_before));
    }

    fn close(&mut self) {
        self.change();
        (self.openings, self.connect_errors, self.not_before) = (0, 0, 0);
        self.calls.clear();
        self.origin = self.now;
    }

    fn change(&mut self) {
        self.epoch += 1;
        (self.open_until, self.probing, self.probes_out) = (None, false, 0);
        self.probe_results.clear();
    }

    fn hold(&mut self, state: BreakerState) {
        self.change();
        self.held = Some(state);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn it_behaves_as_its_model(acts in acts()) {
        let origin = Instant::now();
        let breaker = Breaker::new(exact(), origin);
        let mut model = Model::default();
        let mut permits: Vec<Permit> = Vec::new();

        for act in acts {
            let now = origin + ms(model.now);
            match act {
                Act::Wait(milliseconds) => model.now += u64::from(milliseconds),
                Act::Admit => {
                    let permit = breaker.admit(now);
                    prop_assert_eq!(permit.is_ok(), model.admit());
                    permits.extend(permit);
                }
                Act::Finish(which, result) if !permits.is_empty() => {
                    let index = permits.len() - 1 - usize::from(which) % permits.len();
                    permits.remove(index).finish(result, now);
                    model.finish(index, result);
                }
                Act::Cancel(which) if !permits.is_empty() => {
                    let index = permits.len() - 1 - usize::from(which) % permits.len();
                    drop(permits.remove(index));
                    model.cancel(index);
                }
                Act::Finish(..) | Act::Cancel(_) => (),
                Act::ForceOpen => {
                    breaker.force_open();
                    model.hold(BreakerState::Open);
                }
                Act::ForceClose => {
                    breaker.force_close();
                    model.hold(BreakerState::Closed);
                }
                Act::Release => {
                    breaker.release(now);
                    model.held = None;
                    model.close();
                }
            }
            let seen = breaker.snapshot(origin + ms(model.now));
            prop_assert_eq!(seen.state, model.state());
            prop_assert_eq!((seen.calls, seen.failures, seen.slow), model.window());
            if model.held.is_none() {
                let left = model.open_until.map_or(0, |until| until.saturating_sub(model.now));
                prop_assert_eq!(seen.open_for.map_or(0, |left| left.as_millis() as u64), left);
            }
        }
    }
}
