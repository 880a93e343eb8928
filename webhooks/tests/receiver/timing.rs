//! Whether the time of a 401 tells its cause. The one test that is about time: of thousands of requests, the causes mixed
//! in random order, no cause may be told from the others by how long its answers took.
//!
//! What is compared is ranks (Mann and Whitney): how often an answer for one cause took longer than one for another. A
//! busy machine delays all causes alike, so it makes the test blunter and never red. One half means that nothing can be
//! told. By chance alone two samples of 2,000 differ by 0.01 (one standard deviation), of 400 by 0.02.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use waybill_webhooks::Stored;

use crate::partner::{FakeInbox, NOW, Signed, answer, receiver};

/// How much more often than in half of the pairs one cause may take longer. Without optimization a header that is there takes
/// microseconds to read, and in a release none.
const TELLING: f64 = if cfg!(debug_assertions) { 0.15 } else { 0.10 };

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

#[tokio::test]
async fn the_time_of_a_refusal_does_not_tell_its_cause() {
    let rounds = match std::env::var_os("WAYBILL_TEST_LONG") {
        Some(_) => 5000,
        None => 400,
    };
    let router = receiver(&FakeInbox::answering(Ok(Stored::New)));
    let mut times = vec![Vec::with_capacity(rounds); CAUSES.len()];
    let mut early = Vec::with_capacity(rounds);
    let mut order: Vec<usize> = (0..CAUSES.len()).collect();

    for round in 0..rounds + 20 {
        // Each cause once a round, in an order of its own.
        shuffle(&mut order, round);
        for place in &order {
            let request = CAUSES[*place].1();
            let began = Instant::now();
            let answered = answer(&router, request).await;
            let took = began.elapsed();
            assert_eq!(answered.status, StatusCode::UNAUTHORIZED, "{}", CAUSES[*place].0);
            // The first are slow for other reasons.
            if round >= 20 {
                times[*place].push(took);
            }
        }
        // What this test has to be able to see: a refusal before the work is done.
        let request = Request::put("/webhooks/acme")
            .body(Body::from(BODY))
            .expect("a request");
        let began = Instant::now();
        answer(&router, request).await;
        if round >= 20 {
            early.push(began.elapsed());
        }
    }

    let others = |place: usize| -> Vec<Duration> {
        let others = times.iter().enumerate().filter(|(other, _)| *other != place);
        others.flat_map(|(_, times)| times.iter().copied()).collect()
    };
    let told: Vec<(&str, f64)> = (0..CAUSES.len())
        .map(|place| (CAUSES[place].0, superiority(&times[place], &others(place))))
        .collect();
    let seen = superiority(&early, &times.concat());
    println!("{told:.3?}, and an early refusal {seen:.3}");
    assert!(seen < 0.5 - TELLING, "an early refusal has to be seen: {seen:.3}");
    let telling: Vec<_> = told.iter().filter(|(_, more)| (more - 0.5).abs() > TELLING).collect();
    assert!(telling.is_empty(), "the time tells: {told:.3?}");
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
