//! What each setting takes, and the one line that refuses anything else.

mod partners_file;
mod refusals;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::store::DataKey;

const DATA_KEY: &str = "0001020304050607080910111213141516171819202122232425262728293031";
const JWT_KEY: &str = "a development secret of 40 characters...";

fn variables(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    pairs.into_iter()
}

fn load(folder: &Path, role: Role, pairs: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    Settings::load_in(folder, variables(pairs), role)
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A folder with a `.env` file.
fn folder_with_dotenv(text: &str) -> TempDir {
    let folder = folder();
    std::fs::write(folder.path().join(".env"), text).unwrap();
    folder
}

fn described<'a>(settings: &'a Settings, name: &str) -> (&'a str, Source) {
    let found = settings
        .describe()
        .iter()
        .find(|described| described.name == name)
        .unwrap();
    (&found.value, found.source)
}

fn real_services(folder: &Path) -> Vec<(&'static str, String)> {
    partners_file::write(folder);
    vec![
        (
            "WAYBILL_DATABASE_URL",
            "postgres://waybill:hunter2@db:5432/waybill?sslmode=verify-full".to_owned(),
        ),
        (
            "WAYBILL_BROKER_URL",
            "amqps://waybill:hunter2@mq/prod?heartbeat=10".to_owned(),
        ),
        ("WAYBILL_PARTNERS", "partners.yaml".to_owned()),
        ("WAYBILL_DATA_KEY", DATA_KEY.to_owned()),
        ("WAYBILL_JWT_KEY", JWT_KEY.to_owned()),
    ]
}

#[test]
fn one_machine_needs_no_settings_at_all() {
    let folder = folder();

    let settings = load(folder.path(), Role::All, &[]).unwrap();

    assert!(matches!(&settings.database, Database::Sqlite(path) if *path == folder.path().join("waybill.db")));
    assert!(matches!(settings.broker, Broker::Local));
    assert!(matches!(settings.partners, Some(Partners::Simulator)));
    assert_eq!(settings.http.addr.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.queues.tasks, "waybill");
    assert_eq!(
        (&*settings.queues.oms.task, &*settings.queues.oms.queue),
        ("oms.delivery_update", "oms")
    );
    assert_eq!(
        (&*settings.queues.notices.task, &*settings.queues.notices.queue),
        ("notifications.send", "notifications")
    );
    assert_eq!((&*settings.log.filter, settings.log.format), ("info", LogFormat::Text));
    assert!(settings.graph.is_none() && settings.results.is_none() && settings.read_database.is_none());
    assert!(
        settings
            .describe()
            .iter()
            .all(|described| described.source == Source::Default)
    );
}

#[test]
fn the_keys_of_one_machine_are_made_once_for_their_owner_only() {
    let folder = folder();

    let first = load(folder.path(), Role::All, &[]).unwrap();
    let second = load(folder.path(), Role::All, &[]).unwrap();

    let made: Vec<_> = first
        .made
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(made, ["waybill.db.jwt-key", "waybill.db.data-key"]);
    assert!(second.made.is_empty());
    for path in &first.made {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "no draft is left behind"
    );
    let key = |settings: &Settings| *settings.data_keys.as_ref().unwrap().0[0].key.expose_secret();
    assert_eq!(key(&first), key(&second));
    assert_ne!(key(&first), [0; 32]);
    let token = |settings: &Settings| match &settings.tokens.as_ref().unwrap().key {
        TokenKey::Shared(secret) => secret.expose_secret().to_owned(),
        key => panic!("{key:?}"),
    };
    assert_eq!(token(&first), token(&second));
    let elsewhere = tempfile::tempdir().unwrap();
    assert_ne!(token(&first), token(&load(elsewhere.path(), Role::All, &[]).unwrap()));
}

#[test]
fn of_many_starts_at_once_one_makes_the_keys() {
    let folder = folder();
    let start = || load(folder.path(), Role::All, &[]).unwrap();

    let settings: Vec<Settings> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });

    let keys: std::collections::HashSet<_> = settings
        .iter()
        .map(|settings| *settings.data_keys.as_ref().unwrap().0[0].key.expose_secret())
        .collect();
    assert_eq!(keys.len(), 1);
    assert_eq!(settings.iter().map(|settings| settings.made.len()).sum::<usize>(), 2);
}

