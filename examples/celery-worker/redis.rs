//! Three commands of Redis, spoken by hand: what tasks leave as a trace of having run.

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use waybill_tasks::celery::registry::TaskError;

/// Where traces are left.
#[derive(Debug, Clone)]
pub(crate) struct Redis {
    address: String,
    database: String,
}

impl Redis {
    /// At `redis://host:port/database`.
    pub(crate) fn at(url: &str) -> Self {
        let rest = url.trim_start_matches("redis://");
        let (address, database) = rest.split_once('/').unwrap_or((rest, "0"));
        Self {
            address: address.to_owned(),
            database: if database.is_empty() { "0" } else { database }.to_owned(),
        }
    }

    /// Puts a value at the end of a list.
    pub(crate) async fn push(&self, key: &str, value: &str) -> Result<(), TaskError> {
        self.tell(&["RPUSH", key, value]).await
    }

    /// Counts one more.
    pub(crate) async fn count(&self, key: &str) -> Result<(), TaskError> {
        self.tell(&["INCR", key]).await
    }

    async fn tell(&self, command: &[&str]) -> Result<(), TaskError> {
        self.speak(command)
            .await
            .map_err(|error| TaskError::Unavailable(format!("Redis: {error}")))
    }

    async fn speak(&self, command: &[&str]) -> std::io::Result<()> {
        let mut stream = BufReader::new(TcpStream::connect(&self.address).await?);
        for words in [&["SELECT", &self.database], command] {
            stream.write_all(written(words).as_bytes()).await?;
            let mut answer = String::new();
            stream.read_line(&mut answer).await?;
            if !answer.starts_with([':', '+']) {
                return Err(std::io::Error::other(answer));
            }
        }
        Ok(())
    }
}

fn written(words: &[&str]) -> String {
    let words = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len()));
    format!("*{}\r\n{}", words.len(), words.collect::<String>())
}
