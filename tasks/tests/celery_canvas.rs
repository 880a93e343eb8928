//! Chains, groups and chords that cross between a stock Python worker and ours, and results that both read, in Redis.

#[path = "support/broker.rs"]
#[expect(dead_code, reason = "for all tests on RabbitMQ")]
mod broker;
#[path = "support/crossing.rs"]
mod crossing;
#[path = "support/half.rs"]
mod half;

use std::sync::Arc;

use secrecy::SecretString;
use waybill_tasks::celery::results::redis::RedisBackend;

fn backend(database: u8) -> (RedisBackend, String) {
    let url = std::env::var("WAYBILL_TEST_REDIS_URL").expect("WAYBILL_TEST_REDIS_URL is not set: run `make test`");
    let (server, _) = url.rsplit_once('/').expect("a database");
    let url = format!("{server}/{database}");
    (RedisBackend::new(&SecretString::from(url.clone())).expect("a URL"), url)
}

#[tokio::test(flavor = "multi_thread")]
async fn canvases_cross_between_python_and_us() {
    let mut queues = broker::Queues::new().await;
    let (theirs, ours) = (queues.name(), queues.name());
    let (backend, url) = backend(6);

    let found = crossing::cross(&broker::url(), &url, Arc::new(backend), &theirs, &ours).await;

    queues.clean_up().await;
    crossing::check(&found);
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_read_by_both() {
    let (backend, url) = backend(7);

    crossing::exchange(&backend, &url).await;
}
