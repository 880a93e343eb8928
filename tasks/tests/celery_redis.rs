//! Results and chords in a real Redis.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chrono::Utc;
use secrecy::SecretString;
use serde_json::{Value, json};
use uuid::Uuid;
use waybill_tasks::celery::results::redis::RedisBackend;
use waybill_tasks::celery::results::{
    ChordCounter as _, ChordPart, ChordProgress, ChordRun, ChordStart, ResultBackend as _, ResultError, ResultTree,
    State, TaskResult,
};

fn url() -> String {
    std::env::var("WAYBILL_TEST_REDIS_URL").expect("WAYBILL_TEST_REDIS_URL is not set: run `make test`")
}

fn backend() -> RedisBackend {
    RedisBackend::new(&SecretString::from(url())).unwrap()
}

/// A plain client, to look behind.
async fn ask<T: redis::FromRedisValue>(command: &str, arguments: &[&str]) -> T {
    let client = redis::Client::open(url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(command)
        .arg(arguments)
        .query_async(&mut connection)
        .await
        .unwrap()
}

fn id() -> String {
    Uuid::new_v4().to_string()
}

fn result(task_id: &str, state: State, value: Value) -> TaskResult {
    TaskResult::new(task_id, state, value, Utc::now())
}

fn start(group_id: &str, size: usize, run: ChordRun) -> ChordStart {
    ChordStart {
        group_id: group_id.to_owned(),
        size,
        shape: None,
        run,
    }
}

fn part(group_id: &str, index: i64) -> ChordPart {
    ChordPart {
        group_id: group_id.to_owned(),
        group_index: Some(index),
        task_id: format!("task-{index}"),
        state: State::Success,
        result: json!(index * 10),
    }
}

fn values(progress: ChordProgress) -> Vec<Value> {
    match progress {
        ChordProgress::Complete(_, parts) => parts.into_iter().map(|part| part.result).collect(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_success_stays_and_every_result_expires() {
    let (backend, id) = (backend(), id());
    backend
        .store(&result(&id, State::Started, json!({"pid": 1})))
        .await
        .unwrap();
    backend.store(&result(&id, State::Success, json!(1))).await.unwrap();
    backend.store(&result(&id, State::Success, json!(2))).await.unwrap();
    backend
        .store(&result(&id, State::Failure, json!({"exc_type": "E"})))
        .await
        .unwrap();

    let found = backend.load(&[id.clone(), "none".to_owned()]).await.unwrap();

    assert_eq!(found[0].as_ref().unwrap().result, json!(1));
    assert_eq!(found[1], None);
    let seconds: u64 = ask("TTL", &[&format!("celery-task-meta-{id}")]).await;
    assert!((86_000..=86_400).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn what_cannot_be_read_as_a_success_is_written_over() {
    let (backend, id) = (backend(), id());
    let _: () = ask("SET", &[&format!("celery-task-meta-{id}"), "compressed"]).await;
    assert!(matches!(
        backend.load(std::slice::from_ref(&id)).await,
        Err(ResultError::Refused(_))
    ));

    backend
        .store(&result(&id, State::Success, json!("SUCCESS")))
        .await
        .unwrap();

    assert_eq!(
        backend.load(&[id]).await.unwrap()[0].as_ref().unwrap().result,
        json!("SUCCESS")
    );
}

#[tokio::test]
async fn the_last_part_gets_all_in_order_and_a_part_that_comes_twice_counts_once() {
    let (backend, group) = (backend(), id());
    assert!(backend.begin(&start(&group, 3, ChordRun::New)).await.unwrap());

    assert_eq!(backend.part(&part(&group, 2)).await.unwrap(), ChordProgress::Waiting);
    assert_eq!(backend.part(&part(&group, 2)).await.unwrap(), ChordProgress::Waiting);
    assert_eq!(backend.part(&part(&group, 0)).await.unwrap(), ChordProgress::Waiting);
    let last = backend.part(&part(&group, 1)).await.unwrap();

    let ChordProgress::Complete(claim, _) = &last else {
        panic!("{last:?}")
    };
    assert_eq!(backend.part(&part(&group, 1)).await.unwrap(), ChordProgress::Claimed);
    assert!(backend.keep(claim).await.unwrap());
    backend.finish(claim).await.unwrap();
    assert_eq!(backend.part(&part(&group, 0)).await.unwrap(), ChordProgress::Done);
    assert_eq!(values(last), [json!(0), json!(10), json!(20)]);
    let left: Vec<String> = ask("KEYS", &[&format!("celery-taskset-meta-{group}*")]).await;
    assert_eq!(left, [format!("celery-taskset-meta-{group}.c")]);
}

#[tokio::test]
async fn a_chord_that_is_done_starts_again_only_for_a_client() {
    let (backend, group) = (backend(), id());
    backend.begin(&start(&group, 1, ChordRun::Once)).await.unwrap();
    let ChordProgress::Complete(claim, _) = backend.part(&part(&group, 0)).await.unwrap() else {
        panic!()
    };
    backend.finish(&claim).await.unwrap();

    assert!(!backend.begin(&start(&group, 1, ChordRun::Once)).await.unwrap());
    assert!(backend.begin(&start(&group, 1, ChordRun::New)).await.unwrap());

    assert_eq!(values(backend.part(&part(&group, 0)).await.unwrap()), [json!(0)]);
}

#[tokio::test]
async fn a_claim_whose_worker_has_died_is_taken_over() {
    let (backend, group) = (backend(), id());
    backend.begin(&start(&group, 1, ChordRun::Once)).await.unwrap();
    let ChordProgress::Complete(dead, _) = backend.part(&part(&group, 0)).await.unwrap() else {
        panic!()
    };
    // As after its seconds.
    let _: () = ask("DEL", &[&format!("celery-taskset-meta-{group}.c")]).await;

    let ChordProgress::Complete(alive, _) = backend.part(&part(&group, 0)).await.unwrap() else {
        panic!()
    };

    assert!(!backend.keep(&dead).await.unwrap());
    assert!(backend.keep(&alive).await.unwrap());
}

#[tokio::test]
async fn of_many_that_end_together_one_gets_the_body() {
    let (backend, group) = (std::sync::Arc::new(backend()), id());
    backend.begin(&start(&group, 40, ChordRun::Once)).await.unwrap();

    let ending = (0..40).map(|index| {
        let (backend, part) = (backend.clone(), part(&group, index));
        tokio::spawn(async move { backend.part(&part).await.unwrap() })
    });
    let ended = futures_util::future::join_all(ending).await;

    let complete = ended
        .into_iter()
        .filter(|progress| matches!(progress, Ok(ChordProgress::Complete(..))));
    assert_eq!(complete.count(), 1);
}

#[tokio::test]
async fn parts_without_a_size_wait_for_it_and_an_abandoned_chord_stays_so() {
    let (backend, group) = (backend(), id());
    assert_eq!(backend.part(&part(&group, 0)).await.unwrap(), ChordProgress::Waiting);

    let shape = ResultTree::group(&group, vec![ResultTree::group("inner", vec![ResultTree::task("1")])]);
    let begun = ChordStart {
        shape: Some(shape.clone()),
        ..start(&group, 2, ChordRun::Once)
    };
    backend.begin(&begun).await.unwrap();
    assert_eq!(backend.load_group(&group).await.unwrap(), Some(shape));
    assert_eq!(values(backend.part(&part(&group, 1)).await.unwrap()).len(), 2);

    backend.abandon(&group).await.unwrap();
    assert_eq!(backend.part(&part(&group, 1)).await.unwrap(), ChordProgress::Waiting);
}

#[tokio::test]
async fn what_another_worker_wrote_and_we_would_change_is_refused() {
    let backend = backend();
    for (value, why) in [
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        (r#""\ud800""#, "unexpected end of hex escape"),
        ("1180591620717411303424", "a longer one"),
    ] {
        let (task, group) = (id(), id());
        let meta = format!(r#"{{"status": "SUCCESS", "result": [{value}], "task_id": "{task}"}}"#);
        let _: () = ask("SET", &[&format!("celery-task-meta-{task}"), &meta]).await;
        let member = format!(r#"[1, "{task}", "SUCCESS", {value}]"#);
        let _: () = ask("ZADD", &[&format!("celery-taskset-meta-{group}.j"), "0", &member]).await;
        backend.begin(&start(&group, 2, ChordRun::New)).await.unwrap();

        let loaded = backend.load(&[task]).await.map(drop);
        let counted = backend.part(&part(&group, 1)).await.map(drop);

        for read in [loaded, counted] {
            let Err(ResultError::Refused(told)) = read else {
                panic!("{value}: {read:?}")
            };
            assert!(told.contains("that cannot be read: ") && told.contains(why), "{told}");
        }
    }
}

/// A server of its own, which ends with the test.
struct OwnRedis {
    process: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl OwnRedis {
    async fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "3600 1", "--port", &port.to_string()])
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            process,
            url: format!("redis://127.0.0.1:{port}/0"),
            folder,
        }
    }

    async fn ask(&self, command: &[&str]) -> String {
        let client = redis::Client::open(self.url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let asked = redis::cmd(command[0]).arg(&command[1..]).to_owned();
        asked.query_async(&mut connection).await.unwrap()
    }
}

impl Drop for OwnRedis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn a_server_that_takes_no_writes_for_now_is_away() {
    let server = OwnRedis::start().await;
    let backend = RedisBackend::new(&SecretString::from(server.url.clone())).unwrap();
    let stored = async |code: &str| match backend.store(&result("1", State::Success, json!(1))).await {
        Err(ResultError::Away(why)) => assert!(why.contains(code), "{why}"),
        other => panic!("{code}: {other:?}"),
    };

    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "1"]).await;
    stored("NOREPLICAS").await;
    server.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"]).await;

    // No file can be put where a folder is: a disk that takes nothing.
    std::fs::create_dir(server.folder.path().join("dump.rdb")).unwrap();
    server.ask(&["BGSAVE"]).await;
    while !server
        .ask(&["INFO", "persistence"])
        .await
        .contains("rdb_last_bgsave_status:err")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stored("MISCONF").await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_away() {
    let away = RedisBackend::new(&SecretString::from("redis://127.0.0.1:1/0")).unwrap();

    let stored = away.store(&result("1", State::Success, json!(1))).await;

    assert!(matches!(stored, Err(ResultError::Away(_))));
}
