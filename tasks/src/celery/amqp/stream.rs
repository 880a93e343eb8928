//! The stream of bytes between lapin and a broker, in which every short string that lapin reads is UTF-8.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::{AsyncRead, AsyncWrite, Stream};
use lapin::AsyncTcpStream;
use tracing::warn;

use super::latin;

/// TCP, and TLS above it, as lapin makes them.
pub(super) type Wire = AsyncTcpStream<<Tokio as Reactor>::TcpStream>;

/// What lapin runs on: tokio, but for the stream.
pub(super) type Kit = RuntimeParts<Tokio, Streams>;

/// The current runtime.
pub(super) fn runtime() -> Runtime<Kit> {
    Runtime::new(RuntimeParts::new(Tokio::current(), Streams(Tokio::current())))
}

/// How much is read at once.
const READ: usize = 64 * 1024;
/// No broker sends a method or a header that is larger: lapin agrees to frames of 128 KiB.
const LARGEST: usize = 1024 * 1024;
/// Kind, channel and size before a frame's payload, and the byte after it.
const HEAD: usize = 7;
const END: usize = 1;
const METHOD: u8 = 1;
const HEADER: u8 = 2;

/// A stream whose frames are mended as they are read.
pub(super) struct Utf8Stream {
    wire: Wire,
    frames: Frames,
    read: Vec<u8>,
}

impl Utf8Stream {
    pub(super) fn over(wire: Wire) -> Self {
        Self {
            wire,
            frames: Frames::default(),
            read: vec![0; READ],
        }
    }
}

impl AsyncRead for Utf8Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Self { wire, frames, read } = self.get_mut();
        while frames.is_empty() {
            match ready!(Pin::new(&mut *wire).poll_read(context, read))? {
                0 => {
                    frames.end();
                    break;
                }
                count => frames.feed(read.get(..count).unwrap_or_default()),
            }
        }
        Poll::Ready(Ok(frames.take(buffer)))
    }
}

impl AsyncWrite for Utf8Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_close(context)
    }
}

/// Connects to nothing: lapin is given its streams.
#[derive(Debug, Clone)]
pub(super) struct Streams(Tokio);

impl Reactor for Streams {
    type TcpStream = Utf8Stream;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.0.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.0.tcp_connect_addr(address);
        async { Ok(Utf8Stream::over(Wire::Plain(connecting.await?))) }
    }
}

/// Cuts what arrives into frames, and mends those that hold strings.
#[derive(Debug, Default)]
struct Frames {
    bytes: Vec<u8>,
    /// What is before it has been taken.
    taken: usize,
    /// What is before it may be taken; after it a frame begins that must be seen whole, and is not yet.
    ready: usize,
    /// How much of the current frame need not be seen.
    unseen: usize,
}

impl Frames {
    fn is_empty(&self) -> bool {
        self.taken == self.ready
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        loop {
            let left = self.bytes.get(self.ready..).unwrap_or_default();
            let passed = self.unseen.min(left.len());
            if passed > 0 {
                self.ready += passed;
                self.unseen -= passed;
                continue;
            }
            match next(left) {
                Next::Cut => return,
                Next::Unseen(size) => self.unseen = size,
                Next::Whole(frame) => {
                    let frame_end = self.ready + frame.len();
                    self.ready = match mended(frame) {
                        None => frame_end,
                        Some(mended) => {
                            let mended_end = self.ready + mended.len();
                            self.bytes.splice(self.ready..frame_end, mended);
                            mended_end
                        }
                    };
                }
            }
        }
    }

    /// Nothing more comes: what was cut off is passed on as it is.
    fn end(&mut self) {
        self.ready = self.bytes.len();
    }

    fn take(&mut self, buffer: &mut [u8]) -> usize {
        let ready = self.bytes.get(self.taken..self.ready).unwrap_or_default();
        let (taken, buffer) = match (ready.get(..buffer.len()), buffer.get_mut(..ready.len())) {
            (_, Some(room)) => (ready, room),
            (Some(part), None) => (part, buffer),
            (None, None) => return 0,
        };
        buffer.copy_from_slice(taken);
        let count = taken.len();
        self.taken += count;
        if self.is_empty() {
            self.bytes.drain(..self.taken);
            (self.taken, self.ready) = (0, 0);
        }
        count
    }
}

