//! A stage for one story: services, settings, processes and people of its own, gone when it is dropped.

pub(crate) mod clients;
pub(crate) mod graphs;
pub(crate) mod people;
pub(crate) mod process;
pub(crate) mod services;

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use clients::Clients;
use process::Process;
use services::{Database, VirtualHost, service};

/// What callbacks of the simulated partner are signed with.
pub(crate) const CALLBACK_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";

/// Whom the simulated partner speaks as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Language {
    /// The adapter, which is also its name.
    pub(crate) adapter: &'static str,
    /// What its callbacks are signed with.
    pub(crate) secret: &'static str,
    /// What else the partners file says of it.
    pub(crate) settings: &'static str,
}

/// Our own contract.
const STANDARD: Language = Language {
    adapter: "standard",
    secret: CALLBACK_SECRET,
    settings: "",
};

/// One story's own world. What it started ends with it; if the story fails, their logs are shown.
pub(crate) struct Stage {
    // In this order they go: processes, clients, then what they stand on.
    processes: Vec<Process>,
    /// HTTP and AMQP.
    pub(crate) clients: Clients,
    settings: Vec<(String, String)>,
    /// Its PostgreSQL database, if it is on real services.
    pub(crate) database: Option<Database>,
    _host: Option<VirtualHost>,
    folder: TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// It went as it should; answers what it said.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The same, in JSON.
    pub(crate) fn json(self) -> Json {
        serde_json::from_str(&self.good()).expect("JSON")
    }
}

