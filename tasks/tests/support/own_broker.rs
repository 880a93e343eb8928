//! A RabbitMQ of a test's own, to be killed, starved and locked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// Ends with the test.
pub(crate) struct OwnBroker {
    folder: tempfile::TempDir,
    pub(crate) url: String,
}

impl OwnBroker {
    /// Starts one: about seven seconds.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        run(
            &services().join("up"),
            &[folder.path().to_str().expect("UTF-8"), "rabbitmq"],
        )
        .await;
        let settings = std::fs::read_to_string(folder.path().join("env")).expect("the services' settings");
        let url = settings
            .lines()
            .find_map(|line| line.strip_prefix("export WAYBILL_TEST_AMQP_URL='"));
        let url = url.expect("RabbitMQ's URL").trim_end_matches('\'').to_owned();
        Self { folder, url }
    }

    /// `rabbitmqctl`; answers what it says.
    pub(crate) async fn control(&self, arguments: &[&str]) -> String {
        run(&self.folder.path().join("bin/rabbitmqctl"), arguments).await
    }

    /// What the broker has written into its log.
    pub(crate) fn log(&self) -> String {
        let logs = std::fs::read_dir(self.folder.path().join("rabbitmq/log")).expect("RabbitMQ's logs");
        let texts = logs.map(|file| std::fs::read_to_string(file.expect("a file").path()).unwrap_or_default());
        texts.collect()
    }

    /// As a power cut would.
    pub(crate) async fn kill(&self) {
        let pid = std::fs::read_to_string(self.folder.path().join("rabbitmq/pid")).expect("RabbitMQ's pid");
        run(Path::new("kill"), &["-9", pid.trim()]).await;
    }

    /// After a kill; returns when it answers.
    pub(crate) async fn start_again(&self) {
        // The name of the killed node is free a moment later.
        tokio::time::sleep(Duration::from_millis(500)).await;
        run(&self.folder.path().join("bin/rabbitmq-start"), &[]).await;
    }
}

impl Drop for OwnBroker {
    fn drop(&mut self) {
        let down = std::process::Command::new(services().join("down"))
            .arg(self.folder.path())
            .status();
        assert!(
            down.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "RabbitMQ did not end"
        );
    }
}

fn services() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/services")
}

async fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().await.expect("started");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {text}", program.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
