#[path = "../../../tasks/tests/support/crossing.rs"]
mod crossing;
#[path = "../../../tasks/tests/support/half.rs"]
mod half;

use std::sync::Arc;

use serde_json::json;
use sqlx::Executor as _;
use uuid::Uuid;
use waybill_tasks::celery::results::Exception;

use super::*;

/// Celery's tables in a database of their own.
async fn results(query: &str) -> (CeleryResults, PgPool) {
    let url = std::env::var("WAYBILL_TEST_POSTGRES_URL").expect("run `make test`, which starts the services");
    let name = format!("celery_{}", Uuid::new_v4().simple());
    let admin = PgPool::connect(&url).await.unwrap();
    admin
        .execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await
        .unwrap();
    admin.close().await;
    let options = PgConnectOptions::from_str(&url).unwrap().database(&name);
    let mut url = Url::parse(&url).unwrap();
    url.set_path(&name);
    url.set_query(Some(query).filter(|query| !query.is_empty()));
    let results = CeleryResults::open(&SecretString::from(url.to_string())).unwrap();
    (results, PgPool::connect_lazy_with(options))
}

fn success(id: &str, value: Value) -> TaskResult {
    let mut result = TaskResult::new(id, State::Success, value, Utc::now());
    result.date_done = result
        .date_done
        .and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()));
    result.with_children(vec![ResultTree::task("child").to_value()])
}

async fn one(results: &CeleryResults, id: &str) -> Option<TaskResult> {
    results.load(&[id.to_owned()]).await.unwrap().remove(0)
}

#[tokio::test]
async fn what_was_stored_is_loaded_in_the_order_asked_for() {
    for query in ["", "result_encoding=pickle"] {
        let (results, _) = results(query).await;
        let first = success("1", json!({"a": [1, 2.5, null, "ü"]}));
        let failed = TaskResult::raised(
            "2",
            State::Failure,
            &Exception::builtin("ValueError", "boom"),
            Utc::now(),
        );

        results.store(&first).await.unwrap();
        results.store(&failed).await.unwrap();

        let ids = ["2", "none", "1"].map(str::to_owned);
        let loaded = results.load(&ids).await.unwrap();
        assert_eq!(
            loaded[0].as_ref().unwrap().exception().unwrap().repr(),
            "ValueError('boom')"
        );
        assert_eq!(
            loaded[0].as_ref().unwrap().traceback.as_deref(),
            Some("ValueError: boom\n")
        );
        assert_eq!(loaded[1], None);
        assert_eq!(loaded[2], Some(first));
    }
}

#[tokio::test]
async fn a_success_stays_and_everything_else_is_written_over() {
    let (results, _) = results("").await;
    let started = TaskResult::new("1", State::Started, json!({"pid": 1}), Utc::now());
    results.store(&started).await.unwrap();
    assert_eq!(one(&results, "1").await.unwrap().date_done, None);

    results.store(&success("1", json!(1))).await.unwrap();
    results.store(&success("1", json!(2))).await.unwrap();
    results.store(&started).await.unwrap();

    assert_eq!(
        one(&results, "1").await,
        Some(TaskResult {
            result: json!(1),
            ..one(&results, "1").await.unwrap()
        })
    );
    assert_eq!(one(&results, "1").await.unwrap().state, State::Success);
}

#[tokio::test]
async fn older_tables_get_the_columns_they_lack_and_older_rows_are_read() {
    let (results, pool) = results("").await;
    for statement in [
        "CREATE SEQUENCE task_id_sequence",
        "CREATE TABLE celery_taskmeta (id INTEGER PRIMARY KEY, task_id VARCHAR(155) UNIQUE, status VARCHAR(50), result BYTEA,
         date_done TIMESTAMP, traceback TEXT)",
        // {"a": (1, [2])}, protocol 4, as Celery 5.6 writes it; then NULL, as a producer's own SQL may leave it.
        r"INSERT INTO celery_taskmeta VALUES (nextval('task_id_sequence'), 'old', 'SUCCESS', '\x80049511000000000000007d948c0161944b015d944b02618694732e')",
        "INSERT INTO celery_taskmeta VALUES (nextval('task_id_sequence'), 'bare', 'SUCCESS', NULL)",
    ] {
        pool.execute(statement).await.unwrap();
    }

    assert_eq!(one(&results, "old").await.unwrap().result, json!({"a": [1, [2]]}));
    assert_eq!(one(&results, "bare").await.unwrap().result, Value::Null);
    results.store(&success("new", json!(1))).await.unwrap();
    assert_eq!(one(&results, "new").await.unwrap().children.len(), 1);
}

#[tokio::test]
async fn workers_that_start_together_make_the_tables_once() {
    let (first, pool) = results("").await;
    let others: Vec<_> = (0..4).map(|_| make_tables(&pool)).collect();

    let made = futures_util::future::join_all(others).await;

    assert!(made.iter().all(Result::is_ok), "{made:?}");
    first.store(&success("1", json!(1))).await.unwrap();
}

