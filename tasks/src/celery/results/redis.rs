//! `redis://` and `rediss://`: results as Python's workers and clients keep them there, and chords counted together with them.

mod chords;
mod scripts;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, RedisError};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::timeout;
use url::Url;

use super::{ChordCounter, ResultBackend, ResultError, ResultTree, TaskResult, read_json};
use crate::celery::tls::{Tls, TlsError, without_parameters};

/// `result_expires` of Celery: a day.
pub const EXPIRES: Duration = Duration::from_secs(86_400);
/// A server that is there answers at once.
const WITHIN: Duration = Duration::from_secs(5);

/// Results in Redis.
pub struct RedisBackend {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    expires: Duration,
    prefix: String,
    uri: String,
}

/// Why nothing can be connected to. The URL is not repeated, because it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum RedisUrlError {
    /// It is none.
    #[error("the result backend's URL is not of the form redis://:password@host:port/database or rediss://…")]
    NotARedisUrl,
    /// What it says of TLS cannot be done.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A certificate or a key in its files is damaged.
    #[error("the files that the result backend's URL names cannot be used: {0}")]
    Unusable(String),
}

impl RedisBackend {
    /// Connects when it is first asked, and again after a connection has broken.
    ///
    /// Of `redis://` and of `rediss://`, with the parameters of [`tls`](crate::celery::tls); for the latter the process must have
    /// installed a rustls provider.
    pub fn new(url: &SecretString) -> Result<Self, RedisUrlError> {
        Ok(Self {
            client: client(url.expose_secret())?,
            connection: Mutex::default(),
            expires: EXPIRES,
            prefix: String::new(),
            uri: masked(url.expose_secret()),
        })
    }

    /// How long results are kept, as `result_expires`; zero is for ever.
    #[must_use]
    pub fn expiring_after(mut self, expires: Duration) -> Self {
        self.expires = expires;
        self
    }

    /// What every key begins with, as `global_keyprefix` of Python's transport options.
    #[must_use]
    pub fn with_prefix(mut self, prefix: &str) -> Self {
        let ends = prefix.is_empty() || prefix.ends_with([':', '_', '-', '.']);
        self.prefix = if ends { prefix.to_owned() } else { format!("{prefix}_") };
        self
    }

    fn task_key(&self, task_id: &str) -> String {
        format!("{}celery-task-meta-{task_id}", self.prefix)
    }

    fn group_key(&self, group_id: &str, part: &str) -> String {
        format!("{}celery-taskset-meta-{group_id}{part}", self.prefix)
    }

    /// Asks a second time over a new connection: the first may have died while nobody looked. Every command here may come twice.
    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, ResultError> {
        match self.ask_once(command).await {
            Err(ResultError::Away(_)) => self.ask_once(command).await,
            other => other,
        }
    }

    async fn ask_once<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, ResultError> {
        let mut connection = self.connected().await?;
        let error = match timeout(WITHIN, command.query_async(&mut connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => why(&error),
            Err(_) => ResultError::Away(format!("no answer within {WITHIN:?}")),
        };
        if matches!(error, ResultError::Away(_)) {
            *self.connection.lock().await = None;
        }
        Err(error)
    }

    async fn connected(&self) -> Result<MultiplexedConnection, ResultError> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let connecting = timeout(WITHIN, self.client.get_multiplexed_async_connection());
        let connection = match connecting.await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(ResultError::Away(error.to_string())),
            Err(_) => return Err(ResultError::Away(format!("no connection within {WITHIN:?}"))),
        };
        Ok(held.insert(connection).clone())
    }
}

#[async_trait]
impl ResultBackend for RedisBackend {
    async fn store(&self, result: &TaskResult) -> Result<(), ResultError> {
        let mut command = scripts::STORE.call(&[self.task_key(&result.task_id)]);
        command.arg(result.to_meta().to_string()).arg(self.expires.as_secs());
        self.ask(&command).await
    }

    async fn load(&self, task_ids: &[String]) -> Result<Vec<Option<TaskResult>>, ResultError> {
        if task_ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = redis::cmd("MGET");
        for id in task_ids {
            command.arg(self.task_key(id));
        }
        let found: Vec<Option<Vec<u8>>> = self.ask(&command).await?;
        found
            .into_iter()
            .map(|meta| meta.map(|meta| read(&meta)).transpose())
            .collect()
    }

