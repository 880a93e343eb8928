//! A proxy between a client and a server that fails on command: cuts, silence, slowness, small slices.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

/// What is wrong with the network; nothing by default.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Nothing passes in either direction, and no connection ends: bytes wait until it is over.
    pub(crate) blackhole: bool,
    /// Each read waits this long before it is passed on.
    pub(crate) latency: Duration,
    /// At most this many bytes are written at once.
    pub(crate) slice: Option<usize>,
}

/// Passes TCP connections to a server.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    faults: watch::Sender<Faults>,
    cuts: watch::Sender<u64>,
    smuggled: broadcast::Sender<Vec<u8>>,
    open: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (faults, cuts) = (watch::Sender::new(Faults::default()), watch::Sender::new(0));
        let (smuggled, open) = (broadcast::Sender::new(4), Arc::new(AtomicUsize::new(0)));
        let shared = (
            faults.subscribe(),
            cuts.subscribe(),
            smuggled.clone(),
            Arc::clone(&open),
        );
        let accepting = tokio::spawn(async move {
            let (faults, cuts, smuggled, open) = shared;
            while let Ok((client, _)) = listener.accept().await {
                let wrong = Wrong {
                    faults: faults.clone(),
                    cuts: cuts.clone(),
                    smuggled: smuggled.subscribe(),
                };
                tokio::spawn(pass(client, server, wrong, Arc::clone(&open)));
            }
        });
        Self {
            address,
            faults,
            cuts,
            smuggled,
            open,
            accepting,
        }
    }

    /// From now on.
    pub(crate) fn fail(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// From now on nothing is wrong.
    pub(crate) fn heal(&self) {
        self.fail(Faults::default());
    }

    /// Resets every connection that is open.
    pub(crate) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Sends these bytes to the server over every connection that is open, as if the client had, between two frames of AMQP.
    pub(crate) fn smuggle(&self, frame: &[u8]) {
        // Without a connection nobody hears it.
        let _ = self.smuggled.send(frame.to_vec());
    }

    /// How many connections are open.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

/// What can go wrong with one connection.
struct Wrong {
    faults: watch::Receiver<Faults>,
    cuts: watch::Receiver<u64>,
    smuggled: broadcast::Receiver<Vec<u8>>,
}

async fn pass(client: TcpStream, server: SocketAddr, wrong: Wrong, open: Arc<AtomicUsize>) {
    let Wrong {
        faults,
        mut cuts,
        smuggled,
    } = wrong;
    cuts.mark_unchanged();
    open.fetch_add(1, Ordering::SeqCst);
    if let Ok(server) = TcpStream::connect(server).await {
        // A cut is a reset, not a polite end.
        for stream in [&client, &server] {
            let _ = stream.set_nodelay(true);
        }
        let (client_read, client_write) = client.into_split();
        let (server_read, server_write) = server.into_split();
        tokio::select! {
            () = pump(client_read, server_write, faults.clone(), Some(smuggled)) => (),
            () = pump(server_read, client_write, faults, None) => (),
            _ = cuts.changed() => (),
        }
    }
    open.fetch_sub(1, Ordering::SeqCst);
}

/// Every frame of AMQP ends with it.
const FRAME_END: u8 = 0xce;

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut faults: watch::Receiver<Faults>,
    mut smuggled: Option<broadcast::Receiver<Vec<u8>>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut last = 0;
    loop {
        let size = tokio::select! {
            read = from.read(&mut buffer) => match read {
                Ok(size @ 1..) => size,
                _ => return,
            },
            frame = next(&mut smuggled), if last == FRAME_END => {
                if to.write_all(&frame).await.is_err() {
                    return;
                }
                continue;
            }
        };
        last = buffer[size - 1];
        let now = *faults.borrow();
        tokio::time::sleep(now.latency).await;
        for slice in buffer[..size].chunks(now.slice.unwrap_or(size)) {
            if faults.wait_for(|faults| !faults.blackhole).await.is_err() || to.write_all(slice).await.is_err() {
                return;
            }
        }
    }
}

async fn next(smuggled: &mut Option<broadcast::Receiver<Vec<u8>>>) -> Vec<u8> {
    match smuggled {
        Some(smuggled) => match smuggled.recv().await {
            Ok(frame) => frame,
            Err(_) => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}
