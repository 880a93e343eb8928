//! Whether the time of a 401 tells its cause. The one test that is about time: of thousands of requests, the causes mixed
//! in random order, no cause may be told from the others by how long its answers took.
//!
//! What is compared is ranks (Mann and Whitney): how often an answer for one cause took longer than one for another. A
//! busy machine delays all causes alike, so it makes the test blunter and never red. One half means that nothing can be
//! told, and how far from it chance alone leads is known: see [`chance`].

use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use futures_util::future::join_all;
use waybill_webhooks::{MAX_BODY, Stored};

use crate::partner::{FakeInbox, NOW, Signed, answer, receiver};

/// Senders at once: each waits most of the time.
const SENDERS: usize = 8;
/// Rounds of each that are not measured: the first are slow for other reasons.
pub(crate) const WARM: usize = 5;

const BODY: &[u8] = br#"{"type":"delivery.delivered","timestamp":"2026-11-20T11:00:00Z","data":{"reference":"r"}}"#;

type Forge = fn() -> Request<Body>;

/// Everything that is answered 401, by its cause.
const CAUSES: [(&str, Forge); 10] = [
    ("wrong secret", || {
        signed().secret("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").request()
    }),
    ("altered body", || {
        signed().sent_body(&BODY.to_ascii_uppercase()).request()
    }),
    ("stale", || signed().at(NOW - 301).request()),
    ("future", || signed().at(NOW + 301).request()),
    ("no signature", || signed().without("webhook-signature").request()),
    ("malformed signature", || {
        signed().replace("webhook-signature", "v1;AAAA").request()
    }),
    ("no id", || signed().without("webhook-id").request()),
    ("no time", || signed().without("webhook-timestamp").request()),
    ("unknown partner", || signed().path("/webhooks/nobody").request()),
    ("another partner's signature", || {
        signed().path("/webhooks/other").request()
    }),
];

fn signed() -> Signed {
    Signed::new("msg_1", BODY)
}

/// How much more often than in half of the pairs one sample of that many may take longer than the others together, if it
/// is as long as they are: five standard deviations, which chance alone leaves once in two million comparisons. 0.08 for
/// ten samples of 400, 0.03 for ten of 2,500; the same in a debug build and in a release.
pub(crate) fn chance(samples: usize, each: usize) -> f64 {
    let (first, others) = (each as f64, (each * (samples - 1)) as f64);
    5.0 * ((first + others + 1.0) / (12.0 * first * others)).sqrt()
}

/// How often an answer of the first took longer than one of the second: 0.5 where nothing can be told.
pub(crate) fn superiority(first: &[Duration], second: &[Duration]) -> f64 {
    let mut all: Vec<(Duration, bool)> = first.iter().map(|it| (*it, true)).collect();
    all.extend(second.iter().map(|it| (*it, false)));
    all.sort_unstable_by_key(|(time, _)| *time);
    let (mut below, mut won) = (0.0, 0.0);
    for ties in all.chunk_by(|one, other| one.0 == other.0) {
        let ours = ties.iter().filter(|(_, ours)| *ours).count() as f64;
        let theirs = ties.len() as f64 - ours;
        won += ours * (below + theirs / 2.0);
        below += theirs;
    }
    won / (first.len() as f64 * second.len() as f64)
}

