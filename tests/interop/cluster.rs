//! Our worker and a stock Python one, each with a queue of its own, on a virtual host and a database of their own.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::stage::clients::Clients;
use crate::stage::process::Process;
use crate::stage::services::{Database, VirtualHost, service};
use crate::stage::{Ran, eventually, ran, repository};

/// What our worker is called.
pub(crate) const OURS: &str = "ours@waybill";
const PYTHON: &str = "python@waybill";
/// As many tasks at once, on each side.
const CONCURRENCY: [&str; 2] = ["-c", "2"];

/// Where results are kept.
pub(crate) enum Backend {
    Redis,
    /// Celery's own tables.
    Postgres,
    /// Another Redis than the shared one.
    At(String),
}

/// Both workers. They end with it, and their logs are shown if the story fails.
pub(crate) struct Cluster {
    processes: Vec<Process>,
    broker: String,
    backend: String,
    traces: String,
    events: bool,
    tracing: bool,
    /// The interpreter with the stock Celery that is on the other side.
    stock: PathBuf,
    database: Database,
    _host: VirtualHost,
    folder: TempDir,
}

impl Cluster {
    /// Both of them at work.
    pub(crate) fn of_both(backend: Backend) -> Self {
        let mut cluster = Self::of_ours(backend, "ours", &CONCURRENCY);
        cluster.employ_python();
        cluster
    }

    /// Both of them, with another version of Celery on the other side.
    pub(crate) fn of_both_with(backend: Backend, stock: PathBuf) -> Self {
        let mut cluster = Self::vacant(backend, &["ours", "python"]);
        cluster.stock = stock;
        cluster.employ_ours("ours", &CONCURRENCY);
        cluster.employ_python();
        cluster
    }

    /// Both of them, and neither tells of its tasks before it is asked to.
    pub(crate) fn of_both_in_silence(backend: Backend) -> Self {
        let mut cluster = Self::vacant(backend, &["ours", "python"]);
        cluster.events = false;
        cluster.employ_ours("ours", &CONCURRENCY);
        cluster.employ_python();
        cluster
    }

    /// Both of them, and Python's traces its tasks.
    pub(crate) fn of_both_with_tracing(backend: Backend) -> Self {
        let mut cluster = Self::of_ours(backend, "ours", &CONCURRENCY);
        cluster.tracing = true;
        cluster.employ_python();
        cluster
    }

    /// Ours alone, consuming that queue, with these options.
    pub(crate) fn of_ours(backend: Backend, queue: &str, options: &[&str]) -> Self {
        let mut cluster = Self::vacant(backend, &[queue, "python"]);
        cluster.employ_ours(queue, options);
        cluster
    }

    fn employ_ours(&mut self, queue: &str, options: &[&str]) {
        let mut command = Command::new(worker());
        command
            .args(self.worker_arguments(queue))
            .args(["-n", OURS])
            .args(options);
        if self.events {
            command.arg("-E");
        }
        let process = Process::start("ours", command, self.folder.path());
        process.wait_for("is ready");
        self.processes.push(process);
    }

    /// Starts one more worker, whatever it is; answers its place.
    pub(crate) fn employ(&mut self, name: &str, command: Command) -> usize {
        let process = Process::start(name, command, self.folder.path());
        self.processes.push(process);
        self.processes.len() - 1
    }

    /// A worker that was started.
    pub(crate) fn process(&self, place: usize) -> &Process {
        &self.processes[place]
    }

    /// Tells the worker that was started first to stop, and answers its exit code.
    pub(crate) fn stop(&mut self) -> i32 {
        self.processes[0].stop()
    }

    /// How many messages of a queue nobody has in hand.
    pub(crate) fn waiting(&self, queue: &str) -> u32 {
        let clients = Clients::new(Some(&self.broker));
        clients.queue(queue).expect("the queue is there").0
    }

    /// Waits until somebody consumes that queue.
    pub(crate) fn await_consumer(&self, queue: &str) {
        let clients = Clients::new(Some(&self.broker));
        eventually("a consumer", Duration::from_secs(30), || {
            clients.queue(queue).filter(|(_, consumers)| *consumers > 0).map(drop)
        });
    }