/// What stands at the beginning of some bytes.
enum Next<'a> {
    /// The beginning of a frame that must be seen whole, or of its head.
    Cut,
    /// A frame of so many bytes that need not be seen.
    Unseen(usize),
    /// A frame that must be.
    Whole(&'a [u8]),
}

fn next(bytes: &[u8]) -> Next<'_> {
    let [kind, _, _, a, b, c, d, ..] = *bytes else {
        return Next::Cut;
    };
    let payload = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let size = payload.saturating_add(HEAD + END);
    match kind {
        METHOD | HEADER if size <= LARGEST => bytes.get(..size).map_or(Next::Cut, Next::Whole),
        _ => Next::Unseen(size),
    }
}

/// A frame with its strings in UTF-8; `None` if they are.
fn mended(frame: &[u8]) -> Option<Vec<u8>> {
    let (head, payload) = frame.split_at_checked(HEAD)?;
    let (end, payload) = payload.split_last()?;
    let (kind, channel) = (*head.first()?, head.get(1..3)?);
    let payload = match kind {
        METHOD => latin::method(payload),
        _ => latin::content_header(payload),
    }?;
    warn!(
        "a message has text that is not UTF-8 in a property, in the name of a header or in its routing key: it is read as Latin-1; \
         its producer ought to write UTF-8"
    );
    let size = u32::try_from(payload.len()).ok()?.to_be_bytes();
    Some([&[kind], channel, &size, &payload, &[*end]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&[kind, 0, 1], size.as_slice(), payload, &[0xce]].concat()
    }

    fn header(correlation_id: &[u8]) -> Vec<u8> {
        let start = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x04, 0];
        let size = u8::try_from(correlation_id.len()).unwrap();
        frame(HEADER, &[&start, [size].as_slice(), correlation_id].concat())
    }

    /// What comes out if it comes in so many bytes, and is taken in so many.
    fn read(bytes: &[u8], fed: usize, taken: usize) -> Vec<u8> {
        let mut frames = Frames::default();
        let mut read = Vec::new();
        let mut buffer = vec![0; taken];
        for part in bytes.chunks(fed) {
            frames.feed(part);
            while !frames.is_empty() {
                let count = frames.take(&mut buffer);
                read.extend_from_slice(&buffer[..count]);
            }
        }
        assert!(frames.bytes.is_empty());
        read
    }

    #[test]
    fn however_the_bytes_arrive_frames_are_mended_and_nothing_else_is() {
        // A body that looks like the beginning of a frame, and one that is empty; and the answer to a wrong version, which is no frame.
        let body = frame(3, b"\x02\x00\x01\x00\x00\x00\xffcaf\xe9");
        let others = [frame(8, b""), frame(3, b""), frame(METHOD, b"\x00\x0a\x00\x1e")].concat();
        let arrives = |text: &[u8]| [header(text), body.clone(), others.clone(), header(text), body.clone()].concat();
        let (came, expected) = (arrives(b"caf\xe9"), arrives("café".as_bytes()));

        for fed in [1, 2, 3, 7, 8, 20, 30, 1000] {
            for taken in [1, 5, 1000] {
                assert_eq!(read(&came, fed, taken), expected, "{fed}, {taken}");
            }
        }
    }

    #[test]
    fn what_is_no_frame_goes_by() {
        assert_eq!(read(b"AMQP\x00\x00\x09\x01", 3, 10), b"AMQP\x00\x00\x09\x01");
    }

    #[test]
    fn what_was_cut_off_is_passed_on_at_the_end() {
        let mut frames = Frames::default();
        frames.feed(&header(b"abc")[..12]);
        assert!(frames.is_empty());

        frames.end();

        let mut buffer = [0; 100];
        assert_eq!(frames.take(&mut buffer), 12);
        assert!(frames.is_empty());
    }
}
