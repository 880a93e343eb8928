use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::TimeDelta;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::SecretBox;
use serde_json::json;
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::transport::{Delivery, Handler as _, Verdict};

use super::{E_BOOKS, PLAIN, REFUND, STRUCTURED, json, plain, put, structured};
use crate::engine::{Engine, Outside};
use crate::payments::Consumer;
use crate::store::{Crypt, DataKey, Db, DeadFilter, Store};
use crate::template::Template;

/// A consumer on a database of its own; what it counts and logs on this thread can be read.
struct Bench {
    consumer: Consumer,
    db: Db,
    counted: PrometheusHandle,
    logged: Log,
    _guards: (metrics::LocalRecorderGuard<'static>, tracing::subscriber::DefaultGuard),
    _folder: tempfile::TempDir,
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Bench {
    async fn start() -> Self {
        let recorder = Box::leak(Box::new(PrometheusBuilder::new().build_recorder()));
        let counted = recorder.handle();
        let logged = Log::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        let guards = (
            metrics::set_default_local_recorder(recorder),
            tracing::subscriber::set_default(subscriber),
        );
        let folder = tempfile::tempdir().unwrap();
        let db = Db::sqlite(&folder.path().join("waybill.db")).await.unwrap();
        db.migrate().await.unwrap();
        let key = DataKey {
            id: "k1".to_owned(),
            key: SecretBox::new(Box::new([7; 32])),
        };
        let store = Store::open(db.clone(), Arc::new(Crypt::new(vec![key])), TimeDelta::zero())
            .await
            .unwrap();
        let outside = Outside {
            queue: "waybill".to_owned(),
            default_partner: "standard".to_owned(),
            adapters: [].into(),
            handover_codes: false,
            public_url: "http://localhost:8080".to_owned(),
            local: false,
        };
        let template = Arc::new(Template::shipped().clone());
        let (engine, _) = Engine::start(store, template, outside, Arc::new(|_, _| ()))
            .await
            .unwrap();
        Self {
            consumer: Consumer { engine },
            db,
            counted,
            logged,
            _guards: guards,
            _folder: folder,
        }
    }

    async fn tell(&self, message: Message) -> Verdict {
        let queue = "waybill.payments".to_owned();
        self.consumer
            .handle(&Delivery {
                queue,
                message,
                redelivered: false,
            })
            .await
    }

    async fn count(&self, sql: &str) -> i64 {
        self.db.row(sql, vec![]).await.unwrap().unwrap().int("count").unwrap()
    }

    async fn orders(&self) -> i64 {
        self.count("SELECT COUNT(*) AS count FROM delivery_orders").await
    }

    /// Reason, place and detail of what is set aside.
    async fn set_aside(&self) -> Vec<(String, String, String)> {
        let filter = DeadFilter {
            limit: 100,
            ..DeadFilter::default()
        };
        let dead = self.consumer.engine.store().dead(&filter).await.unwrap();
        dead.into_iter()
            .map(|dead| (dead.reason, dead.place, dead.detail))
            .collect()
    }

    fn assert_counted(&self, outcome: &str, times: u32) {
        let rendered = self.counted.render();
        let line = format!("payment_events_total{{outcome=\"{outcome}\"}} {times}\n");
        assert!(rendered.contains(&line), "{line} in {rendered}");
    }
}

#[tokio::test]
async fn a_payment_makes_one_order_however_often_and_in_whatever_form_it_is_told() {
    let bench = Bench::start().await;

    for message in [
        plain(PLAIN),
        plain(PLAIN),
        structured(STRUCTURED),
        structured(STRUCTURED),
    ] {
        assert_eq!(bench.tell(message).await, Verdict::Ack);
    }

    assert_eq!((bench.orders().await, bench.set_aside().await), (1, vec![]));
    bench.assert_counted("created", 1);
    bench.assert_counted("duplicate", 3);
}

#[tokio::test]
async fn the_log_names_a_new_order_by_its_ids_alone() {
    let bench = Bench::start().await;

    bench.tell(plain(PLAIN)).await;
    bench.tell(plain(PLAIN.replace("\"DE\"", "\"Deutschland\""))).await;

    let logged = bench.logged.text();
    let created: Vec<_> = logged
        .lines()
        .filter(|line| line.contains("created delivery order"))
        .collect();
    assert_eq!(created.len(), 1, "{logged}");
    assert!(created[0].contains("ord_1") && created[0].contains("pay_1"), "{logged}");
    assert!(logged.contains("bad-country at data.pickup.country"), "{logged}");
    for private in [
        "Kastanienallee",
        "Reader",
        "Torstr",
        "4930000000",
        "example.org",
        "10435",
        "Deutschland",
        "4599",
    ] {
        assert!(!logged.contains(private), "{private} in {logged}");
    }
}

#[tokio::test]
async fn a_basket_of_e_books_is_recorded_without_order() {
    let bench = Bench::start().await;

    assert_eq!(bench.tell(plain(E_BOOKS)).await, Verdict::Ack);

    assert_eq!((bench.orders().await, bench.set_aside().await), (0, vec![]));
    assert_eq!(
        bench
            .count("SELECT COUNT(*) AS count FROM payments WHERE state = 'seen'")
            .await,
        1
    );
    bench.assert_counted("recorded", 1);
}

#[tokio::test]
async fn a_refund_cancels_the_order_and_prevents_it_if_it_comes_first() {
    let bench = Bench::start().await;
    let other = |text: &str| plain(text.replace("_1\"", "_8\"").replace("evt_3", "evt_9"));

    bench.tell(plain(PLAIN)).await;
    assert_eq!(bench.tell(plain(REFUND)).await, Verdict::Ack);
    assert_eq!(bench.tell(other(REFUND)).await, Verdict::Ack);
    assert_eq!(bench.tell(other(PLAIN)).await, Verdict::Ack);

    assert_eq!(
        bench
            .count("SELECT COUNT(*) AS count FROM instances WHERE state = 'CANCELLED'")
            .await,
        1
    );
    assert_eq!((bench.orders().await, bench.set_aside().await), (1, vec![]));
    bench.assert_counted("cancelled", 1);
}

#[tokio::test]
async fn what_cannot_be_understood_is_set_aside_with_its_place_and_acknowledged() {
    let bench = Bench::start().await;
    let mut event = json(PLAIN);
    put(&mut event, "/data/items/1/quantity", Some(json!(0)));

    assert_eq!(bench.tell(plain(event.to_string())).await, Verdict::Ack);
    assert_eq!(bench.tell(plain("{")).await, Verdict::Ack);

    let found = bench.set_aside().await;
    let reasons: Vec<_> = found
        .iter()
        .map(|(reason, place, _)| (reason.as_str(), place.as_str()))
        .collect();
    assert_eq!(
        reasons,
        [
            ("bad-quantity", "data.items[1].quantity"),
            ("not-json", "line 1 column 1")
        ]
    );
    assert_eq!(bench.orders().await, 0);
    bench.assert_counted("malformed", 2);
}

#[tokio::test]
async fn a_key_that_comes_with_other_content_is_set_aside() {
    let bench = Bench::start().await;

    bench.tell(plain(PLAIN)).await;
    assert_eq!(bench.tell(plain(PLAIN.replace("4599", "4600"))).await, Verdict::Ack);

    let found = bench.set_aside().await;
    assert_eq!((found.len(), found[0].0.as_str()), (1, "event-key-conflict"));
    bench.assert_counted("event-key-conflict", 1);
}

#[tokio::test]
async fn what_the_engine_does_not_keep_makes_no_conflict() {
    let bench = Bench::start().await;

    bench.tell(plain(PLAIN)).await;
    bench
        .tell(plain(PLAIN.replace("\"event_id\"", "\"trace\": 7, \"event_id\"")))
        .await;

    assert_eq!(bench.set_aside().await, vec![]);
    bench.assert_counted("duplicate", 1);
}

#[tokio::test]
async fn a_store_that_does_not_answer_makes_the_message_wait() {
    let bench = Bench::start().await;
    bench.db.close().await;

    assert_eq!(bench.tell(plain(PLAIN)).await, Verdict::Wait);
    assert_eq!(bench.tell(plain("{")).await, Verdict::Wait);

    bench.assert_counted("requeued", 2);
}

#[tokio::test]
async fn what_the_store_refuses_does_not_come_again_for_ever() {
    let bench = Bench::start().await;
    let mut tx = bench.db.tx().await.unwrap();
    tx.execute("DROP TABLE inbox", vec![]).await.unwrap();
    tx.commit().await.unwrap();

    assert_eq!(bench.tell(plain(PLAIN)).await, Verdict::Ack);

    let found = bench.set_aside().await;
    assert_eq!((found.len(), found[0].0.as_str()), (1, "store-refused"));
    bench.assert_counted("store-refused", 1);
}
