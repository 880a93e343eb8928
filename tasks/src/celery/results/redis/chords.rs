//! Chords counted in Redis, under the keys of Celery 5.7.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tracing::warn;
use uuid::Uuid;

use super::{RedisBackend, scripts, shape};
use crate::celery::results::{
    ChordClaim, ChordCounter, ChordPart, ChordProgress, ChordRun, ChordStart, ResultError, State, read_json,
};

/// How long a worker that has died keeps others from publishing the body.
const CLAIM: Duration = Duration::from_secs(10);
/// How long it may take to publish.
const PUBLISHING: Duration = Duration::from_secs(60);
/// How long a chord that is done is remembered, for parts that come twice.
const DONE: Duration = Duration::from_secs(300);

#[async_trait]
impl ChordCounter for RedisBackend {
    async fn begin(&self, start: &ChordStart) -> Result<bool, ResultError> {
        let key = |part| self.group_key(&start.group_id, part);
        let run = match start.run {
            ChordRun::New => "new",
            ChordRun::Once => "once",
        };
        let mut command = scripts::BEGIN.call(&[key(".s"), key(".c"), key("")]);
        command.arg(start.size).arg(self.expires.as_secs()).arg(run);
        command.arg(start.shape.as_ref().map_or_else(String::new, shape));
        self.ask(&command).await
    }

    async fn part(&self, part: &ChordPart) -> Result<ChordProgress, ResultError> {
        let key = |name| self.group_key(&part.group_id, name);
        let token = Uuid::new_v4().simple().to_string();
        let score = part
            .group_index
            .map_or_else(|| "+inf".to_owned(), |index| index.to_string());
        let member = json!([1, part.task_id, part.state.as_str(), part.result]).to_string();
        let mut command = scripts::PART.call(&[key(".j"), key(".t"), key(".s"), key(".d"), key(".c"), key("")]);
        command.arg(&part.task_id).arg(member).arg(score);
        command.arg(self.expires.as_secs()).arg(CLAIM.as_secs()).arg(&token);
        let answer: String = self.ask(&command).await?;
        match answer.as_str() {
            "complete" => {
                let claim = ChordClaim::new(&part.group_id, token);
                Ok(ChordProgress::Complete(claim, self.parts(&part.group_id).await?))
            }
            "claimed" => Ok(ChordProgress::Claimed),
            "done" => Ok(ChordProgress::Done),
            _ => Ok(ChordProgress::Waiting),
        }
    }

    async fn keep(&self, claim: &ChordClaim) -> Result<bool, ResultError> {
        let key = |name| self.group_key(&claim.group_id, name);
        let mut command = scripts::KEEP.call(&[key(".c"), key(".s")]);
        command.arg(claim.token()).arg(PUBLISHING.as_secs());
        self.ask(&command).await
    }

    async fn finish(&self, claim: &ChordClaim) -> Result<(), ResultError> {
        let key = |name| self.group_key(&claim.group_id, name);
        let mut command = scripts::FINISH.call(&[key(".c"), key(".j"), key(".t"), key(".s"), key(".d")]);
        command.arg(claim.token()).arg(DONE.as_secs());
        let cleaned: bool = self.ask(&command).await?;
        if !cleaned {
            warn!(group.id = %claim.group_id, "chord {}: the claim had lapsed before its parts were cleaned up", claim.group_id);
        }
        Ok(())
    }

    async fn abandon(&self, group_id: &str) -> Result<(), ResultError> {
        let mut command = redis::cmd("DEL");
        command.arg(self.group_key(group_id, ".s"));
        self.ask(&command).await
    }
}

impl RedisBackend {
    /// All parts, in the header's order.
    async fn parts(&self, group_id: &str) -> Result<Vec<ChordPart>, ResultError> {
        let mut command = redis::cmd("ZRANGE");
        command.arg(self.group_key(group_id, ".j")).arg(0).arg(-1);
        let members: Vec<Vec<u8>> = self.ask(&command).await?;
        members.iter().map(|member| read(group_id, member)).collect()
    }
}

/// `[1, task id, state, result]`, written by us or by Python.
fn read(group_id: &str, member: &[u8]) -> Result<ChordPart, ResultError> {
    let value = read_json("a chord's part", member)?;
    let part = || {
        let [_, task_id, state, result] = value.as_array()?.as_slice() else {
            return None;
        };
        Some(ChordPart {
            group_id: group_id.to_owned(),
            group_index: None,
            task_id: task_id.as_str()?.to_owned(),
            state: State::from(state.as_str()?),
            result: result.clone(),
        })
    };
    part().ok_or_else(|| ResultError::Refused("a chord's part of another form".to_owned()))
}