impl Stage {
    /// On one machine: no settings but a port, nothing installed.
    pub(crate) fn embedded() -> Self {
        let port = free_port();
        let mut stage = Self::bare(None);
        stage.set("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{port}"));
        stage
    }

    /// On one machine, with a simulated partner that behaves so and whose callbacks are signed with [`CALLBACK_SECRET`].
    pub(crate) fn single(partner: &[&str]) -> Self {
        Self::single_speaking(STANDARD, partner)
    }

    /// On one machine, with a simulated partner that speaks as another than we do.
    pub(crate) fn single_speaking(language: Language, partner: &[&str]) -> Self {
        let mut stage = Self::embedded();
        stage.employ_partner(language, partner);
        stage
    }

    /// On PostgreSQL and RabbitMQ: a database and a virtual host of its own, migrated, and a simulated partner that behaves so.
    pub(crate) fn real(partner: &[&str]) -> Self {
        Self::on(partner, Database::new(), VirtualHost::new())
    }

    /// The same on services of its own choice.
    pub(crate) fn on(partner: &[&str], database: Database, host: VirtualHost) -> Self {
        Self::among(STANDARD, partner, database, host)
    }

    /// On real services, with a simulated partner that speaks as another than we do.
    pub(crate) fn speaking(language: Language, partner: &[&str]) -> Self {
        Self::among(language, partner, Database::new(), VirtualHost::new())
    }

    fn among(language: Language, partner: &[&str], database: Database, host: VirtualHost) -> Self {
        let broker = &host.url();
        let port = free_port();
        let mut stage = Self::bare(Some(broker));
        for (name, value) in [
            ("WAYBILL_DATABASE_URL", database.url()),
            ("WAYBILL_BROKER_URL", broker.to_owned()),
            ("WAYBILL_HTTP_ADDR", format!("127.0.0.1:{port}")),
            ("WAYBILL_PUBLIC_URL", format!("http://127.0.0.1:{port}")),
            ("WAYBILL_DATA_KEY", "07".repeat(32)),
            ("WAYBILL_JWT_KEY", "a key for tests, and for nothing else".to_owned()),
        ] {
            stage.set(name, value);
        }
        stage.database = Some(database);
        stage._host = Some(host);
        stage.run(&["migrate"]).good();
        stage.employ_partner(language, partner);
        stage
    }

    fn employ_partner(&mut self, language: Language, partner: &[&str]) {
        let base = self.simulate(language, partner);
        let Language {
            adapter,
            secret,
            settings,
        } = language;
        let settings = settings.replace("BASE", &base);
        self.set("WAYBILL_PARTNERS", "partners.yaml");
        self.write(
            "partners.yaml",
            &format!(
                "partners: {{{adapter}: {{adapter: {adapter}, base_url: '{base}', {settings} secrets: [{{id: a, value: '{secret}'}}]}}}}\n\
                 default: {adapter}\nreceiving: {{rejections_per_minute: 100000}}\n"
            ),
        );
    }

    fn bare(broker: Option<&str>) -> Self {
        Self {
            processes: Vec::new(),
            clients: Clients::new(broker),
            settings: Vec::new(),
            database: None,
            _host: None,
            folder: tempfile::tempdir().expect("a temporary folder"),
        }
    }

    /// A setting for what is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.retain(|(other, _)| other != name);
        self.settings.push((name.to_owned(), value.into()));
    }

    /// A setting that is not set for what is started from now on.
    pub(crate) fn unset(&mut self, name: &str) {
        self.settings.retain(|(other, _)| other != name);
    }

    /// A setting's value.
    pub(crate) fn setting(&self, name: &str) -> &str {
        let found = self.settings.iter().find(|(other, _)| other == name);
        &found.unwrap_or_else(|| panic!("{name} is set")).1
    }

    /// Where we are reached.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.setting("WAYBILL_HTTP_ADDR"))
    }

    /// A path in its folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file can be written");
    }

    /// What a file of one JSON object a line holds, as far as it is written.
    pub(crate) fn lines(&self, name: &str) -> Vec<Json> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// Runs `waybill` with these arguments to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.waybill(arguments);
        ran(command.stdin(Stdio::null()).output().expect("waybill runs"))
    }

    /// Starts a process of ours that runs until it is stopped, and waits until it is ready; answers its place.
    pub(crate) fn start(&mut self, arguments: &[&str]) -> usize {
        let name = format!("waybill-{}-{}", arguments[0], self.processes.len());
        let process = Process::start(&name, self.waybill(arguments), self.folder.path());
        process.wait_for(" is ready");
        self.keep(process)
    }

    /// Starts a process of ours that ends by itself; answers its place.
    pub(crate) fn begin(&mut self, arguments: &[&str]) -> usize {
        let name = format!("waybill-{}-{}", arguments[0], self.processes.len());
        let process = Process::start(&name, self.waybill(arguments), self.folder.path());
        self.keep(process)
    }

    /// Starts the simulated partner; answers its base URL.
    fn simulate(&mut self, language: Language, arguments: &[&str]) -> String {
        let Language { adapter, secret, .. } = language;
        let callback_url = format!("{}/webhooks/{adapter}", self.url());
        let mut command = self.waybill(&["partner-sim", "--addr", "127.0.0.1:0", "--speaks", adapter]);
        command.args(["--callback-url", &callback_url, "--callback-secret", secret]);
        command.args(arguments);
        let process = Process::start("partner", command, self.folder.path());
        let line = process.wait_for("partner simulator listens on ");
        self.keep(process);
        line.rsplit(' ').next().expect("a URL").to_owned()
    }

    /// Where the simulated partner is.
    pub(crate) fn partner(&self) -> String {
        let line = self.processes[0].wait_for("partner simulator listens on ");
        line.rsplit(' ').next().expect("a URL").to_owned()
    }

    /// Starts a Python program of this repository, with these arguments after `--broker`.
    pub(crate) fn start_python(&mut self, program: &str, arguments: &[&str]) -> usize {
        let name = Path::new(program)
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        let process = Process::start(&name, self.python(program, arguments), self.folder.path());
        self.keep(process)
    }

    /// Runs a Python program of this repository to its end, and answers what it printed.
    pub(crate) fn run_python(&self, program: &str, arguments: &[&str]) -> Ran {
        ran(self.python(program, arguments).output().expect("Python runs"))
    }

    /// A process that was started.
    pub(crate) fn process(&mut self, place: usize) -> &mut Process {
        &mut self.processes[place]
    }

    fn keep(&mut self, process: Process) -> usize {
        self.processes.push(process);
        self.processes.len() - 1
    }

    fn waybill(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.envs(self.settings.iter().map(|(name, value)| (name, value)));
        command
    }

    fn python(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(service("WAYBILL_TEST_PYTHON"));
        command.arg(repository(program));
        command
            .args(["--broker", self.setting("WAYBILL_BROKER_URL")])
            .args(arguments);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if thread::panicking() {
            let mut logs = String::new();
            for process in &self.processes {
                let _ = writeln!(logs, "--- {} ---\n{}", process.name(), process.last_lines(40));
            }
            eprintln!("{logs}");
        }
    }
}

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    root.join(path)
}

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < within, "not within {within:?}: {what}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// The payment of a printed book, as an event.
pub(crate) fn payment(ordering: &str) -> String {
    let address =
        json!({"name": "A. Reader", "line1": "Torstr. 1", "postal_code": "10119", "city": "Berlin", "country": "DE"});
    let event = json!({
        "event_id": format!("evt-{ordering}"), "type": "payment.succeeded", "occurred_at": "2026-11-20T11:00:00Z",
        "data": {
            "payment_id": format!("pay-{ordering}"), "ordering_id": ordering, "customer_id": "cus-1", "locale": "de",
            "amount": {"minor_units": 4599, "currency": "EUR"}, "pickup": address, "dropoff": address,
            "items": [{"sku": "b-1", "title": "A printed book", "quantity": 1, "format": "physical"}],
        },
    });
    event.to_string()
}

/// A port below those that the kernel gives to clients, so that a process finds it free when it starts again.
fn free_port() -> u16 {
    let free = (0..1000).map(|_| rand::random_range(15_000..30_000));
    free.into_iter()
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// What a command said, and how it ended.
pub(crate) fn ran(output: Output) -> Ran {
    let text = |bytes| String::from_utf8(bytes).expect("what it says is UTF-8");
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}