#[test]
fn a_database_whose_key_is_gone_gets_no_new_one() {
    let folder = folder();
    std::fs::write(folder.path().join("waybill.db"), "written with a key").unwrap();

    let refusal = load(folder.path(), Role::All, &[]).unwrap_err().to_string();

    let path = folder.path().display();
    assert_eq!(
        refusal,
        format!(
            "WAYBILL_DATA_KEY: nothing given, expected the key that {path}/waybill.db was written with, \
             as {path}/waybill.db.data-key is missing"
        )
    );
}

#[test]
fn showing_settings_makes_nothing_and_demands_nothing() {
    let folder = folder();

    let embedded = load(folder.path(), Role::Show, &[]).unwrap();
    load(folder.path(), Role::Show, &[("WAYBILL_DATABASE_URL", "postgres://h/d")]).unwrap();

    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let file = folder.path().join("waybill.db.data-key");
    assert_eq!(
        described(&embedded, "WAYBILL_DATA_KEY").0,
        format!("in {}, made at the first start", file.display())
    );
}

#[test]
fn migrating_makes_no_file_without_its_key() {
    let folder = folder();

    let settings = load(folder.path(), Role::Migrate, &[]).unwrap();

    assert_eq!(settings.made, [folder.path().join("waybill.db.data-key")]);
    assert!(settings.partners.is_none() && settings.tokens.is_none());
}

#[test]
fn real_services_are_taken_by_every_role() {
    let folder = folder();
    let given = real_services(folder.path());
    let given: Vec<_> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();

    for role in [
        Role::Serve,
        Role::Work,
        Role::All,
        Role::Beat,
        Role::Migrate,
        Role::Operator,
        Role::Token,
        Role::Show,
    ] {
        let settings = load(folder.path(), role, &given).unwrap();

        assert!(matches!(settings.database, Database::Postgres(_)), "{role:?}");
        assert!(settings.made.is_empty(), "{role:?}");
    }
}

#[test]
fn a_role_is_asked_only_for_what_it_uses() {
    let folder = folder();
    let postgres = ("WAYBILL_DATABASE_URL", "postgres://h/d");
    let amqp = ("WAYBILL_BROKER_URL", "amqp://h");

    assert!(load(folder.path(), Role::Migrate, &[postgres]).is_ok());
    assert!(load(folder.path(), Role::Beat, &[amqp]).is_ok());
    assert!(load(folder.path(), Role::Token, &[postgres, ("WAYBILL_JWT_KEY", JWT_KEY)]).is_ok());
    assert!(
        load(
            folder.path(),
            Role::Migrate,
            &[postgres, ("WAYBILL_PARTNERS", "not/mounted/here")]
        )
        .is_ok()
    );
}

#[test]
fn secrets_are_shown_nowhere() {
    let folder = folder();
    let mut given = real_services(folder.path());
    given.push((
        "WAYBILL_READ_DATABASE_URL",
        "postgres://u@replica/d?password=hunter2&sslmode=require".to_owned(),
    ));
    given.push(("WAYBILL_RESULT_BACKEND", "redis://:hunter2@cache:6379/1".to_owned()));
    let given: Vec<_> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();

    let settings = load(folder.path(), Role::All, &given).unwrap();

    let shown = serde_json::to_string(settings.describe()).unwrap() + &format!("{settings:?}");
    for secret in ["hunter2", DATA_KEY, JWT_KEY, "C2FVsBQIhrscChlQIMV"] {
        assert!(!shown.contains(secret), "{secret} is in {shown}");
    }
    for (name, value) in [
        (
            "WAYBILL_DATABASE_URL",
            "postgres://waybill:***@db:5432/waybill?sslmode=verify-full",
        ),
        (
            "WAYBILL_READ_DATABASE_URL",
            "postgres://u@replica/d?password=***&sslmode=require",
        ),
        ("WAYBILL_BROKER_URL", "amqps://waybill:***@mq/prod?heartbeat=10"),
        ("WAYBILL_RESULT_BACKEND", "redis://:***@cache:6379/1"),
        ("WAYBILL_JWT_KEY", "*** (shared secret)"),
    ] {
        assert_eq!(described(&settings, name), (value, Source::Environment));
    }
}

#[test]
fn every_setting_is_described_once_in_the_order_of_the_list() {
    let folder = folder();

    let settings = load(folder.path(), Role::All, &[]).unwrap();

    let shown: Vec<_> = settings.describe().iter().map(|described| described.name).collect();
    let listed: Vec<_> = names::SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(shown, listed);
}

