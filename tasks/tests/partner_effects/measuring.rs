//! What dashboards and alerts see of the calls to partners.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use metrics::{Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::json;

use crate::scripted::Reply;
use crate::world::World;

/// Keeps each metric's last value under its name and labels.
#[derive(Debug, Default)]
struct Board(Arc<Mutex<BTreeMap<String, f64>>>);

/// One line of the board.
struct Line {
    board: Arc<Mutex<BTreeMap<String, f64>>>,
    name: String,
}

impl Board {
    fn line(&self, key: &Key) -> Arc<Line> {
        let labels = key.labels().map(|label| format!("{}={}", label.key(), label.value()));
        let name = format!("{}{{{}}}", key.name(), labels.collect::<Vec<_>>().join(","));
        Arc::new(Line {
            board: self.0.clone(),
            name,
        })
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.0.lock().unwrap().get(name).copied()
    }
}

impl Recorder for Board {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.line(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.line(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        *self.board.lock().unwrap().entry(self.name.clone()).or_default() += value as f64;
    }

    fn absolute(&self, value: u64) {
        self.set(value as f64);
    }
}

impl GaugeFn for Line {
    fn increment(&self, value: f64) {
        *self.board.lock().unwrap().entry(self.name.clone()).or_default() += value;
    }

    fn decrement(&self, value: f64) {
        GaugeFn::increment(self, -value);
    }

    fn set(&self, value: f64) {
        self.board.lock().unwrap().insert(self.name.clone(), value);
    }
}

#[tokio::test]
async fn calls_unknown_outcomes_and_breakers_are_counted() {
    let board = Board::default();
    let _guard = metrics::set_default_local_recorder(&board);
    let world = World::new([
        Reply::Say(500, json!({})),
        Reply::Honest,
        Reply::Honest,
        Reply::Say(403, json!({})),
    ])
    .await;
    world.due("book_delivery_partner", "CREATED");

    for _ in 0..3 {
        world.run().await;
    }

    let calls = |op: &str, outcome: &str| {
        board.value(&format!(
            "partner_calls_total{{partner=scripted,op={op},outcome={outcome}}}"
        ))
    };
    assert_eq!(
        (
            calls("book", "ambiguous"),
            calls("book", "suspended"),
            calls("find", "ok")
        ),
        (Some(1.0), Some(1.0), Some(2.0))
    );
    assert_eq!(
        board.value("partner_unknown_outcome_total{partner=scripted}"),
        Some(1.0)
    );
    assert_eq!(
        board.value("breaker_state{partner=scripted,op=book}"),
        Some(2.0),
        "open"
    );
    assert_eq!(
        board.value("breaker_state{partner=scripted,op=find}"),
        Some(0.0),
        "closed"
    );
}
