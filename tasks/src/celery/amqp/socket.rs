//! The TCP connection below lapin, with a way to end it: lapin waits for a silent broker for ever, its thread with it.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_rs::Tokio;
use futures_util::{AsyncReadExt as _, AsyncWriteExt as _};
use lapin::AsyncTcpStream;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};

use super::link::Target;
use super::server;
use super::stream::{self, Utf8Stream, Wire};
use crate::celery::tls::Tls;

/// A second handle on the socket of a connection.
#[derive(Debug, Clone, Default)]
pub(super) struct Socket(Arc<Mutex<Option<TcpStream>>>);

impl Socket {
    /// Ends the connection below everything that may be stuck above it.
    pub(super) fn shut_down(&self) {
        if let Some(stream) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Already closed is what we want.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn watch(&self, stream: TcpStream) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(stream);
    }
}

/// Opens a TCP (and TLS) connection on the current runtime.
async fn open(uri: &AMQPUri, tls: &Tls, socket: &Socket) -> io::Result<Wire> {
    let stream = Wire::connect(&Tokio::current(), addresses(uri).await?).await?;
    if let Wire::Plain(tcp) = &stream {
        let handle = TcpStream::from(tcp.get_ref().as_fd().try_clone_to_owned()?);
        // Acknowledgements are small: without this they wait for each other.
        handle.set_nodelay(true)?;
        socket.watch(handle);
    }
    match uri.scheme {
        AMQPScheme::AMQP => Ok(stream),
        AMQPScheme::AMQPS => {
            let host = uri.authority.host.trim_matches(['[', ']']);
            stream.into_tls(host, tls.for_amqp().as_ref()).await
        }
    }
}

/// Connects, or fails within the time; then nothing of the try is left behind.
pub(super) async fn connect(target: &Target, properties: ConnectionProperties) -> Result<(Connection, Socket), String> {
    let socket = Socket::default();
    let (watched, tls) = (socket.clone(), target.tls.clone());
    let connecting = Connection::connector(
        target.uri.clone(),
        stream::runtime(),
        async move |uri, _| {
            let wire = open(&uri, &tls, &watched).await?;
            Ok(AsyncTcpStream::Plain(Utf8Stream::over(wire)))
        },
        properties,
    );
    match tokio::time::timeout(target.within, connecting).await {
        Ok(Ok(connection)) => Ok((connection, socket)),
        Ok(Err(error)) => {
            socket.shut_down();
            Err(error.to_string())
        }
        Err(_) => {
            socket.shut_down();
            Err(format!("no answer within {:?}", target.within))
        }
    }
}

/// What the server says it is before anybody has logged in; lapin reads it and keeps it to itself.
pub(super) async fn server_name(target: &Target) -> Option<String> {
    let asking = async {
        let mut stream = open(&target.uri, &target.tls, &Socket::default()).await.ok()?;
        stream.write_all(b"AMQP\x00\x00\x09\x01").await.ok()?;
        stream.flush().await.ok()?;
        let mut head = [0; 7];
        stream.read_exact(&mut head).await.ok()?;
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
        let mut frame = vec![0; usize::try_from(size).ok().filter(|size| *size <= 64 * 1024)?];
        stream.read_exact(&mut frame).await.ok()?;
        server::name(&frame)
    };
    tokio::time::timeout(target.within, asking).await.ok().flatten()
}

async fn addresses(uri: &AMQPUri) -> io::Result<Vec<SocketAddr>> {
    let host = uri.authority.host.trim_matches(['[', ']']);
    Ok(tokio::net::lookup_host((host, uri.authority.port)).await?.collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::celery::tls::Tls;

    fn threads_of_lapin() -> usize {
        let threads = std::fs::read_dir("/proc/self/task").unwrap();
        let names = threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).ok());
        names.filter(|name| name.trim() == "lapin-io-loop").count()
    }

    fn target(scheme: &str, listener: &TcpListener, within: Duration) -> Target {
        let uri = format!("{scheme}://{}", listener.local_addr().unwrap());
        Target {
            uri: uri.parse().unwrap(),
            tls: Tls::default(),
            name: "test".to_owned(),
            role: "publish",
            within,
        }
    }

    #[tokio::test]
    async fn a_broker_that_speaks_no_tls_is_an_error_and_no_panic() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target("amqps", &listener, Duration::from_secs(5));
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            client.write_all(b"AMQP\x00\x00\x09\x01").await.unwrap();
            client.read_to_end(&mut Vec::new()).await.unwrap();
        });

        let tried = connect(&target, ConnectionProperties::default()).await;

        let error = tried.err().unwrap();
        assert!(error.contains("InvalidContentType"), "{error}");
    }

    #[tokio::test]
    async fn a_try_at_a_silent_broker_leaves_neither_a_socket_nor_a_thread() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = target("amqp", &listener, Duration::from_millis(200));
        let silent = tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            heard
        });

        let tried = connect(&target, ConnectionProperties::default()).await;

        assert_eq!(tried.err().as_deref(), Some("no answer within 200ms"));
        let heard = tokio::time::timeout(Duration::from_secs(1), silent)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(heard, b"AMQP\x00\x00\x09\x01");
        for _ in 0..100 {
            if threads_of_lapin() == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} threads are left", threads_of_lapin());
    }
}
