//! The database, and what only it can tell: migrations, graph versions, data keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use waybill_domain::GraphVersion;

use super::Check;
use crate::app::read_template;
use crate::appconfig::{AppConfig, NotTaken};
use crate::commands::failure::chain;
use crate::config::{AppConfigUrl, Database, Role, Settings};
use crate::store::{Crypt, DataKey, Db, DbError, MigrateError, OrderFilter, Store};
use crate::template::Template;

pub(super) async fn check(settings: &Settings) -> Vec<Check> {
    let mut checks = Vec::new();
    let template = match read_template(settings) {
        Ok(template) => Some(template),
        Err(error) => {
            checks.push(Check::fail(
                "graph",
                format!("{}: `waybill graph check` lists all", chain(&error)),
            ));
            None
        }
    };
    let shown = crate::commands::shown(settings, "WAYBILL_DATABASE_URL");
    let db = match open(settings).await {
        Ok(Some(db)) => db,
        Ok(None) => {
            checks.insert(
                0,
                Check::ok("database", format!("{shown} will be made by the first `waybill all`")),
            );
            checks.extend(template.map(|template| Check::ok("graph", versions(&template))));
            return checks;
        }
        Err(error) => {
            checks.insert(0, away(&shown, &error));
            return checks;
        }
    };
    match db.server().await {
        Ok(server) => checks.insert(0, Check::ok("database", format!("{shown} answers: {server}"))),
        Err(error) => {
            checks.insert(0, away(&shown, &error));
            return checks;
        }
    }
    match db.check_migrations().await {
        Ok(()) => checks.push(Check::ok("migrations", "all applied")),
        // What follows asks tables that are not there, or are others.
        Err(error) => {
            let check = match &error {
                MigrateError::Unavailable(_) => Check::unreachable("migrations", chain(&error)),
                _ => Check::fail("migrations", chain(&error)),
            };
            checks.push(check);
            return checks;
        }
    }
    checks.extend(check_contents(db, template.as_deref(), settings).await);
    checks
}

/// None is a SQLite file that nobody has made yet; looking must not make it, nor migrate it.
async fn open(settings: &Settings) -> Result<Option<Db>, DbError> {
    match &settings.database {
        Database::Postgres(url) => {
            let replica = settings.read_database.as_ref().map(|replica| &replica.0);
            Ok(Some(Db::postgres(url, replica).await?))
        }
        Database::Sqlite(path) if !path.exists() => Ok(None),
        Database::Sqlite(path) => Ok(Some(Db::sqlite(path).await?)),
    }
}

fn away(shown: &str, error: &DbError) -> Check {
    Check::unreachable("database", format!("{shown}: {} (WAYBILL_DATABASE_URL)", chain(error)))
}

async fn check_contents(db: Db, template: Option<&Template>, settings: &Settings) -> Vec<Check> {
    // Whoever reads data needs the keys; nothing is made here, because the database is there.
    let operator = Settings::from_environment(Role::Operator);
    let keys = operator.as_ref().ok().and_then(|settings| settings.data_keys.as_ref());
    let keys = keys.map(|keys| keys.0.iter().map(DataKey::duplicate).collect::<Vec<_>>());
    let count = keys.as_ref().map_or(0, Vec::len);
    // Without keys everything but the encrypted columns can be read; a key that nobody has opens none of them.
    let crypt = keys.unwrap_or_else(|| {
        vec![DataKey {
            id: "none".to_owned(),
            key: Box::new([0; 32]).into(),
        }]
    });
    let store = match Store::open(db, Arc::new(Crypt::new(crypt)), TimeDelta::zero()).await {
        Ok(store) => store,
        Err(error) => return vec![Check::unreachable("graph", chain(&error))],
    };
    let mut checks = Vec::new();
    if let Some(template) = template {
        checks.push(check_graph(&store, template).await);
    }
    if let Some(environments) = &settings.appconfig {
        checks.extend(check_appconfig(&store, environments).await);
    }
    checks.push(match operator {
        Err(error) => Check::fail("data key", error.to_string()),
        Ok(_) => check_keys(&store, count).await,
    });
    checks
}

