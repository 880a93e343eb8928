//! A broker and a backend that remember what they were given, and a task's end in between.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::celery::message::Message;
use crate::celery::protocol::Signature;
use crate::celery::results::{ChordClaim, ChordCounter, ChordPart, ChordProgress, ChordStart, State, TaskResult};
use crate::celery::transport::{Delivery, Handler, Health, KeepError, Keeper, Queue, Rejected, Stop};

#[derive(Default)]
pub(super) struct World {
    pub(super) sent: Mutex<Vec<Message>>,
    pub(super) results: Mutex<BTreeMap<String, TaskResult>>,
    pub(super) happened: Mutex<Vec<String>>,
    pub(super) parts: Mutex<Vec<ChordPart>>,
    pub(super) sizes: Mutex<BTreeMap<String, usize>>,
    pub(super) queues: Mutex<Vec<String>>,
    pub(super) broker_away: AtomicBool,
    pub(super) polls: bool,
    /// What the backend answers instead, by the name of what it is asked.
    pub(super) faults: Mutex<BTreeMap<&'static str, ResultError>>,
}

impl World {
    pub(super) fn note(&self, what: String) {
        self.happened.lock().unwrap().push(what);
    }

    pub(super) fn happened(&self) -> Vec<String> {
        std::mem::take(&mut *self.happened.lock().unwrap())
    }

    pub(super) fn fault(&self, asked: &'static str, answer: ResultError) {
        self.faults.lock().unwrap().insert(asked, answer);
    }

    fn asked(&self, what: &str) -> Result<(), ResultError> {
        match self.faults.lock().unwrap().get(what) {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// What was sent since the last time: task, id, arguments.
    pub(super) fn sent(&self) -> Vec<Value> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        let short = |message: Message| {
            let request = Request::decode(&message).unwrap();
            json!([request.task, request.id, request.args])
        };
        sent.into_iter().map(short).collect()
    }

    pub(super) fn requests(&self) -> Vec<Request> {
        let sent = std::mem::take(&mut *self.sent.lock().unwrap());
        sent.iter().map(|message| Request::decode(message).unwrap()).collect()
    }
}

pub(super) fn canvas(world: &Arc<World>) -> Canvas {
    Canvas::new(world.clone(), "celery").with_results(world.clone())
}

/// A request as another worker has sent it.
pub(super) fn request(embed: &Value) -> Request {
    let mut message = Signature::new("tasks.add").id("the-id").into_message();
    message.body = json!([[], {}, embed]).to_string().into_bytes();
    Request::decode(&message).unwrap()
}

/// The first message that a canvas sends, as its worker reads it.
pub(super) async fn first(world: &Arc<World>, sig: Sig) -> Request {
    canvas(world).apply(sig).await.unwrap();
    world.requests().remove(0)
}

#[async_trait]
impl Transport for World {
    async fn publish(&self, message: Message, routing: Routing) -> Result<(), PublishError> {
        if self.broker_away.load(Ordering::SeqCst) {
            return Err(PublishError::Unconfirmed("away".to_owned()));
        }
        if routing == Routing::Optional {
            self.note(format!("rpc to {}", message.routing_key));
            return Ok(());
        }
        if message.routing_key.starts_with("missing") && !self.queues.lock().unwrap().contains(&message.routing_key) {
            let (exchange, routing_key) = (message.exchange, message.routing_key);
            return Err(PublishError::Unroutable { exchange, routing_key });
        }
        let task = message.headers["task"].as_text().unwrap().to_owned();
        self.note(format!("send {task}"));
        self.sent.lock().unwrap().push(message);
        Ok(())
    }

    async fn consume(&self, _queue: Queue, _handler: Arc<dyn Handler>, _stop: Stop) {}

    async fn ensure_queue(&self, name: &str) {
        self.queues.lock().unwrap().push(name.to_owned());
    }

    fn health(&self) -> Health {
        Health::default()
    }
}

#[async_trait]
impl ResultBackend for World {
    async fn store(&self, result: &TaskResult) -> Result<(), ResultError> {
        self.note(format!("store {} {}", result.task_id, result.state));
        self.results
            .lock()
            .unwrap()
            .insert(result.task_id.clone(), result.clone());
        Ok(())
    }

    async fn load(&self, task_ids: &[String]) -> Result<Vec<Option<TaskResult>>, ResultError> {
        self.asked("load")?;
        let results = self.results.lock().unwrap();
        Ok(task_ids.iter().map(|id| results.get(id).cloned()).collect())
    }

    async fn save_group(&self, _group: &ResultTree) -> Result<(), ResultError> {
        Ok(())
    }

    async fn load_group(&self, _group_id: &str) -> Result<Option<ResultTree>, ResultError> {
        self.asked("load_group")?;
        Ok(None)
    }

    fn chords(&self) -> Option<&dyn ChordCounter> {
        (!self.polls).then_some(self)
    }

    fn as_uri(&self) -> String {
        "world://".to_owned()
    }
}

#[async_trait]
impl ChordCounter for World {
    async fn begin(&self, start: &ChordStart) -> Result<bool, ResultError> {
        self.asked("begin")?;
        self.note(format!("begin {} of {}", start.group_id, start.size));
        self.sizes.lock().unwrap().insert(start.group_id.clone(), start.size);
        Ok(true)
    }

    async fn part(&self, part: &ChordPart) -> Result<ChordProgress, ResultError> {
        let mut parts = self.parts.lock().unwrap();
        parts.push(part.clone());
        let mut these: Vec<_> = parts
            .iter()
            .filter(|other| other.group_id == part.group_id)
            .cloned()
            .collect();
        these.sort_by_key(|part| part.group_index);
        let size = self.sizes.lock().unwrap().get(&part.group_id).copied();
        if size != Some(these.len()) {
            return Ok(ChordProgress::Waiting);
        }
        self.asked("parts")?;
        Ok(ChordProgress::Complete(ChordClaim::new(&part.group_id, "token"), these))
    }

    async fn keep(&self, _claim: &ChordClaim) -> Result<bool, ResultError> {
        Ok(true)
    }

    async fn finish(&self, claim: &ChordClaim) -> Result<(), ResultError> {
        self.note(format!("finish {}", claim.group_id));
        self.asked("finish")
    }

    async fn abandon(&self, group_id: &str) -> Result<(), ResultError> {
        self.note(format!("abandon {group_id}"));
        self.asked("abandon")
    }
}

/// A task's end.
pub(super) fn ended(request: &Request, state: State, result: Value) -> TaskResult {
    TaskResult::new(&request.id, state, result, Utc::now()).of(request)
}

#[async_trait]
impl Keeper for World {
    async fn quarantine(&self, rejected: Rejected) -> Result<(), KeepError> {
        self.note(format!("quarantine {}", rejected.reason));
        Ok(())
    }

    async fn park(&self, delivery: &Delivery, _until: chrono::DateTime<Utc>) -> Result<(), KeepError> {
        self.note(format!(
            "park {}",
            delivery.message.headers["retries"].as_text().unwrap_or("again")
        ));
        Ok(())
    }
}
