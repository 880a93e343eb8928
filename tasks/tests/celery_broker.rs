//! What RabbitMQ itself can do to us: it dies, it blocks, it locks us out, it closes our connections.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/errors.rs"]
mod errors;
#[path = "support/handlers.rs"]
#[expect(dead_code, reason = "the shelf is for the worker's tests")]
mod handlers;
#[path = "support/own_broker.rs"]
mod own_broker;
#[path = "support/proxy.rs"]
#[expect(dead_code, reason = "this network does not fail")]
mod proxy;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;
use futures_util::future::join_all;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::message::{Message, Properties};
use waybill_tasks::celery::transport::{PublishError, Queue, Routing, Transport as _};

use handlers::Recorder;
use own_broker::OwnBroker;
use proxy::Proxy;

const NAME: &str = "a-queue";

/// How deep a story goes: the second where there is time.
fn depth(short: u64, long: u64) -> u64 {
    if std::env::var_os("WAYBILL_TEST_LONG").is_some() {
        long
    } else {
        short
    }
}

fn connect(broker: &OwnBroker, publish_within: u64) -> Arc<AmqpTransport> {
    connect_to(&broker.url, publish_within)
}

fn connect_to(url: &str, publish_within: u64) -> Arc<AmqpTransport> {
    let mut options = AmqpOptions::new(SecretString::from(url), "waybill-test");
    options.publish_within = Duration::from_secs(publish_within);
    AmqpTransport::connect(options).unwrap()
}

fn message(body: &str) -> Message {
    Message {
        routing_key: NAME.to_owned(),
        properties: Properties {
            delivery_mode: Some(2),
            ..Properties::default()
        },
        body: body.as_bytes().to_vec(),
        ..Message::default()
    }
}

struct Consuming {
    recorder: Arc<Recorder>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

/// Consumes a quorum queue, and returns when it does.
async fn consume(transport: &Arc<AmqpTransport>, permits: usize) -> Consuming {
    let recorder = Arc::new(Recorder::with_permits(permits));
    let stop = CancellationToken::new();
    let queue = Queue {
        name: NAME.to_owned(),
        bindings: Vec::new(),
        prefetch: 10,
    };
    let task = tokio::spawn({
        let (transport, recorder, stop) = (transport.clone(), recorder.clone(), stop.clone());
        async move { transport.consume(queue, recorder, stop.into()).await }
    });
    until(
        "a consumer",
        20,
        async || matches!(transport.queue_exists(NAME).await, Ok(Some(queue)) if queue.consumers == 1),
    )
    .await;
    Consuming { recorder, stop, task }
}

impl Consuming {
    async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    fn taken(&self) -> HashSet<String> {
        self.recorder.bodies().into_iter().collect()
    }
}

async fn until<F: Future<Output = bool>>(what: &str, seconds: u64, holds: impl Fn() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(seconds), waiting).await;
    waited.unwrap_or_else(|_| panic!("{what} within {seconds} s"));
}

