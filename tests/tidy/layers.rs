//! Which part of the product may speak with what.

use crate::code::identifiers;
use crate::repository::{Source, files, keep, product};

/// A crate, and the only modules that may name it.
const AT_HOME: [(&str, &[&str]); 4] = [
    ("sqlx", &["src/store"]),
    ("lapin", &["tasks/src/celery"]),
    (
        "reqwest",
        &[
            "tasks/src/partner",
            "src/partner_sim",
            "src/demo",
            "src/api/auth",
            "src/outgoing",
            "src/appconfig",
            "src/doctor",
        ],
    ),
    ("anyhow", &["src/main", "src/commands", "src/demo"]),
];

fn names(file: &Source, wanted: &str) -> Vec<String> {
    identifiers(file.code_outside_tests())
        .filter(|(_, name)| *name == wanted)
        .map(|(at, _)| file.at(at))
        .collect()
}

#[test]
fn a_driver_is_named_only_where_it_is_at_home() {
    for (library, homes) in AT_HOME {
        let strangers = product().filter(|file| !homes.iter().any(|home| file.is_in(home)));

        let broken = strangers.flat_map(|file| names(file, library)).collect();

        keep(&format!("`{library}` is named only in {}", homes.join(", ")), broken);
    }
}

#[test]
fn settings_are_read_in_one_place() {
    let readers = ["env::var", "env::vars", "env::set_var", "env::remove_var"];

    let others = product().filter(|file| !file.is_in("src/config"));
    let broken = others.flat_map(|file| {
        file.lines_where(file.code_outside_tests(), |line| {
            readers.iter().any(|reader| line.contains(reader))
        })
    });

    keep("environment variables are read in src/config.rs only", broken.collect());
}

#[test]
fn the_celery_module_knows_nothing_of_deliveries() {
    let outside = ["waybill_domain", "crate::orders", "crate::partner", "crate::effects"];

    let celery = product().filter(|file| file.is_in("tasks/src/celery"));
    let broken = celery.flat_map(|file| {
        file.lines_where(file.code_outside_tests(), |line| {
            outside.iter().any(|name| line.contains(name))
        })
    });

    keep("tasks/src/celery imports nothing of delivery", broken.collect());
}

#[test]
fn the_domain_has_no_clock_and_no_io_of_its_own() {
    let forbidden = [
        "Utc::now",
        "Local::now",
        "SystemTime",
        "Instant::now",
        "std::fs",
        "std::net",
        "std::thread",
        "async fn",
    ];

    let domain = product().filter(|file| file.path.starts_with("domain/src/"));
    let broken = domain.flat_map(|file| {
        file.lines_where(file.code_outside_tests(), |line| {
            forbidden.iter().any(|name| line.contains(name))
        })
    });

    keep("the domain is pure: `now` is given to it", broken.collect());
}

#[test]
fn transactions_begin_in_one_place() {
    let others = product().filter(|file| !file.is_in("src/store/db"));
    let broken = others.flat_map(|file| {
        file.lines_where(file.code_outside_tests(), |line| {
            line.contains(".begin()") || line.contains(".begin_with(")
        })
    });

    keep(
        "`.begin()` only in src/store/db: everybody else takes Db::tx",
        broken.collect(),
    );
}

/// What was told once is known for ever: a callback or a payment that comes again years later does nothing again.
#[test]
fn what_was_told_or_done_is_never_deleted() {
    let kept = [
        "inbox",
        "callbacks",
        "payments",
        "orderings",
        "instances",
        "delivery_orders",
        "transitions",
        "effects",
    ];
    let deletes = |line: &str| {
        let words: Vec<&str> = line
            .split(|letter: char| !(letter.is_alphanumeric() || letter == '_'))
            .collect();
        let mut targets = words.windows(3).filter_map(|three| match three {
            ["DELETE", "FROM", table] | ["DROP", "TABLE", table] | ["TRUNCATE", table, _] => Some(*table),
            _ => None,
        });
        targets.any(|table| kept.contains(&table))
    };

    let migrations = files().iter().filter(|file| file.path.starts_with("migrations/"));
    let broken = product()
        .chain(migrations)
        .flat_map(|file| file.lines_where(&file.text, deletes));

    keep("no statement deletes what was told or done", broken.collect());
}

#[test]
fn published_graph_versions_are_yaml_in_one_folder() {
    let templates = files()
        .iter()
        .filter(|file| file.text.contains("AWS::AppConfig::HostedConfigurationVersion"));
    let others = templates.filter(|file| file.path.ends_with(".yaml") && !file.path.starts_with("cloudformation/"));
    let broken = others.filter(|file| !file.path.starts_with("tests/") && !file.path.contains("/tests/"));

    keep(
        "graphs live in cloudformation/",
        broken.map(|file| file.path.clone()).collect(),
    );
}
