//! PostgreSQL and RabbitMQ, as `tests/services/run` has started them, and what a story has of them for itself.

use std::process::Command;

use tempfile::TempDir;
use uuid::Uuid;

use super::{ran, repository};

/// What `tests/services/run` says of a service.
pub(crate) fn service(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `make test`, which starts the services"))
}

/// A PostgreSQL database of its own, dropped in the end.
pub(crate) struct Database {
    server: String,
    name: String,
}

impl Database {
    /// An empty one on the shared server.
    pub(crate) fn new() -> Self {
        Self::at(&service("WAYBILL_TEST_POSTGRES_URL"))
    }

    /// An empty one on that server.
    pub(crate) fn at(url: &str) -> Self {
        let (server, _) = url.rsplit_once('/').expect("a database");
        let database = Self {
            server: server.to_owned(),
            name: format!("story_{}", Uuid::new_v4().simple()),
        };
        database
            .on_server(&format!("CREATE DATABASE {}", database.name))
            .expect("a database");
        database
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// What a query answers, as `psql -At` writes it.
    pub(crate) fn query(&self, sql: &str) -> String {
        psql(&self.url(), sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The one number that a query answers.
    pub(crate) fn count(&self, sql: &str) -> i64 {
        self.query(sql)
            .parse()
            .unwrap_or_else(|_| panic!("{sql} answers a number"))
    }

    fn on_server(&self, sql: &str) -> Result<String, String> {
        psql(&format!("{}/postgres", self.server), sql)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A server that was stopped has nothing to be cleaned.
        let _ = self.on_server(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn psql(url: &str, sql: &str) -> Result<String, String> {
    let mut command = Command::new(service("WAYBILL_TEST_PSQL"));
    let ran = ran(command
        .args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql])
        .output()
        .expect("psql runs"));
    match ran.code {
        0 => Ok(ran.out.trim_end().to_owned()),
        _ => Err(ran.err),
    }
}

/// A virtual host of its own, deleted in the end.
pub(crate) struct VirtualHost {
    url: String,
    name: Option<String>,
}

impl VirtualHost {
    /// An empty one on the shared broker, open to the tests' user.
    pub(crate) fn new() -> Self {
        let name = format!("story-{}", Uuid::new_v4());
        let url = service("WAYBILL_TEST_AMQP_URL");
        let (server, _) = url.rsplit_once('/').expect("a virtual host");
        let host = Self {
            url: format!("{server}/{name}"),
            name: Some(name.clone()),
        };
        control(&["add_vhost", &name]);
        control(&["set_permissions", "-p", &name, "guest", ".*", ".*", ".*"]);
        host
    }

    /// The only one of a broker that is the story's own.
    pub(crate) fn of(services: &OwnServices) -> Self {
        Self {
            url: services.setting("WAYBILL_TEST_AMQP_URL"),
            name: None,
        }
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }
}

impl Drop for VirtualHost {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            let mut command = Command::new(service("WAYBILL_TEST_RABBITMQCTL"));
            let _ = command.args(["delete_vhost", name]).output();
        }
    }
}

fn control(arguments: &[&str]) {
    let mut command = Command::new(service("WAYBILL_TEST_RABBITMQCTL"));
    let ran = ran(command.args(arguments).output().expect("rabbitmqctl runs"));
    assert_eq!(ran.code, 0, "rabbitmqctl {arguments:?}: {}", ran.err);
}

/// Services of one test alone, which may be stopped and started.
pub(crate) struct OwnServices {
    folder: TempDir,
}

impl OwnServices {
    /// Starts those named: `rabbitmq`, `postgres`.
    pub(crate) fn start(services: &[&str]) -> Self {
        // Within the folder of the shared ones: who ends those ends these, too, should this test be killed.
        let within = service("WAYBILL_TEST_SERVICES");
        let folder = tempfile::Builder::new()
            .prefix("own.")
            .tempdir_in(within)
            .expect("a temporary folder");
        let own = Self { folder };
        let mut command = Command::new(repository("tests/services/up"));
        let ran = ran(command
            .arg(own.folder.path())
            .args(services)
            .output()
            .expect("tests/services/up runs"));
        assert_eq!(ran.code, 0, "{}", ran.err);
        own
    }

    /// What it says of itself, such as `WAYBILL_TEST_AMQP_URL`.
    pub(crate) fn setting(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.folder.path().join("env")).expect("the services are up");
        let prefix = format!("export {name}='");
        let line = text.lines().find_map(|line| line.strip_prefix(&prefix));
        line.unwrap_or_else(|| panic!("{name} is there"))
            .trim_end_matches('\'')
            .to_owned()
    }

    /// Runs one of its programs: `rabbitmqctl`, `rabbitmq-start`, `pg_ctl`.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) {
        let mut command = Command::new(self.folder.path().join("bin").join(program));
        // What is started here must not hold our pipes open.
        let log = std::fs::File::create(self.folder.path().join("own.log")).expect("a log file");
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        let status = command.args(arguments).status().expect("it runs");
        assert!(status.success(), "{program} {arguments:?}");
    }
}

impl Drop for OwnServices {
    fn drop(&mut self) {
        let mut command = Command::new(repository("tests/services/down"));
        let _ = command.arg(self.folder.path()).output();
    }
}
