//! Refusals over a real connection: a partner that is still sending must be able to read the answer.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use waybill_webhooks::Stored;

use crate::partner::{FakeInbox, receiver};

/// Sends the whole of it before reading anything, as simple clients do.
async fn send(head: &str, body: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(axum::serve(listener, receiver(&FakeInbox::answering(Ok(Stored::New)))).into_future());
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut answer = Vec::new();
    let exchange = async {
        stream
            .write_all(format!("POST /webhooks/acme HTTP/1.1\r\nhost: w\r\n{head}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        stream.write_all(body).await.unwrap();
        stream.read_to_end(&mut answer).await.unwrap();
    };
    tokio::time::timeout(Duration::from_secs(10), exchange)
        .await
        .expect("the connection ends after the answer");
    server.abort();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_sender_of_too_much_reads_that_it_is_too_much() {
    for megabytes in [1, 4] {
        let body = vec![b' '; megabytes << 20];

        let answer = send(&format!("content-length: {}", body.len()), &body).await;

        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.ends_with(r#""type":"/problems/webhook-too-large"}"#), "{answer}");
    }
}

#[tokio::test]
async fn a_sender_in_chunks_reads_it_as_well() {
    let chunk = [b"10000\r\n", &[b' '; 0x10000][..], b"\r\n"].concat();
    let body = [chunk.repeat(20), b"0\r\n\r\n".to_vec()].concat();

    let answer = send("transfer-encoding: chunked", &body).await;

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_sender_that_asks_first_need_not_send() {
    let answer = send("content-length: 99999999\r\nexpect: 100-continue", b"").await;

    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}