#[tokio::test]
async fn a_group_keeps_its_shape() {
    for query in ["", "result_encoding=pickle"] {
        let (results, _) = results(query).await;
        let shape = ResultTree::group("g", vec![ResultTree::task("1"), ResultTree::group("h", vec![])]);

        results.save_group(&shape).await.unwrap();
        results.save_group(&shape).await.unwrap();

        assert_eq!(results.load_group("g").await.unwrap(), Some(shape));
        assert_eq!(results.load_group("other").await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_has_expired_is_deleted() {
    let (results, _) = results("").await;
    let old = TaskResult {
        date_done: Some(Utc::now() - TimeDelta::hours(25)),
        ..success("old", json!(1))
    };
    let fresh = TaskResult {
        date_done: Some(Utc::now() - TimeDelta::hours(23)),
        ..success("fresh", json!(1))
    };
    results.store(&old).await.unwrap();
    results.store(&fresh).await.unwrap();

    assert_eq!(results.forget_expired().await, Ok(1));

    assert_eq!(
        (one(&results, "old").await, one(&results, "fresh").await.is_some()),
        (None, true)
    );
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_who_does_not_answer_is_away() {
    let (results, _) = results("").await;
    let long = success(&"x".repeat(200), json!(1));
    assert!(matches!(results.store(&long).await, Err(ResultError::Refused(_))));
    let away = CeleryResults::open(&SecretString::from("postgresql://nobody@127.0.0.1:1/none")).unwrap();
    assert!(matches!(
        away.store(&success("1", json!(1))).await,
        Err(ResultError::Away(_))
    ));
}

#[tokio::test]
async fn an_end_that_cannot_be_read_is_refused_and_news_on_the_way_to_it_is_not() {
    let (results, pool) = results("").await;
    results.store(&success("1", json!(1))).await.unwrap();
    // A datetime, as Celery before 5.7 pickled it.
    let datetime = r"'\x8004952a000000000000008c086461746574696d65948c086461746574696d65949394430a07ea0b1600000000000094859452942e'";
    for value in ["'[NaN]'", "'1180591620717411303424'", datetime] {
        let set = |state: &str| format!("UPDATE celery_taskmeta SET status = '{state}', result = {value}");
        pool.execute(sqlx::AssertSqlSafe(set("SUCCESS"))).await.unwrap();
        let read = results.load(&["1".to_owned()]).await;
        assert!(matches!(read, Err(ResultError::Refused(_))), "{value}: {read:?}");

        pool.execute(sqlx::AssertSqlSafe(set("PROGRESS"))).await.unwrap();
        let read = one(&results, "1").await.unwrap();
        assert_eq!((read.state, read.result), (State::from("PROGRESS"), Value::Null));
    }
}

#[tokio::test]
async fn a_url_says_how_values_are_written_and_hides_its_password() {
    let open = |url: &str| CeleryResults::open(&SecretString::from(url));

    let results = open("postgresql://me:secret@db/app?sslmode=disable&result_encoding=pickle").unwrap();

    assert_eq!(results.encoding, Encoding::Pickle);
    assert_eq!(results.as_uri(), "db+postgresql://me:**@db/app?sslmode=disable");
    assert_eq!(
        open("postgresql://db/app?result_encoding=yaml").unwrap_err(),
        NotAResultUrl
    );
}

/// For Python, whose driver is named in the URL.
fn theirs(pool: &PgPool) -> String {
    let url = sqlx::ConnectOptions::to_url_lossy(&*pool.connect_options()).to_string();
    let (_, rest) = url.split_once("://").unwrap();
    let (rest, _) = rest.split_once('?').unwrap_or((rest, ""));
    format!("db+postgresql+psycopg://{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn results_are_read_by_python_and_pythons_by_us() {
    for query in ["", "result_encoding=pickle"] {
        let (results, pool) = results(query).await;

        crossing::exchange(&results, &theirs(&pool)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn canvases_cross_between_python_and_us() {
    let broker = std::env::var("WAYBILL_TEST_AMQP_URL").expect("run `make test`, which starts the services");
    let (results, pool) = results("").await;
    let (python, ours) = (format!("theirs-{}", Uuid::new_v4()), format!("ours-{}", Uuid::new_v4()));

    let found = crossing::cross(&broker, &theirs(&pool), Arc::new(results), &python, &ours).await;

    crossing::check(&found);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_tables_are_those_that_python_makes() {
    let ((results, ours), (_, pythons)) = (results("").await, results("").await);

    results.load(&["none".to_owned()]).await.unwrap();
    crossing::told(crossing::python("tables", &theirs(&pythons), &[])).await;

    for what in [
        "SELECT json_agg(c ORDER BY table_name, ordinal_position)::text FROM (SELECT table_name, column_name, data_type,
         character_maximum_length, is_nullable, column_default, ordinal_position FROM information_schema.columns
         WHERE table_schema = 'public') c",
        "SELECT string_agg(indexdef, ';' ORDER BY indexdef) FROM pg_indexes WHERE schemaname = 'public'",
        "SELECT string_agg(sequence_name, ';' ORDER BY sequence_name) FROM information_schema.sequences",
    ] {
        let read = async |pool: &PgPool| sqlx::query_scalar::<_, String>(what).fetch_one(pool).await.unwrap();
        assert_eq!(read(&ours).await, read(&pythons).await);
    }
}
