//! The program in a folder of its own, with nothing of this machine's environment.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A command that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A folder of its own, and the settings that its commands get.
pub(crate) struct Place {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    /// An empty folder, no settings.
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a temporary folder"),
            environment: Vec::new(),
        }
    }

    /// The same with a setting.
    pub(crate) fn set(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// A path in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).expect("a file can be written");
    }

    /// The names of the files in it.
    pub(crate) fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Runs `waybill` with these arguments to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_reading("", arguments)
    }

    /// The same with something on standard input.
    pub(crate) fn run_reading(&self, input: &str, arguments: &[&str]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let mut stdin = child.stdin.take().expect("standard input");
        let input = input.to_owned();
        thread::spawn(move || {
            // Who does not read its input is not asked to.
            let _unread = stdin.write_all(input.as_bytes());
        });
        let out = gather(child.stdout.take().expect("standard output"));
        let err = gather(child.stderr.take().expect("standard error"));
        let code = wait(&mut child, arguments);
        let text = |gathered: JoinHandle<String>| gathered.join().expect("it is read to its end");
        Ran {
            code,
            out: text(out),
            err: text(err),
        }
    }

    /// Starts a process that runs until it is stopped, and waits until it says that it is ready.
    pub(crate) fn start(&self, arguments: &[&str]) -> Running {
        let mut child = self
            .command(arguments)
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let log = follow(child.stderr.take().expect("standard error"));
        let running = Running { child, log };
        running.wait_for(" is ready");
        running
    }

    /// The command, not started yet.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waybill"));
        command.args(arguments).current_dir(self.folder.path()).env_clear();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

fn gather(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8(bytes).expect("what it says is UTF-8")
    })
}

fn follow(from: ChildStderr) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let written = log.clone();
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let mut log = written.lock().expect("nobody panics with the log");
            log.push_str(&line);
            log.push('\n');
        }
    });
    log
}

fn wait(child: &mut Child, arguments: &[&str]) -> i32 {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            return status.code().unwrap_or(-1);
        }
        if start.elapsed() > PATIENCE {
            let _gone = child.kill();
            panic!("waybill {arguments:?} does not end");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process that runs. Dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Running {
    /// What it has said so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("nobody panics with the log").clone()
    }

    /// Waits until it says that.
    pub(crate) fn wait_for(&self, text: &str) {
        eventually(&format!("the process says {text:?}"), || {
            self.log().contains(text).then_some(())
        });
    }

    /// The address under which it says that it is ready.
    pub(crate) fn url(&self) -> String {
        let log = self.log();
        let line = log
            .lines()
            .find(|line| line.contains(" is ready at "))
            .expect("it serves HTTP");
        line.rsplit(' ').next().expect("a URL").to_owned()
    }

    /// Sends it a signal, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([format!("-{name}"), self.child.id().to_string()])
            .status();
        assert!(sent.expect("kill runs").success(), "signal {name} is sent");
    }

    /// Waits for its end; answers the exit code.
    pub(crate) fn end(mut self) -> i32 {
        wait(&mut self.child, &["…"])
    }

    /// Stops it, and expects that it ends well.
    pub(crate) fn stop(self) {
        self.signal("TERM");
        let log = self.log.clone();
        assert_eq!(self.end(), 0, "{}", log.lock().expect("nobody panics with the log"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Asks until there is an answer.
pub(crate) fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A file of this repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    Path::new(&root).join(path)
}