#[test]
fn the_environment_wins_over_the_dotenv_file() {
    let folder =
        folder_with_dotenv("WAYBILL_LOG=debug\nWAYBILL_QUEUE=mine\nHOME=/elsewhere\nWAYBILL_DATA_KEY_FILE=nowhere\n");

    let given = [
        ("WAYBILL_LOG", "warn"),
        ("WAYBILL_DATA_KEY", DATA_KEY),
        ("PATH", "/bin"),
        ("WAYBILL_TEST_X", "y"),
    ];
    let settings = load(folder.path(), Role::All, &given).unwrap();

    assert_eq!(described(&settings, "WAYBILL_LOG"), ("warn", Source::Environment));
    assert_eq!(described(&settings, "WAYBILL_QUEUE"), ("mine", Source::File));
    assert_eq!(settings.data_keys.unwrap().0[0].key.expose_secret()[31], 0x31);
}

#[test]
fn a_secret_can_come_from_a_file() {
    let folder = folder();
    std::fs::write(folder.path().join("key"), format!("{DATA_KEY}\n")).unwrap();

    let settings = load(folder.path(), Role::All, &[("WAYBILL_DATA_KEY_FILE", "key")]).unwrap();

    assert_eq!(settings.data_keys.as_ref().unwrap().0[0].key.expose_secret()[31], 0x31);
    assert_eq!(described(&settings, "WAYBILL_DATA_KEY").1, Source::File);
}

#[test]
fn data_keys_rotate_by_putting_the_new_one_first() {
    let folder = folder();
    let keys = |text: &str| {
        load(folder.path(), Role::All, &[("WAYBILL_DATA_KEY", text)])
            .unwrap()
            .data_keys
            .unwrap()
            .0
    };
    let ids = |keys: Vec<DataKey>| keys.into_iter().map(|key| key.id).collect::<Vec<_>>();
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    assert_eq!(ids(keys(&format!("k2:{base64}, k1:{DATA_KEY}"))), ["k2", "k1"]);
    let alone = ids(keys(DATA_KEY));
    let rotated = ids(keys(&format!("{base64},{DATA_KEY}")));
    assert_eq!(rotated[1], alone[0], "an id stays with its key");
    assert_eq!(
        keys(base64)[0].key.expose_secret(),
        keys(base64.trim_end_matches('='))[0].key.expose_secret()
    );
}

#[test]
fn others_are_told_the_address_that_was_bound_unless_a_url_is_set() {
    let folder = folder();
    let url = |pairs: &[(&str, &str)], bound: &str| {
        load(folder.path(), Role::All, pairs)
            .unwrap()
            .http
            .public_url(bound.parse().unwrap())
    };

    assert_eq!(
        url(&[("WAYBILL_HTTP_ADDR", "127.0.0.1:0")], "127.0.0.1:4711"),
        "http://127.0.0.1:4711"
    );
    assert_eq!(
        url(&[("WAYBILL_HTTP_ADDR", "0.0.0.0:80")], "0.0.0.0:80"),
        "http://127.0.0.1:80"
    );
    assert_eq!(url(&[("WAYBILL_HTTP_ADDR", "[::1]:80")], "[::1]:80"), "http://[::1]:80");
    assert_eq!(
        url(&[("WAYBILL_PUBLIC_URL", "https://w.example/")], "127.0.0.1:80"),
        "https://w.example"
    );
    assert_eq!(
        url(&[("WAYBILL_PUBLIC_URL", "https://w.example/base/")], "127.0.0.1:80"),
        "https://w.example/base"
    );
}

#[test]
fn tokens_are_checked_with_what_was_set() {
    let folder = folder();
    let pem = r"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----";

    let tokens = |pairs: &[(&str, &str)]| load(folder.path(), Role::Serve, pairs).unwrap().tokens.unwrap();
    partners_file::write(folder.path());
    let serve = [
        ("WAYBILL_BROKER_URL", "amqp://h"),
        ("WAYBILL_PARTNERS", "partners.yaml"),
    ];

    let with_pem = tokens(&[&serve[..], &[("WAYBILL_JWT_KEY", pem)]].concat());
    assert!(matches!(with_pem.key, TokenKey::PublicPem(pem) if pem.expose_secret().lines().count() == 3));
    let jwks = "https://id.example/keys";
    let issuer = [
        ("WAYBILL_JWT_JWKS_URL", jwks),
        ("WAYBILL_JWT_ISSUER", "me"),
        ("WAYBILL_JWT_AUDIENCE", "you"),
    ];
    let with_jwks = tokens(&[&serve[..], &issuer].concat());
    assert!(matches!(with_jwks.key, TokenKey::Jwks(url) if url == jwks));
    assert_eq!((&*with_jwks.issuer, &*with_jwks.audience), ("me", "you"));
}
