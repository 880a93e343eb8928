//! The database under the commands: fresh, shared, foreign, altered, away.

use serde_json::json;
use sqlx::{AssertSqlSafe, Executor as _, SqlitePool};

use super::{embedded, payment, status};
use crate::support::{Place, eventually};

/// Nobody listens on the discard port.
const AWAY: &str = "postgres://waybill@127.0.0.1:9/waybill";
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Goes around the program.
async fn alter(place: &Place, sql: &str) {
    let pool = SqlitePool::connect(&format!("sqlite://{}", place.path("waybill.db").display()))
        .await
        .expect("the file opens");
    pool.execute(AssertSqlSafe(sql.to_owned()))
        .await
        .expect("the statement is taken");
    pool.close().await;
}

#[test]
fn a_fresh_file_is_made_and_everything_in_it_is_zero() {
    let place = embedded();

    let found = status(&place);

    assert_eq!((&found["orders"], &found["states"]), (&json!(0), &json!([])));
    assert_eq!(found["open_cases"], json!({"count": 0, "kinds": {}, "oldest": null}));
    assert_eq!(found["effects"], json!({"due": 0, "lag_seconds": 0.0, "waiting": {}}));
    assert_eq!((&found["callbacks"], &found["queues"]), (&json!({}), &json!({})));
    assert_eq!((&found["dead_messages"], &found["processes"]), (&json!(0), &json!([])));
    assert!(place.run(&["status"]).good().contains("delivery orders  none yet"));
    assert_eq!(
        place.run(&["audit", "verify"]).good(),
        "good: 0 orders, 0 log rows, 0 effects; everything holds\n"
    );
}

#[test]
fn migrating_names_the_key_that_it_made_and_may_be_repeated() {
    let place = embedded();

    let first = place.run(&["migrate"]).good();
    let second = place.run(&["migrate"]).good();

    assert!(first.contains("made the key file waybill.db.data-key"), "{first}");
    assert!(second.starts_with("the database is up to date (SQLite "), "{second}");
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let place = embedded();
    place.run(&["migrate"]).good();
    alter(
        &place,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (99, 'from the future', 1, x'00', 0)",
    )
    .await;

    for command in [&["status"][..], &["all"], &["migrate"], &["dead", "list"]] {
        let line = place.run(command).refused_at_its_end();
        assert!(
            line.ends_with(&format!(
                "has migration 99, this binary knows only {}: start a newer binary",
                migrations()
            )),
            "{command:?} {line}"
        );
    }
}

impl crate::support::Ran {
    /// The last line of a process that has introduced itself before.
    pub(super) fn refused_at_its_end(self) -> String {
        assert_eq!(self.code, 2, "{self:?}");
        self.err.lines().last().unwrap_or_default().to_owned()
    }
}

#[test]
fn a_file_has_one_process_and_any_number_of_lookers() {
    let place = embedded();
    let owner = place.start(&["all"]);

    let line = place.run(&["all"]).refused_at_its_end();
    let looker = status(&place);

    assert_eq!(
        line,
        "waybill: waybill.db belongs to another waybill process: stop that one, or set WAYBILL_DATABASE_URL to another file"
    );
    assert_eq!(looker["orders"], 0);
    owner.stop();
    place.start(&["all"]).stop();
}

#[test]
fn a_file_without_its_key_is_not_opened() {
    let place = embedded();
    place.run(&["migrate"]).good();
    std::fs::remove_file(place.path("waybill.db.data-key")).unwrap();

    let line = place.run(&["status"]).refused(2);

    assert!(
        line.contains("the key that waybill.db was written with, as waybill.db.data-key is missing"),
        "{line}"
    );
}

#[test]
fn a_database_that_is_away_is_told_from_a_wrong_setting() {
    let away = || {
        Place::new()
            .set("WAYBILL_DATABASE_URL", AWAY)
            .set("WAYBILL_DATA_KEY", KEY)
    };

    for command in [&["status"][..], &["migrate"], &["audit", "verify"]] {
        let line = away().run(command).refused(69);
        assert!(
            line.starts_with("the database (WAYBILL_DATABASE_URL) is not reachable: "),
            "{command:?}: {line}"
        );
    }
}

#[tokio::test]
async fn a_database_is_used_once_it_is_migrated() {
    let url = std::env::var("WAYBILL_TEST_POSTGRES_URL")
        .expect("WAYBILL_TEST_POSTGRES_URL: run `make test`, which starts the services");
    let name = format!("waybill_{}", uuid::Uuid::new_v4().simple());
    let admin = sqlx::PgPool::connect(&url).await.unwrap();
    admin
        .execute(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .await
        .unwrap();
    admin.close().await;
    let mut url: url::Url = url.parse().unwrap();
    url.set_path(&name);
    let place = Place::new()
        .set("WAYBILL_DATABASE_URL", url.as_str())
        .set("WAYBILL_DATA_KEY", KEY);

    let before = place.run(&["status"]).refused(2);
    place.run(&["migrate"]).good();
    let after = status(&place);

    assert_eq!(
        before,
        format!(
            "the database has migration 0 and this binary needs {}: run `waybill migrate`",
            migrations()
        )
    );
    assert_eq!(after["orders"], 0);
}

#[tokio::test]
async fn the_audit_names_what_was_altered() {
    let place = embedded();
    place.write("payment.json", &payment("ord-1").to_string());
    place.run(&["send", "payment.json"]).good();
    let process = place.start(&["all"]);
    eventually("an order", || (status(&place)["orders"] == 1).then_some(()));
    process.stop();
    place.run(&["audit", "verify", "--quiet"]).good();

    alter(
        &place,
        "UPDATE transitions SET event_key = 'another' WHERE sequence = 1",
    )
    .await;

    let ran = place.run(&["audit", "verify"]);
    let json = place.run(&["audit", "verify", "--json"]);
    assert_eq!((ran.code, json.code), (1, 1), "{ran:?}");
    assert!(
        ran.out.starts_with("bad: 1 orders, ") && ran.out.contains("the hash chain is broken"),
        "{}",
        ran.out
    );
    let verdict: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(
        (&verdict["verdict"], &verdict["audit"]["findings"][0]["invariant"]),
        (&json!("bad"), &json!("I1"))
    );
    let quiet = place.run(&["audit", "verify", "--quiet"]);
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (1, "", ""));
}

/// How many there are, on both databases alike.
fn migrations() -> usize {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    std::fs::read_dir(folder).expect("the migrations").count()
}
