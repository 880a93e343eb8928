//! One HTTP connection that is kept: a request goes out, an answer with a `content-length` comes in.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub(super) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(addr: &str) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the receiver listens");
        stream.set_nodelay(true).expect("a socket option");
        Self {
            stream,
            read: Vec::with_capacity(1024),
        }
    }

    /// Sends a request and answers the status, when the whole answer is there.
    pub(super) async fn ask(&mut self, request: &[u8]) -> u16 {
        self.stream.write_all(request).await.expect("the receiver reads");
        self.read.clear();
        loop {
            let got = self
                .stream
                .read_buf(&mut self.read)
                .await
                .expect("the receiver answers");
            assert!(got > 0, "the receiver keeps the connection");
            if let Some(status) = complete(&self.read) {
                return status;
            }
        }
    }
}

fn complete(answer: &[u8]) -> Option<u16> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).expect("a head is text");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>())
    });
    let length = length
        .expect("an answer with its length")
        .expect("a length is a number");
    (answer.len() >= end + 4 + length).then(|| head[9..12].parse().expect("a status is a number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_complete_with_its_last_byte() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

        assert_eq!(complete(whole), Some(200));
        assert_eq!(complete(&whole[..whole.len() - 1]), None);
        assert_eq!(complete(&whole[..20]), None);
    }
}