/// Publishes what the numbers say, each until it is confirmed, as a relay does.
async fn relay(transport: &AmqpTransport, numbers: impl Iterator<Item = u32>, unknown: &AtomicU32) {
    let publishes = numbers.map(|number| async move {
        let mut message = message(&number.to_string());
        message.properties.message_id = Some(number.to_string());
        while let Err(error) = transport.publish(message.clone(), Routing::Mandatory).await {
            assert!(!matches!(error, PublishError::Unroutable { .. }), "{error}");
            unknown.fetch_add(1, Ordering::SeqCst);
        }
    });
    join_all(publishes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_in_the_middle_has_lost_nothing_when_it_is_back() {
    let broker = OwnBroker::start().await;
    let transport = connect(&broker, 10);
    let consuming = consume(&transport, usize::MAX >> 4).await;
    let unknown = AtomicU32::new(0);
    // RabbitMQ 3.10 finds no leader again for a quorum queue that is killed in its first second.
    tokio::time::sleep(Duration::from_secs(3)).await;

    let killing = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        broker.kill().await;
        broker.start_again().await;
    };
    let publishing = async {
        for round in 0..40 {
            relay(&transport, round * 500..(round + 1) * 500, &unknown).await;
        }
    };
    tokio::join!(killing, publishing);

    until("all messages", 60, async || consuming.taken().len() == 20_000).await;
    println!(
        "{} times unknown, {} taken",
        unknown.load(Ordering::SeqCst),
        consuming.recorder.count()
    );
    assert!(consuming.recorder.most_in_hand.load(Ordering::SeqCst) <= 10);
    consuming.end().await;
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_short_of_memory_blocks_publishers_and_no_acknowledgement() {
    let broker = OwnBroker::start().await;
    let transport = connect(&broker, 2);
    let consuming = consume(&transport, 0).await;
    relay(&transport, 0..100, &AtomicU32::new(0)).await;

    broker.control(&["set_vm_memory_high_watermark", "0.00001"]).await;
    let answers = join_all((0..300).map(|_| transport.publish(message("late"), Routing::Mandatory))).await;
    for answer in &answers {
        assert!(matches!(answer, Err(PublishError::Unconfirmed(_))), "{answer:?}");
    }
    let started = Instant::now();
    let blocked = transport
        .publish(message("late"), Routing::Mandatory)
        .await
        .unwrap_err();
    assert_eq!(
        blocked.to_string(),
        "the broker did not confirm: RabbitMQ blocks publishers"
    );
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(!transport.health().publishing && transport.health().consuming);
    consuming.recorder.permits.add_permits(100_000);
    until("all messages, in the alarm", 10, async || {
        consuming.taken().len() == 100
    })
    .await;

    broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    until("the end of the alarm", 10, async || transport.health().publishing).await;
    transport.publish(message("after"), Routing::Mandatory).await.unwrap();
    until("the next message", 10, async || consuming.taken().contains("after")).await;
    consuming.end().await;
    assert_eq!(transport.queue_exists(NAME).await.unwrap().unwrap().messages, 0);
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_an_alarm_lasts_messages_are_acknowledged_and_what_a_relay_publishes_comes_after_it() {
    let seconds = depth(5, 60);
    let broker = OwnBroker::start().await;
    let transport = connect(&broker, 2);
    let consuming = consume(&transport, 0).await;
    let before = u32::try_from(seconds).unwrap() * 10;
    relay(&transport, 0..before, &AtomicU32::new(0)).await;
    let unknown = AtomicU32::new(0);

    broker.control(&["set_vm_memory_high_watermark", "0.00001"]).await;
    let relaying = relay(&transport, before..before + 100, &unknown);
    let lasting = async {
        for second in 1..=seconds {
            tokio::time::sleep(Duration::from_secs(1)).await;
            consuming.recorder.permits.add_permits(10);
            // The broker gives no more than a hand until it has read the acknowledgements of the last one.
            until("ten more", 10, async || consuming.taken().len() as u64 == second * 10).await;
            assert!(transport.health().consuming && !transport.health().publishing);
        }
        consuming.recorder.permits.add_permits(100_000);
        broker.control(&["set_vm_memory_high_watermark", "0.4"]).await;
    };
    tokio::join!(relaying, lasting);

    let unknown = unknown.load(Ordering::SeqCst);
    println!("{unknown} times unknown in {seconds} s");
    assert!(unknown >= 100, "each was unknown at least once: {unknown}");
    until("all messages", 60, async || {
        consuming.taken().len() as u32 == before + 100
    })
    .await;
    // What is not forgotten yet comes again to the next one, if its consumer leaves before its acknowledgements have arrived.
    until("a queue that has forgotten them", 60, async || {
        let told = broker.control(&["--quiet", "list_queues", "messages"]).await;
        told.lines().last() == Some("0")
    })
    .await;
    consuming.end().await;
    assert_eq!(transport.queue_exists(NAME).await.unwrap().unwrap().messages, 0);
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_an_operator_closes_come_back() {
    let broker = OwnBroker::start().await;
    let transport = connect(&broker, 10);
    let consuming = consume(&transport, usize::MAX >> 4).await;
    let unknown = AtomicU32::new(0);

    let closing = async {
        for _ in 0..depth(5, 50) {
            broker.control(&["close_all_connections", "for a test"]).await;
        }
    };
    let publishing = async {
        for round in 0..20 {
            relay(&transport, round * 50..(round + 1) * 50, &unknown).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::join!(closing, publishing);
    until("all messages", 30, async || consuming.taken().len() == 1000).await;
    assert!(consuming.recorder.most_in_hand.load(Ordering::SeqCst) <= 10);

    consuming.end().await;
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn permissions_that_are_taken_are_told_loudly_asked_for_slowly_and_used_when_they_are_back() {
    let errors = errors::recorded();
    let broker = OwnBroker::start().await;
    let transport = connect(&broker, 10);
    let consuming = consume(&transport, usize::MAX >> 4).await;
    relay(&transport, 0..10, &AtomicU32::new(0)).await;

    broker.control(&["set_permissions", "guest", "", "", ""]).await;
    // Permissions are looked up once in a while per channel; a new one looks at once.
    broker.control(&["close_all_connections", "for a test"]).await;
    let refused = transport
        .publish(message("refused"), Routing::Mandatory)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("ACCESS_REFUSED"), "{refused}");
    until("a consumer that knows it", 10, async || !transport.health().consuming).await;
    let tries = usize::try_from(depth(2, 8)).unwrap();
    until("a few tries", 15 * tries as u64, async || {
        refusals(&broker.log()).len() >= tries
    })
    .await;

    let refusals = refusals(&broker.log());
    println!("refused at {refusals:?}");
    for pair in refusals.windows(2) {
        let gap = pair[1] - pair[0];
        assert!(gap.num_milliseconds() >= 4_900, "asked again after {gap}");
    }
    let told = errors.told();
    let told: Vec<_> = told
        .iter()
        .filter(|text| text.starts_with("a-queue is not consumed"))
        .collect();
    assert_eq!(told.len(), 1, "once, and not with every try: {told:?}");
    assert!(
        told[0].contains("configure, write and read") && told[0].contains("ACCESS_REFUSED"),
        "it names the way out and the cause: {told:?}"
    );

    broker.control(&["set_permissions", "guest", ".*", ".*", ".*"]).await;
    until("a consumer again", 20, async || transport.health().consuming).await;
    transport.publish(message("after"), Routing::Mandatory).await.unwrap();
    until("the message", 10, async || consuming.taken().contains("after")).await;
    consuming.end().await;
    transport.close().await;
}

/// When our consumer tried, and the broker refused it its queue.
fn refusals(log: &str) -> Vec<NaiveDateTime> {
    let mut last = None;
    let mut refusals: Vec<NaiveDateTime> = Vec::new();
    for line in log.lines() {
        let instant = line.get(..26).unwrap_or_default();
        last = NaiveDateTime::parse_from_str(instant, "%Y-%m-%d %H:%M:%S%.f")
            .ok()
            .or(last);
        // One try asks more than one question.
        let is_new = |now: NaiveDateTime| {
            refusals
                .last()
                .is_none_or(|last| (now - *last).num_milliseconds() > 500)
        };
        if line.contains("access_refused: access to queue 'a-queue'") && last.is_some_and(is_new) {
            refusals.extend(last);
        }
    }
    refusals
}

/// `queue.declare`, passive, of a queue that is not there, on that channel.
fn look_for_nothing(channel: u16) -> Vec<u8> {
    let queue = b"no-such-queue";
    let mut arguments = vec![0, 50, 0, 10, 0, 0, queue.len() as u8];
    arguments.extend(queue);
    // Passive alone; no arguments.
    arguments.extend([1, 0, 0, 0, 0]);
    let mut frame = vec![1];
    frame.extend(channel.to_be_bytes());
    frame.extend((arguments.len() as u32).to_be_bytes());
    frame.extend(arguments);
    frame.push(0xce);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_for_a_missing_queue_on_the_consumers_own_channel_leaves_a_new_consumer() {
    let broker = OwnBroker::start().await;
    let uri: lapin::uri::AMQPUri = broker.url.parse().unwrap();
    let proxy = Proxy::start(([127, 0, 0, 1], uri.authority.port).into()).await;
    let transport = connect_to(
        &broker
            .url
            .replacen(&uri.authority.port.to_string(), &proxy.address.port().to_string(), 1),
        10,
    );
    let consuming = consume(&transport, usize::MAX >> 4).await;

    for time in 1..=3 {
        let channels = broker
            .control(&[
                "list_channels",
                "--quiet",
                "--no-table-headers",
                "number",
                "consumer_count",
            ])
            .await;
        let number = channels
            .lines()
            .find_map(|line| line.strip_suffix("\t1"))
            .unwrap()
            .parse()
            .unwrap();
        let before = errors_of_channels(&broker.log());

        proxy.smuggle(&look_for_nothing(number));

        until("the error", 5, async || errors_of_channels(&broker.log()) > before).await;
        until("a new consumer", 5, async || {
            let status = transport.queue_exists(NAME).await;
            transport.health().consuming && matches!(status, Ok(Some(queue)) if queue.consumers == 1)
        })
        .await;
        let body = format!("after {time}");
        transport.publish(message(&body), Routing::Mandatory).await.unwrap();
        until("its message", 5, async || consuming.taken().contains(&body)).await;
    }

    consuming.end().await;
    transport.close().await;
}

fn errors_of_channels(log: &str) -> usize {
    log.matches("not_found: no queue 'no-such-queue'").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_the_broker_closes_is_made_again_and_its_message_comes_again() {
    let broker = OwnBroker::start().await;
    // A message may be held for a second, and is looked after each second.
    let impatient = "application:set_env(rabbit, consumer_timeout, 1000), application:set_env(rabbit, channel_tick_interval, 1000).";
    broker.control(&["eval", impatient]).await;
    let transport = connect(&broker, 10);
    let consuming = consume(&transport, 0).await;
    transport.publish(message("held"), Routing::Mandatory).await.unwrap();

    until("the end of the channel", 20, async || !transport.health().consuming).await;
    until("a consumer again", 10, async || transport.health().consuming).await;
    consuming.recorder.permits.add_permits(1000);

    until("the message, twice", 20, async || consuming.recorder.count() >= 2).await;
    until("an empty queue", 10, async || {
        transport
            .queue_exists(NAME)
            .await
            .is_ok_and(|it| it.is_some_and(|it| it.messages == 0))
    })
    .await;
    consuming.end().await;
    transport.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_refuses_messages_says_so_and_takes_them_later() {
    let broker = OwnBroker::start().await;
    let transport = connect(&broker, 10);
    let consuming = consume(&transport, 0).await;
    let full = r#"{"max-length": 1, "overflow": "reject-publish"}"#;
    let unknown = AtomicU32::new(0);
    relay(&transport, 0..10, &unknown).await;
    let in_hand = || consuming.recorder.in_hand.load(Ordering::SeqCst);
    until("a full hand", 10, async || in_hand() == 10).await;

    broker
        .control(&["set_policy", "full", ".*", full, "--apply-to", "queues"])
        .await;
    let mut refused = None;
    for number in 10..20 {
        if let Err(error) = transport
            .publish(message(&number.to_string()), Routing::Mandatory)
            .await
        {
            refused = Some(error);
        }
    }
    assert!(matches!(refused, Some(PublishError::Refused { .. })), "{refused:?}");

    // A channel that was refused goes on refusing, whatever becomes of the policy; the next one does not.
    broker.control(&["clear_policy", "full"]).await;
    let settled = relay(&transport, 20..30, &unknown);
    tokio::time::timeout(Duration::from_secs(30), settled).await.unwrap();
    consuming.recorder.permits.add_permits(1000);
    let published = relay(&transport, 10..20, &unknown);
    tokio::time::timeout(Duration::from_secs(30), published).await.unwrap();
    until("all messages", 20, async || consuming.taken().len() == 30).await;
    consuming.end().await;
    transport.close().await;
}