/// What can be told by the times of requests of one kind each, the last of which were answered early. Prints all of it, and
/// answers what is more than chance.
pub(crate) fn tell(title: &str, names: &[&'static str], times: &[Vec<Duration>]) -> Vec<(&'static str, f64)> {
    let (early, times) = times.split_last().expect("some that were answered early");
    let limit = chance(times.len(), early.len());
    let others = |place: usize| -> Vec<Duration> {
        let others = times.iter().enumerate().filter(|(other, _)| *other != place);
        others.flat_map(|(_, times)| times.iter().copied()).collect()
    };
    let told = times
        .iter()
        .enumerate()
        .map(|(place, own)| superiority(own, &others(place)));
    let mut told: Vec<(&str, f64)> = names.iter().copied().zip(told).collect();
    let seen = superiority(early, &times.concat());
    println!("{title}: {told:.3?}, chance {limit:.3}, and an early refusal {seen:.3}");
    // What this has to be able to see.
    assert!(
        seen < 0.5 - limit,
        "{title}: an early refusal has to be seen: {seen:.3}"
    );
    told.retain(|(_, more)| (more - 0.5).abs() > limit);
    told
}

/// By the clock of the runtime, which stands still while anything works.
#[tokio::test(start_paused = true)]
async fn only_who_is_not_believed_waits_for_the_tick() {
    let router = receiver(&FakeInbox::answering(Ok(Stored::New)));
    let form = || signed().header("content-type", "text/plain").request();
    let much = || signed().sent_body(&[b' '; MAX_BODY + 1]).request();
    let late = || {
        signed()
            .path("/webhooks/nobody")
            .header("content-type", "text/plain")
            .request()
    };
    let right = || signed().request();
    let refused = CAUSES.map(|(cause, forge)| (cause, forge, 401, 10));
    let others: [(&str, Forge, u16, u64); 5] = [
        ("believed", right, 200, 0),
        ("another method", early, 405, 0),
        ("no JSON", form, 415, 10),
        ("no JSON of nobody", late, 415, 10),
        ("too large", much, 413, 10),
    ];

    for (cause, forge, status, millis) in refused.into_iter().chain(others) {
        let began = tokio::time::Instant::now();
        let answered = answer(&router, forge()).await;

        let waited = began.elapsed();
        assert_eq!(
            (answered.status.as_u16(), waited),
            (status, Duration::from_millis(millis)),
            "{cause}"
        );
    }
}

#[tokio::test]
async fn the_time_of_a_refusal_does_not_tell_its_cause() {
    let rounds = match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => 2500,
        None => 400,
    };
    let router = receiver(&FakeInbox::answering(Ok(Stored::New)));

    let senders = (0..SENDERS).map(|sender| send(&router, sender, rounds / SENDERS));
    let mut times = vec![Vec::with_capacity(rounds); CAUSES.len() + 1];
    for measured in join_all(senders).await {
        for (all, some) in times.iter_mut().zip(measured) {
            all.extend(some);
        }
    }

    let telling = tell("in process", &CAUSES.map(|(cause, _)| cause), &times);
    assert!(telling.is_empty(), "the time tells: {telling:.3?}");
}

/// How long each cause takes, each once a round, in an order of its own; and last, what is refused before it is taken.
async fn send(router: &Router, sender: usize, rounds: usize) -> Vec<Vec<Duration>> {
    let mut times = vec![Vec::with_capacity(rounds); CAUSES.len() + 1];
    let mut order: Vec<usize> = (0..times.len()).collect();
    for round in 0..rounds + WARM {
        shuffle(&mut order, round * SENDERS + sender);
        for place in &order {
            let (request, expected) = match CAUSES.get(*place) {
                Some((_, forge)) => (forge(), StatusCode::UNAUTHORIZED),
                None => (early(), StatusCode::METHOD_NOT_ALLOWED),
            };
            let began = Instant::now();
            let answered = answer(router, request).await;
            let took = began.elapsed();
            assert_eq!(answered.status, expected);
            if round >= WARM {
                times[*place].push(took);
            }
        }
    }
    times
}

fn early() -> Request<Body> {
    let mut request = signed().request();
    *request.method_mut() = axum::http::Method::PUT;
    request
}

/// Another order each round, the same in each run.
pub(crate) fn shuffle(order: &mut [usize], round: usize) {
    let mut state = (round as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    for last in (1..order.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
}

#[test]
fn ranks_tell_what_is_longer_and_nothing_where_nothing_is() {
    let of = |times: &[u64]| times.iter().map(|it| Duration::from_nanos(*it)).collect::<Vec<_>>();

    assert_eq!(superiority(&of(&[3, 4]), &of(&[1, 2])), 1.0);
    assert_eq!(superiority(&of(&[1, 2]), &of(&[3, 4])), 0.0);
    assert_eq!(superiority(&of(&[1, 2, 3]), &of(&[1, 2, 3])), 0.5);
    assert_eq!(superiority(&of(&[2]), &of(&[1, 2, 3, 4])), 0.375);
}
