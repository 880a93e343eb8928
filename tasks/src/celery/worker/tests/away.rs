//! A task runs and ends while the result backend is away: nothing that follows it is sent again and again.

use super::*;
use crate::celery::registry::{Call, TaskOptions};
use crate::celery::results::{ResultError, ResultTree, TaskResult};

/// A backend that answers from an instant on.
struct Shelf {
    world: Arc<World>,
    there: Instant,
}

#[async_trait]
impl ResultBackend for Shelf {
    async fn store(&self, result: &TaskResult) -> Result<(), ResultError> {
        if Instant::now() < self.there {
            return Err(ResultError::Away("no answer".to_owned()));
        }
        self.world.note(&format!("store {}", result.state));
        Ok(())
    }

    async fn load(&self, task_ids: &[String]) -> Result<Vec<Option<TaskResult>>, ResultError> {
        Ok(vec![None; task_ids.len()])
    }

    async fn save_group(&self, _group: &ResultTree) -> Result<(), ResultError> {
        Ok(())
    }

    async fn load_group(&self, _group_id: &str) -> Result<Option<ResultTree>, ResultError> {
        Ok(None)
    }

    fn as_uri(&self) -> String {
        "shelf://".to_owned()
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// A worker whose backend is away for a minute, with one task, `t`.
fn worker<F, R>(world: &Arc<World>, options: TaskOptions, run: F) -> Worker<World>
where
    F: Fn(Call<World>) -> R + Send + Sync + 'static,
    R: Future<Output = Result<Value, TaskError>> + Send + 'static,
{
    let registry = Registry::new(world.clone()).function("t", options, run);
    let shelf = Shelf {
        world: world.clone(),
        there: Instant::now() + MINUTE,
    };
    let worker = Worker::new(registry, world.clone(), world.clone()).with_clock(noon);
    worker.with_results(Arc::new(shelf))
}

/// `t`, with a callback.
fn delivery() -> Delivery {
    let mut message = Signature::new("t").id("the-id").queue("q").into_message();
    message.body = br#"[[],{},{"callbacks":[{"task":"next","options":{"queue":"q"}}]}]"#.to_vec();
    Delivery {
        queue: "q".to_owned(),
        message,
        redelivered: false,
    }
}

fn early() -> TaskOptions {
    TaskOptions {
        acks_late: false,
        track_started: true,
        ..TaskOptions::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_away_is_waited_for_and_a_callback_is_sent_once() {
    for options in [TaskOptions::default(), early()] {
        let world = Arc::new(World::default());
        let worker = worker(&world, options, |_| async { Ok(json!(1)) });
        let receipt = Receipt::new(CancellationToken::new(), || ());

        assert_eq!(worker.handle_with(&delivery(), &receipt).await, Verdict::Ack);

        assert_eq!(happened(&world), ["sent next", "store SUCCESS"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_stops_gives_back_what_it_cannot_store_and_keeps_what_cannot_come_again() {
    let world = Arc::new(World::default());
    for (options, verdict, after) in [
        (TaskOptions::default(), Verdict::Wait, MINUTE / 2),
        (early(), Verdict::Ack, MINUTE),
    ] {
        let began = Instant::now();
        let worker = worker(&world, options, |_| async { Ok(json!(1)) });
        let stop = CancellationToken::new();
        let receipt = Receipt::new(stop.clone(), || ());

        let stopping = async {
            tokio::time::sleep(MINUTE / 2).await;
            stop.cancel();
        };
        let delivery = delivery();
        let (settled, ()) = tokio::join!(worker.handle_with(&delivery, &receipt), stopping);

        assert_eq!(settled, verdict);
        let late = began.elapsed().checked_sub(after);
        assert!(late.is_some_and(|late| late < Duration::from_secs(6)), "{late:?}");
    }
    assert_eq!(happened(&world), ["sent next", "sent next", "store SUCCESS"]);
}

#[tokio::test]
async fn a_retry_that_nobody_can_be_told_of_is_parked_once_and_never_told_late() {
    let world = Arc::new(World::default());
    let worker = worker(&world, TaskOptions::default(), |_| async {
        Err(TaskError::retry(Duration::ZERO, "again"))
    });

    assert_eq!(worker.handle(&delivery()).await, Verdict::Ack);

    assert_eq!(happened(&world), ["park"]);
}

#[tokio::test(start_paused = true)]
async fn how_far_a_task_is_keeps_it_from_nothing() {
    let world = Arc::new(World::default());
    let worker = worker(&world, early(), |call: Call<World>| async move {
        call.scope.send(Signature::new("child").queue("q")).await?;
        call.scope.update_state("PROGRESS", json!({"done": 1})).await?;
        Ok(Value::Null)
    });

    assert_eq!(worker.handle(&delivery()).await, Verdict::Ack);

    assert_eq!(happened(&world), ["sent child", "sent next", "store SUCCESS"]);
}