/// The template is what the database knows by the same versions, and every version that orders are pinned to is in it.
async fn check_graph(store: &Store, template: &Template) -> Check {
    let counts = match store.version_counts().await {
        Ok(counts) => counts,
        Err(error) => return Check::unreachable("graph", chain(&error)),
    };
    let mut pinned: BTreeMap<(String, i64), i64> = BTreeMap::new();
    for (machine, version, sha256, _, count) in counts {
        let found = u32::try_from(version)
            .ok()
            .and_then(|version| template.sha256(&machine, GraphVersion(version)));
        match found {
            Some(found) if found != sha256 => {
                let detail = format!(
                    "{machine} version {version} was published with sha256 {sha256}, the template has {found}: publish a new version"
                );
                return Check::fail("graph", detail);
            }
            Some(_) => {}
            // Other machines are published from templates of their own.
            None if template.routing(&machine).is_none() => {}
            None => *pinned.entry((machine, version)).or_default() += count,
        }
    }
    pinned.retain(|_, count| *count > 0);
    match pinned.into_iter().next() {
        Some(((machine, version), count)) => Check::fail(
            "graph",
            format!(
                "{count} orders are pinned to {machine} version {version}, which the template lacks (WAYBILL_GRAPH): put it back"
            ),
        ),
        None => Check::ok("graph", versions(template)),
    }
}

/// What the agent serves is what was published, or a new version; its routing names versions that are there.
async fn check_appconfig(store: &Store, environments: &AppConfigUrl) -> Vec<Check> {
    let agent = match AppConfig::new(environments.clone()) {
        Ok(agent) => agent,
        Err(error) => return vec![Check::fail("appconfig", error.to_string())],
    };
    let mut checks = Vec::new();
    for source in agent.sources() {
        let machine = source.machine();
        checks.push(match source.look(store).await {
            Ok((version, revision)) => Check::ok(
                "appconfig",
                format!("serves {machine} version {version} and routing {revision}"),
            ),
            Err(error @ NotTaken::Unreachable { .. }) => Check::unreachable(
                "appconfig",
                format!("{error} (WAYBILL_APPCONFIG_URL); what was good before stays"),
            ),
            Err(error) => Check::fail("appconfig", format!("{error}; what was good before stays")),
        });
    }
    checks
}

fn versions(template: &Template) -> String {
    let graphs = template
        .graphs()
        .map(|graph| format!("{} version {}", graph.machine(), graph.version()));
    graphs.collect::<Vec<_>>().join(", ")
}

/// How far back the newest order is looked for.
const WINDOWS: [TimeDelta; 5] = [
    TimeDelta::minutes(1),
    TimeDelta::hours(1),
    TimeDelta::days(1),
    TimeDelta::days(30),
    TimeDelta::days(365),
];

/// The oldest order tells whether an old key is missing, a recent one whether the present key is another's.
async fn check_keys(store: &Store, count: usize) -> Check {
    let read = async {
        let oldest = OrderFilter {
            limit: 1,
            ..OrderFilter::default()
        };
        if store.orders(&oldest).await?.is_empty() {
            return Ok::<_, DbError>(false);
        }
        let now = store.now().await?;
        for window in WINDOWS {
            let recent = OrderFilter {
                updated_after: Some(now - window),
                ..oldest.clone()
            };
            if !store.orders(&recent).await?.is_empty() {
                break;
            }
        }
        Ok(true)
    };
    let keys = if count == 1 {
        "1 key".to_owned()
    } else {
        format!("{count} keys")
    };
    match read.await {
        Ok(true) => Check::ok(
            "data key",
            format!("{keys}; the oldest order and a recent one can be read"),
        ),
        Ok(false) => Check::ok("data key", format!("{keys}; there is no order yet to try with")),
        Err(error @ DbError::Failed(_)) => Check::fail(
            "data key",
            format!(
                "an order cannot be read: {}: put the key that it was written with into WAYBILL_DATA_KEY",
                chain(&error)
            ),
        ),
        Err(error) => Check::unreachable("data key", chain(&error)),
    }
}