    /// Only their place, with these queues.
    pub(crate) fn vacant(backend: Backend, queues: &[&str]) -> Self {
        let (host, database) = (VirtualHost::new(), Database::new());
        let traces = match &backend {
            Backend::At(redis) => redis.clone(),
            Backend::Redis | Backend::Postgres => service("WAYBILL_TEST_REDIS_URL"),
        };
        let backend = match backend {
            Backend::Postgres => format!("db+{}", database.url().replacen("postgres://", "postgresql://", 1)),
            _ => traces.clone(),
        };
        let cluster = Self {
            processes: Vec::new(),
            broker: host.url(),
            backend,
            traces,
            events: true,
            tracing: false,
            stock: service("WAYBILL_TEST_PYTHON").into(),
            database,
            _host: host,
            folder: tempfile::tempdir().expect("a temporary folder"),
        };
        // Stock producers declare the queues that they send to, as classic ones.
        for queue in queues {
            let options = [
                "--broker",
                &cluster.broker,
                "--queue",
                queue,
                "declare",
                "--arguments",
                "{}",
            ];
            cluster.python("tests/interop/python/peer.py", &options).good();
        }
        cluster
    }

    /// What our worker is told, but for its name.
    pub(crate) fn worker_arguments(&self, queue: &str) -> Vec<String> {
        let words = [
            "--broker",
            &self.broker,
            "--database",
            &self.database.url(),
            "--result-backend",
            &self.backend,
            "--redis",
            &self.traces,
            "-Q",
            queue,
        ];
        words.map(str::to_owned).into()
    }

    fn employ_python(&mut self) {
        let mut command = Command::new(&self.stock);
        command.args([
            "-B", "-m", "celery", "-A", "app", "worker", "-l", "INFO", "-Q", "python", "-n", PYTHON,
        ]);
        command.args(CONCURRENCY);
        if self.events {
            command.arg("-E");
        }
        command.current_dir(repository("tests/interop/python"));
        command
            .env("INTEROP_BROKER", &self.broker)
            .env("INTEROP_BACKEND", &self.backend);
        command.env("INTEROP_TRACES", &self.traces);
        if self.tracing {
            command.env("INTEROP_TRACING", "yes");
        }
        let process = Process::start("python", command, self.folder.path());
        process.wait_for("ready.");
        self.processes.push(process);
    }

    /// Where the broker is.
    pub(crate) fn broker(&self) -> &str {
        &self.broker
    }

    /// How many messages were set aside.
    pub(crate) fn set_aside(&self) -> i64 {
        self.database.count("SELECT count(*) FROM quarantine")
    }

    /// Runs a story of Python's, and demands that each of its checks is good. What else it prints is shown.
    pub(crate) fn prove(&self, program: &str, arguments: &[&str]) {
        let told = self.run(program, arguments);
        let (checks, rest): (Vec<_>, Vec<_>) = told.out.lines().partition(|line| line.starts_with("{\"check\""));
        println!("{}", rest.join("\n"));
        let broken: Vec<&str> = checks.iter().copied().filter(|line| !is_good(line)).collect();
        let logs: Vec<String> = self.processes.iter().map(|process| process.last_lines(60)).collect();
        assert!(broken.is_empty(), "{}\n{}", broken.join("\n"), logs.join("\n---\n"));
        assert!(
            told.code == 0 && !checks.is_empty(),
            "{}\n{}",
            told.err,
            logs.join("\n---\n")
        );
    }

    /// Runs a program of Python's to its end.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut all = vec![
            "--broker",
            &self.broker,
            "--backend",
            &self.backend,
            "--traces",
            &self.traces,
        ];
        all.extend(arguments);
        self.python(&format!("tests/interop/python/{program}"), &all)
    }

    /// Does one thing as a stock client.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Ran {
        let mut whole = vec!["--broker", &self.broker, "--backend", &self.backend];
        whole.extend(arguments);
        self.python("tests/interop/python/peer.py", &whole)
    }

    fn python(&self, program: &str, arguments: &[&str]) -> Ran {
        let mut command = Command::new(&self.stock);
        command
            .arg("-B")
            .arg(repository(program))
            .args(arguments)
            .current_dir(self.folder.path());
        ran(command.output().expect("Python runs"))
    }
}

fn is_good(line: &str) -> bool {
    serde_json::from_str::<Json>(line).is_ok_and(|told| told["ok"] == true)
}

/// The worker for tests, built beside the program.
pub(crate) fn worker() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_waybill"));
    let worker = program.with_file_name("examples").join("celery-worker");
    assert!(
        worker.exists(),
        "{} is built by `cargo build --example celery-worker`",
        worker.display()
    );
    worker
}

/// A Python with the packages of a file in `tests/services`, made once and kept in the target folder.
pub(crate) fn venv(name: &str) -> PathBuf {
    let venv = target().join(name);
    let mut command = Command::new(repository("tests/services/venv"));
    command
        .arg(&venv)
        .arg(repository(&format!("tests/services/{name}.txt")));
    let told = ran(command.output().expect("a shell"));
    assert_eq!(told.code, 0, "{}", told.err);
    venv.join("bin/python")
}

/// The target folder.
pub(crate) fn target() -> PathBuf {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_waybill"));
    program.ancestors().nth(2).expect("the target folder").to_owned()
}
