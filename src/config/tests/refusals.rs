use proptest::prelude::*;

use super::*;

const POSTGRES: (&str, &str) = ("WAYBILL_DATABASE_URL", "postgres://h/d");
const AMQP: (&str, &str) = ("WAYBILL_BROKER_URL", "amqp://h");
const KEYS: (&str, &str) = ("WAYBILL_DATA_KEY", DATA_KEY);
const TOKENS: (&str, &str) = ("WAYBILL_JWT_KEY", JWT_KEY);

/// A role, settings that it cannot use, and the line that says so.
type Refusal = (Role, &'static [(&'static str, &'static str)], &'static str);

/// One for each rule.
const REFUSALS: &[Refusal] = &[
    // Names.
    (
        Role::All,
        &[("WAYBILL_DATABSE_URL", "x")],
        "WAYBILL_DATABSE_URL: unknown setting, did you mean WAYBILL_DATABASE_URL?",
    ),
    (
        Role::All,
        &[("WAYBILL_BROKER", "x")],
        "WAYBILL_BROKER: unknown setting, did you mean WAYBILL_BROKER_URL?",
    ),
    (
        Role::All,
        &[("WAYBILL_log", "x")],
        "WAYBILL_log: unknown setting, did you mean WAYBILL_LOG?",
    ),
    (
        Role::All,
        &[("WAYBILL_JWKS_URL", "x")],
        "WAYBILL_JWKS_URL: unknown setting, did you mean WAYBILL_JWT_JWKS_URL?",
    ),
    (
        Role::All,
        &[("WAYBILL_COLOUR", "x")],
        "WAYBILL_COLOUR: unknown setting, `waybill config show` lists all",
    ),
    (
        Role::All,
        &[("WAYBILL_", "x")],
        "WAYBILL_: unknown setting, `waybill config show` lists all",
    ),
    (
        Role::All,
        &[("WAYBILL_A\nB", "x")],
        r"WAYBILL_A\nB: unknown setting, `waybill config show` lists all",
    ),
    (
        Role::All,
        &[("WAYBILL_HTTP_ADDR_FILE", "x")],
        "WAYBILL_HTTP_ADDR_FILE: unknown setting, did you mean WAYBILL_HTTP_ADDR?",
    ),
    (
        Role::Show,
        &[("WAYBILL_QUEU", "x")],
        "WAYBILL_QUEU: unknown setting, did you mean WAYBILL_QUEUE?",
    ),
    // Secrets and their files.
    (
        Role::All,
        &[KEYS, ("WAYBILL_DATA_KEY_FILE", "x")],
        "WAYBILL_DATA_KEY: both WAYBILL_DATA_KEY and WAYBILL_DATA_KEY_FILE given, expected one of them",
    ),
    (
        Role::All,
        &[("WAYBILL_DATA_KEY_FILE", "nowhere")],
        "WAYBILL_DATA_KEY_FILE: \"nowhere\" (No such file or directory (os error 2)) given, expected a file that holds the value",
    ),
    // Database.
    (
        Role::All,
        &[("WAYBILL_DATABASE_URL", "mysql://root:hunter2@h/d")],
        "WAYBILL_DATABASE_URL: mysql://… given, expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        Role::All,
        &[("WAYBILL_DATABASE_URL", "")],
        "WAYBILL_DATABASE_URL: an empty value given, expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        Role::All,
        &[("WAYBILL_DATABASE_URL", "sqlite://:memory:")],
        "WAYBILL_DATABASE_URL: sqlite://… given, expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        Role::All,
        &[("WAYBILL_DATABASE_URL", "postgres:///d")],
        "WAYBILL_DATABASE_URL: postgres://… given, expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        Role::All,
        &[("WAYBILL_DATABASE_URL", "hunter2")],
        "WAYBILL_DATABASE_URL: 7 characters given, expected sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    (
        Role::All,
        &[("WAYBILL_READ_DATABASE_URL", "postgres://h/d")],
        "WAYBILL_READ_DATABASE_URL: postgres://… given, expected none: a SQLite file (WAYBILL_DATABASE_URL) has no replica",
    ),
    (
        Role::All,
        &[POSTGRES, ("WAYBILL_READ_DATABASE_URL", "sqlite://x")],
        "WAYBILL_READ_DATABASE_URL: sqlite://… given, expected postgres://USER:PASSWORD@HOST/DATABASE",
    ),
    // Broker.
    (
        Role::All,
        &[("WAYBILL_BROKER_URL", "redis://:hunter2@h")],
        "WAYBILL_BROKER_URL: redis://… given, expected local:, amqp://USER:PASSWORD@HOST/VHOST or amqps://…",
    ),
    (
        Role::All,
        &[("WAYBILL_BROKER_URL", "amqp://h/a/b")],
        "WAYBILL_BROKER_URL: amqp://… given, expected local:, amqp://USER:PASSWORD@HOST/VHOST or amqps://…",
    ),
    (
        Role::All,
        &[("WAYBILL_BROKER_URL", "local")],
        "WAYBILL_BROKER_URL: 5 characters given, expected local:, amqp://USER:PASSWORD@HOST/VHOST or amqps://…",
    ),
    (
        Role::Serve,
        &[],
        "WAYBILL_BROKER_URL: nothing given, expected amqp://… or amqps://…: local: works only inside `waybill all` and `waybill demo`",
    ),
    (
        Role::Work,
        &[POSTGRES, ("WAYBILL_BROKER_URL", "local:")],
        "WAYBILL_BROKER_URL: local: given, expected amqp://… or amqps://…: local: works only inside `waybill all` and `waybill demo`",
    ),
    // HTTP.
    (
        Role::All,
        &[("WAYBILL_HTTP_ADDR", "localhost:8080")],
        "WAYBILL_HTTP_ADDR: \"localhost:8080\" given, expected IP:PORT, such as 127.0.0.1:8080",
    ),
    (
        Role::All,
        &[("WAYBILL_HTTP_ADDR", "127.0.0.1:65536")],
        "WAYBILL_HTTP_ADDR: \"127.0.0.1:65536\" given, expected IP:PORT, such as 127.0.0.1:8080",
    ),
    (
        Role::All,
        &[("WAYBILL_PUBLIC_URL", "ftp://w.example")],
        "WAYBILL_PUBLIC_URL: \"ftp://w.example\" given, expected http://HOST or https://HOST, with a path at most",
    ),
    (
        Role::All,
        &[("WAYBILL_PUBLIC_URL", "w.example")],
        "WAYBILL_PUBLIC_URL: \"w.example\" given, expected http://HOST or https://HOST, with a path at most",
    ),
    (
        Role::All,
        &[("WAYBILL_PUBLIC_URL", "https://w.example/?a=b")],
        "WAYBILL_PUBLIC_URL: \"https://w.example/?a=b\" given, expected http://HOST or https://HOST, with a path at most",
    ),
    // Graph and partners.
    (
        Role::All,
        &[("WAYBILL_GRAPH", "nowhere.yaml")],
        "WAYBILL_GRAPH: \"nowhere.yaml\" given, expected a template file that can be read",
    ),
    (
        Role::Work,
        &[AMQP],
        "WAYBILL_PARTNERS: nothing given, expected the partners file: the simulator is a partner only of the embedded backends",
    ),
    (
        Role::All,
        &[POSTGRES, KEYS, TOKENS],
        "WAYBILL_PARTNERS: nothing given, expected the partners file: the simulator is a partner only of the embedded backends",
    ),
    // Queues.
    (
        Role::All,
        &[("WAYBILL_QUEUE", "amq.gen")],
        "WAYBILL_QUEUE: \"amq.gen\" given, expected a queue's name: 1 to 255 printable characters, not beginning with amq.",
    ),
    (
        Role::All,
        &[("WAYBILL_QUEUE", "waybill.payments")],
        "WAYBILL_QUEUE: \"waybill.payments\" given, expected another queue than that of the payment events",
    ),
    (
        Role::All,
        &[("WAYBILL_OMS_QUEUE", "waybill")],
        "WAYBILL_OMS_QUEUE: \"waybill\" given, expected a queue of another service, not waybill, which is ours",
    ),
    (
        Role::All,
        &[("WAYBILL_NOTIFY_TASK", "send it")],
        "WAYBILL_NOTIFY_TASK: \"send it\" given, expected a task's name, such as oms.delivery_update",
    ),
    (
        Role::All,
        &[("WAYBILL_RESULT_BACKEND", "memcached://h")],
        "WAYBILL_RESULT_BACKEND: memcached://… given, expected rpc://, db+postgresql://USER:PASSWORD@HOST/DATABASE or redis://HOST/0 or rediss://…",
    ),
    // Tokens.
    (
        Role::All,
        &[("WAYBILL_JWT_KEY", "too short")],
        "WAYBILL_JWT_KEY: 9 characters given, expected a shared secret of at least 32 characters, or a public key in PEM",
    ),
    (
        Role::All,
        &[(
            "WAYBILL_JWT_KEY",
            "-----BEGIN PRIVATE KEY-----\\nhunter2\\n-----END PRIVATE KEY-----",
        )],
        "WAYBILL_JWT_KEY: 63 characters given, expected a shared secret of at least 32 characters, or a public key in PEM",
    ),
    (
        Role::All,
        &[TOKENS, ("WAYBILL_JWT_JWKS_URL", "https://id.example")],
        "WAYBILL_JWT_JWKS_URL: \"https://id.example\" given, expected either it or WAYBILL_JWT_KEY, not both",
    ),
    (
        Role::All,
        &[("WAYBILL_JWT_JWKS_URL", "http://id.example")],
        "WAYBILL_JWT_JWKS_URL: \"http://id.example\" given, expected https://HOST/PATH (http:// only to this machine)",
    ),
    (
        Role::All,
        &[
            ("WAYBILL_JWT_JWKS_URL", "https://id.example"),
            ("WAYBILL_JWT_ISSUER", "me"),
        ],
        "WAYBILL_JWT_AUDIENCE: nothing given, expected what the tokens of WAYBILL_JWT_JWKS_URL carry",
    ),
    (
        Role::Token,
        &[POSTGRES],
        "WAYBILL_JWT_KEY: nothing given, expected a shared secret of at least 32 characters, or a public key in PEM; \
         or WAYBILL_JWT_JWKS_URL",
    ),
    // Data key.
    (
        Role::Operator,
        &[POSTGRES],
        "WAYBILL_DATA_KEY: nothing given, expected 32 random bytes in base64 or hex: with PostgreSQL no key is made by itself",
    ),
    (
        Role::All,
        &[("WAYBILL_DATA_KEY", "k1:c2hvcnQ=")],
        "WAYBILL_DATA_KEY: 11 characters given, expected 32 random bytes in base64 or hex, with an id before (k1:…) if \
         wanted; several with commas between, the first encrypts",
    ),
    (
        Role::All,
        &[("WAYBILL_DATA_KEY", "")],
        "WAYBILL_DATA_KEY: an empty value given, expected 32 random bytes in base64 or hex, with an id before (k1:…) if \
         wanted; several with commas between, the first encrypts",
    ),
    // Log.
    (
        Role::All,
        &[("WAYBILL_LOG", "inof")],
        "WAYBILL_LOG: \"inof\" given, expected a level (off, error, warn, info, debug, trace), or target=level with commas between",
    ),
    (
        Role::All,
        &[("WAYBILL_LOG", "info,waybill=loud")],
        "WAYBILL_LOG: \"info,waybill=loud\" given, expected a level (off, error, warn, info, debug, trace), or target=level \
         with commas between",
    ),
    (
        Role::All,
        &[("WAYBILL_LOG", "caf\u{e9}=info")],
        "WAYBILL_LOG: \"caf\u{e9}=info\" given, expected a level (off, error, warn, info, debug, trace), or target=level with \
         commas between",
    ),
    (
        Role::All,
        &[("WAYBILL_LOG_FORMAT", "JSON")],
        "WAYBILL_LOG_FORMAT: \"JSON\" given, expected text or json",
    ),
];