    async fn save_group(&self, group: &ResultTree) -> Result<(), ResultError> {
        let mut command = redis::cmd("SET");
        command.arg(self.group_key(&group.id, "")).arg(shape(group));
        if !self.expires.is_zero() {
            command.arg("EX").arg(self.expires.as_secs());
        }
        self.ask(&command).await
    }

    async fn load_group(&self, group_id: &str) -> Result<Option<ResultTree>, ResultError> {
        let mut command = redis::cmd("GET");
        command.arg(self.group_key(group_id, ""));
        let found: Option<Vec<u8>> = self.ask(&command).await?;
        let Some(found) = found else {
            return Ok(None);
        };
        Ok(ResultTree::from_value(&read_json("a group", &found)?["result"]))
    }

    fn chords(&self) -> Option<&dyn ChordCounter> {
        Some(self)
    }

    fn as_uri(&self) -> String {
        self.uri.clone()
    }
}

fn shape(group: &ResultTree) -> String {
    json!({"result": group.to_value()}).to_string()
}

fn read(meta: &[u8]) -> Result<TaskResult, ResultError> {
    let meta = read_json("a result", meta)?;
    TaskResult::from_meta(&meta).ok_or_else(|| ResultError::Refused("a result without status and task id".to_owned()))
}

/// An answer with an error in it will be the same next time, unless the server says that it is not ready.
fn why(error: &RedisError) -> ResultError {
    let code = error.code().unwrap_or_default();
    let passing = [
        "LOADING",
        "READONLY",
        "MASTERDOWN",
        "TRYAGAIN",
        "BUSY",
        "OOM",
        "CLUSTERDOWN",
        "MISCONF",
        "NOREPLICAS",
    ]
    .contains(&code);
    if code.is_empty() || passing {
        return ResultError::Away(error.to_string());
    }
    ResultError::Refused(error.to_string())
}

fn client(url: &str) -> Result<redis::Client, RedisUrlError> {
    let url = Url::parse(url).map_err(|_| RedisUrlError::NotARedisUrl)?;
    let plain = without_parameters(&url);
    if url.scheme() == "rediss" {
        // A URL that is none would be told as files that are.
        redis::Client::open(plain.as_str()).map_err(|_| RedisUrlError::NotARedisUrl)?;
        let tls = Tls::of(&url)?.for_redis();
        return redis::Client::build_with_tls(plain.as_str(), tls)
            .map_err(|error| RedisUrlError::Unusable(error.to_string()));
    }
    redis::Client::open(plain.as_str()).map_err(|_| RedisUrlError::NotARedisUrl)
}

/// The URL with stars for a password.
fn masked(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("redis", url));
    let Some((user, host)) = rest.rsplit_once('@') else {
        return url.to_owned();
    };
    let user = user.split(':').next().unwrap_or_default();
    format!("{scheme}://{user}:**@{host}")
}

impl fmt::Debug for RedisBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RedisBackend")
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (url, shown) in [
            ("redis://localhost:6379/0", "redis://localhost:6379/0"),
            ("redis://:secret@localhost/1", "redis://:**@localhost/1"),
            ("redis://user:se@cret@localhost", "redis://user:**@localhost"),
        ] {
            let backend = RedisBackend::new(&SecretString::from(url)).unwrap();

            assert_eq!(backend.as_uri(), shown);
        }
        for url in ["http://x", "redis:", "rediss://cache/nine"] {
            let error = RedisBackend::new(&SecretString::from(url)).unwrap_err();
            assert!(matches!(error, RedisUrlError::NotARedisUrl), "{url}: {error}");
        }
    }

    #[test]
    fn keys_are_pythons() {
        let backend = RedisBackend::new(&SecretString::from("redis://localhost")).unwrap();

        assert_eq!(backend.task_key("1"), "celery-task-meta-1");
        assert_eq!(backend.group_key("2", ".j"), "celery-taskset-meta-2.j");
        let backend = backend.with_prefix("mine");
        assert_eq!(backend.task_key("1"), "mine_celery-task-meta-1");
        assert_eq!(backend.with_prefix("mine:").task_key("1"), "mine:celery-task-meta-1");
    }
}
