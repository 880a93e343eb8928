//! The server over real sockets: slow clients, ends, ports in use.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::super::server::{ListenError, listen, serve};

const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

struct Server {
    addr: SocketAddr,
    shutdown: CancellationToken,
    ended: JoinHandle<()>,
}

async fn start(router: Router) -> Server {
    let listener = listen(ANYWHERE).await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let shutdown = CancellationToken::new();
    let ended = tokio::spawn(serve(listener, router, shutdown.clone(), TaskTracker::new()));
    Server { addr, shutdown, ended }
}

async fn connect(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.expect("the server listens")
}

/// Everything until the server closes.
async fn read(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut text).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn a_client_that_sends_its_headers_too_slowly_loses_its_connection_and_others_do_not_wait() {
    let server = start(Router::new().route("/", get(|| async { "here" }))).await;
    let mut slow = connect(server.addr).await;
    let began = Instant::now();
    let dripping = tokio::spawn(async move {
        slow.write_all(b"GET / HTTP/1.1\r\n")
            .await
            .expect("the first line is taken");
        let mut drops = 0;
        while slow.write_all(b"X-Drop: 1\r\n").await.is_ok() && drops < 60 {
            drops += 1;
            if timeout(Duration::from_millis(250), slow.readable()).await.is_ok() {
                break;
            }
        }
        read(&mut slow).await
    });

    let mut quick = connect(server.addr).await;
    quick
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        .await
        .expect("the request is taken");
    let answered = timeout(Duration::from_secs(1), read(&mut quick))
        .await
        .expect("others do not wait");
    let left = timeout(Duration::from_secs(12), dripping)
        .await
        .expect("the slow one is thrown out")
        .expect("no panic");

    assert!(
        answered.starts_with("HTTP/1.1 200") && answered.ends_with("here"),
        "{answered}"
    );
    assert!(!left.contains("200 OK"), "{left}");
    let took = began.elapsed();
    assert!((4..9).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test]
async fn a_request_of_too_many_headers_is_refused() {
    let server = start(Router::new().route("/", get(|| async { "here" }))).await;
    let mut stream = connect(server.addr).await;
    let headers: String = (0..65).map(|number| format!("X-{number}: 1\r\n")).collect();

    stream
        .write_all(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes())
        .await
        .expect("it is taken");
    let answered = timeout(Duration::from_secs(2), read(&mut stream))
        .await
        .expect("an answer");

    assert!(answered.starts_with("HTTP/1.1 431"), "{answered}");
}

#[tokio::test]
async fn at_the_end_what_is_under_way_is_finished_and_nothing_new_is_taken() {
    let (arrived, mut arrivals) = mpsc::channel(1);
    let release = CancellationToken::new();
    let gate = release.clone();
    let handler = move || async move {
        arrived.send(()).await.expect("the test waits");
        gate.cancelled().await;
        "finished"
    };
    let server = start(Router::new().route("/", get(handler))).await;
    let mut stream = connect(server.addr).await;
    let idle = connect(server.addr).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("the request is taken");
    arrivals.recv().await.expect("the request is under way");

    server.shutdown.cancel();
    let refused = async {
        while TcpStream::connect(server.addr).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(2), refused)
        .await
        .expect("no new connection is taken");
    release.cancel();
    let answered = timeout(Duration::from_secs(2), read(&mut stream))
        .await
        .expect("the answer comes");

    assert!(answered.ends_with("finished"), "{answered}");
    assert!(answered.to_lowercase().contains("connection: close"), "{answered}");
    timeout(Duration::from_secs(8), server.ended)
        .await
        .expect("the server ends")
        .expect("no panic");
    drop(idle);
}

#[tokio::test]
async fn a_connection_serves_more_than_one_request() {
    let server = start(Router::new().route("/", post(|body: Bytes| async move { body }))).await;
    let mut stream = connect(server.addr).await;

    for body in ["one", "two"] {
        let request = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n{body}");
        stream
            .write_all(request.as_bytes())
            .await
            .expect("the request is taken");
        let mut answered = String::new();
        while !answered.ends_with(body) {
            let mut bytes = [0; 512];
            let count = timeout(Duration::from_secs(2), stream.read(&mut bytes))
                .await
                .expect("an answer")
                .expect("bytes");
            assert_ne!(count, 0, "{answered}");
            answered.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    }
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_setting() {
    let first = listen(ANYWHERE).await.expect("a free port");
    let addr = first.local_addr().expect("an address");

    let refused = listen(addr).await.expect_err("it is in use");

    assert!(matches!(refused, ListenError::InUse(taken) if taken == addr));
    assert_eq!(
        refused.to_string(),
        format!("{addr} is in use: choose another WAYBILL_HTTP_ADDR")
    );
}

#[tokio::test]
async fn a_body_that_drips_is_given_up() {
    let world = super::world::World::new().await;
    let id = world.order("o-1").await;
    let server = start(world.router.clone()).await;
    let mut stream = connect(server.addr).await;
    let head = format!(
        "POST /v1/delivery-orders/{id}/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: k\r\n\
         Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
        world.token(waybill_domain::Role::Operator, "ada")
    );

    let (mut reading, mut writing) = stream.split();
    writing.write_all(head.as_bytes()).await.expect("the head is taken");
    let dripping = async {
        loop {
            if writing.write_all(b" ").await.is_err() {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let mut answered = Vec::new();
    tokio::select! {
        () = dripping => {}
        ended = timeout(Duration::from_secs(14), reading.read_to_end(&mut answered)) => {
            assert!(ended.is_ok(), "the server gives up");
        }
    }

    let answered = String::from_utf8_lossy(&answered);
    assert!(
        answered.starts_with("HTTP/1.1 408") && answered.contains("body-too-slow"),
        "{answered}"
    );
}