#[test]
fn what_cannot_be_used_is_refused_with_one_line() {
    for (role, pairs, line) in REFUSALS {
        let folder = folder();

        let refusal = load(folder.path(), *role, pairs).map(|_| ()).unwrap_err().to_string();

        assert_eq!(&refusal, line);
        assert!(!refusal.contains('\n') && !refusal.contains("hunter2"), "{refusal}");
    }
}

#[test]
fn a_role_with_real_services_names_the_first_thing_that_is_missing() {
    let folder = folder();
    let given = real_services(folder.path());
    for (missing, role, line) in [
        (
            "WAYBILL_PARTNERS",
            Role::Serve,
            "WAYBILL_PARTNERS: nothing given, expected the partners file",
        ),
        (
            "WAYBILL_JWT_KEY",
            Role::Serve,
            "WAYBILL_JWT_KEY: nothing given, expected a shared secret",
        ),
        (
            "WAYBILL_DATA_KEY",
            Role::Serve,
            "WAYBILL_DATA_KEY: nothing given, expected 32 random bytes",
        ),
        (
            "WAYBILL_DATA_KEY",
            Role::Work,
            "WAYBILL_DATA_KEY: nothing given, expected 32 random bytes",
        ),
    ] {
        let pairs: Vec<_> = given
            .iter()
            .filter(|(name, _)| *name != missing)
            .map(|(name, value)| (*name, value.as_str()))
            .collect();

        let refusal = load(folder.path(), role, &pairs).unwrap_err().to_string();

        assert!(refusal.starts_with(line), "{refusal}");
    }
}

