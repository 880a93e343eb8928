//! A broker and a Redis behind TLS, with certificates that only a private authority has signed.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

#[path = "support/authority.rs"]
mod authority;
#[path = "support/crossing.rs"]
#[expect(dead_code, reason = "the canvases are told elsewhere")]
mod crossing;
#[path = "support/half.rs"]
mod half;
#[path = "support/handlers.rs"]
#[expect(dead_code, reason = "the shelf is for the worker's tests")]
mod handlers;
#[path = "support/own_broker.rs"]
#[expect(dead_code, reason = "this broker is not killed")]
mod own_broker;

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use waybill_tasks::celery::amqp::{AmqpOptions, AmqpTransport};
use waybill_tasks::celery::message::Message;
use waybill_tasks::celery::results::redis::RedisBackend;
use waybill_tasks::celery::results::{ResultBackend as _, ResultError, State, TaskResult};
use waybill_tasks::celery::transport::{Queue, Routing, Transport as _};

use authority::Authority;
use handlers::Recorder;
use own_broker::OwnBroker;

/// Names of the machine that the services are on.
const HERE: &str = "DNS:localhost,IP:127.0.0.1";

fn provider() {
    // Another test of this process may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Ends with the test.
struct OwnRedis {
    process: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl OwnRedis {
    /// Speaks TLS alone, and only with clients that it knows, if it is told so.
    async fn start(authority: &Authority, knows_clients: bool) -> Self {
        authority.sign("redis", HERE).await;
        let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
        let option = |name: &str, path: &Path| [name.to_owned(), path.display().to_string()];
        let process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--tls-port",
                &port.to_string(),
            ])
            .args(["--tls-auth-clients", if knows_clients { "yes" } else { "no" }])
            .args(option("--tls-cert-file", &authority.certificate("redis")))
            .args(option("--tls-key-file", &authority.key("redis")))
            .args(option("--tls-ca-cert-file", &authority.certificate("authority")))
            .args(option("--dir", folder.path()))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let waiting = async {
            while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
        Self {
            process,
            port,
            _folder: folder,
        }
    }

    fn url(&self, host: &str, query: &str) -> String {
        format!("rediss://{host}:{}/0?{query}", self.port)
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn backend(url: &str) -> RedisBackend {
    RedisBackend::new(&SecretString::from(url)).unwrap()
}

/// Why nothing can be stored there.
async fn refused(url: &str) -> String {
    let result = TaskResult::new("refused", State::Success, json!(1), Utc::now());
    match backend(url).store(&result).await {
        Err(ResultError::Away(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn results_go_through_tls_to_python_and_back_by_the_url_that_python_takes() {
    provider();
    let authority = Authority::new().await;
    let redis = OwnRedis::start(&authority, false).await;
    let url = redis.url("localhost", &authority.trusted());

    crossing::exchange(&backend(&url), &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_nobody_vouches_for_gets_nothing() {
    provider();
    let (authority, another) = (Authority::new().await, Authority::new().await);
    let redis = OwnRedis::start(&authority, false).await;

    for query in ["ssl_cert_reqs=CERT_REQUIRED".to_owned(), another.trusted()] {
        let why = refused(&redis.url("localhost", &query)).await;
        assert!(why.contains("invalid peer certificate"), "{why}");
    }
    let why = refused(&redis.url("127.0.0.2", &authority.trusted())).await;
    assert!(why.contains("refused") || why.contains("NotValidForName"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_wants_to_know_who_comes_is_told() {
    provider();
    let authority = Authority::new().await;
    authority.sign("worker", "DNS:worker").await;
    let redis = OwnRedis::start(&authority, true).await;
    let known = redis.url("localhost", &(authority.trusted() + &authority.known_as("worker")));

    crossing::exchange(&backend(&known), &known).await;

    // The server ends the connection with an alert, which may come after the first bytes of ours.
    let why = refused(&redis.url("localhost", &authority.trusted())).await;
    assert!(!why.contains("no answer within"), "{why}");
}

/// Lets a broker speak TLS too, only with clients that it knows, and answers the port.
async fn speak_tls(broker: &OwnBroker, authority: &Authority) -> u16 {
    authority.sign("rabbitmq", HERE).await;
    let port = free_port();
    let file = |name: &str, path: &Path| format!("{{{name}, {:?}}}", path.display().to_string());
    let options = [
        file("certfile", &authority.certificate("rabbitmq")),
        file("keyfile", &authority.key("rabbitmq")),
        file("cacertfile", &authority.certificate("authority")),
        "{verify, verify_peer}, {fail_if_no_peer_cert, true}".to_owned(),
    ]
    .join(", ");
    let listen = format!("rabbit_networking:start_ssl_listener({{\"127.0.0.1\", {port}, auto}}, [{options}], 2).");
    broker
        .control(&["eval", &format!("rabbit_networking:ensure_ssl(), {listen}")])
        .await;
    port
}

fn connect(host: &str, port: u16, query: &str) -> Arc<AmqpTransport> {
    let url = format!("amqps://guest:guest@{host}:{port}/%2f?{query}");
    AmqpTransport::connect(AmqpOptions::new(SecretString::from(url), "waybill-test")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_behind_tls_is_trusted_by_its_authority_and_knows_who_comes() {
    provider();
    let (authority, another) = (Authority::new().await, Authority::new().await);
    for authority in [&authority, &another] {
        authority.sign("worker", "DNS:worker").await;
    }
    let broker = OwnBroker::start().await;
    let port = speak_tls(&broker, &authority).await;

    for query in [
        "ssl_cert_reqs=required".to_owned(),
        authority.trusted(),
        another.trusted() + &authority.known_as("worker"),
        authority.trusted() + &another.known_as("worker"),
    ] {
        let stranger = connect("localhost", port, &query);
        assert!(!stranger.ready(Duration::from_secs(2)).await, "{query}");
        stranger.close().await;
    }
    for host in ["localhost", "127.0.0.1"] {
        let transport = connect(host, port, &(authority.trusted() + &authority.known_as("worker")));
        assert!(transport.ready(Duration::from_secs(20)).await, "{host}");
        pass_a_message(&transport).await;
        transport.close().await;
    }
}

async fn pass_a_message(transport: &AmqpTransport) {
    let recorder = Arc::new(Recorder::new());
    let (stop, queue) = (
        CancellationToken::new(),
        Queue {
            name: "behind-tls".to_owned(),
            bindings: Vec::new(),
            prefetch: 4,
        },
    );
    transport.ensure_queue(&queue.name).await;
    let message = Message {
        routing_key: queue.name.clone(),
        body: b"secret".to_vec(),
        ..Message::default()
    };
    transport.publish(message, Routing::Mandatory).await.unwrap();
    let taking = async {
        while recorder.count() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.cancel();
    };
    let consuming = transport.consume(queue, recorder.clone(), stop.clone().into());
    tokio::time::timeout(Duration::from_secs(20), async { tokio::join!(consuming, taking) })
        .await
        .unwrap();
    assert_eq!(recorder.bodies(), ["secret"]);
}