#[test]
fn a_refusal_says_that_the_value_is_in_the_dotenv_file() {
    for (text, line) in [
        (
            "WAYBILL_LOG_FORMAT=xml",
            "WAYBILL_LOG_FORMAT (in .env): \"xml\" given, expected text or json",
        ),
        (
            "WAYBILL_LOGS=x",
            "WAYBILL_LOGS: unknown setting, did you mean WAYBILL_LOG?",
        ),
        (
            "WAYBILL_LOG",
            ".env line 1: a line without =, expected lines of NAME=VALUE",
        ),
    ] {
        let folder = folder_with_dotenv(text);

        assert_eq!(load(folder.path(), Role::All, &[]).unwrap_err().to_string(), line);
    }
}

#[test]
fn a_key_file_that_was_spoilt_is_refused_and_not_replaced() {
    let folder = folder();
    let file = folder.path().join("waybill.db.data-key");
    std::fs::write(&file, "spoilt").unwrap();

    let refusal = load(folder.path(), Role::All, &[]).unwrap_err().to_string();

    assert!(
        refusal.contains("waybill.db.data-key): 6 characters given, expected 32 random bytes"),
        "{refusal}"
    );
    assert_eq!(std::fs::read_to_string(file).unwrap(), "spoilt");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let folder = folder();

    let refusal = load(
        folder.path(),
        Role::All,
        &[("WAYBILL_DATABASE_URL", "sqlite://no/where.db")],
    )
    .unwrap_err();

    assert!(
        refusal
            .to_string()
            .contains("no/where.db.jwt-key in (No such file or directory"),
        "{refusal}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_set_the_refusal_is_one_line_without_the_secret(
        setting in proptest::sample::select(&names::SETTINGS[..]),
        value in prop_oneof!["\\PC{8,60}", "[a-z]{2,8}://[ -~]{8,40}", "(?s).{8,40}"],
    ) {
        let folder = folder();

        let Err(refusal) = load(folder.path(), Role::All, &[(setting.name, &value)]) else {
            return Ok(());
        };

        let line = refusal.to_string();
        prop_assert!(!line.chars().any(char::is_control), "{line:?}");
        prop_assert!(line.len() < 700, "{line:?}");
        let rest = value.split_once("://").map_or(&*value, |(_, rest)| rest);
        prop_assert!(!setting.secret || rest.len() < 8 || !line.contains(rest), "{line:?}");
    }
}
