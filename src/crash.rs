//! Points between a partner's request and its effect at which a test may end this process, as `kill -9` does.
//!
//! A release has none of them: [`pass`] is empty there, and nothing reads the setting.

/// A point, by what is done before it and what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Point {
    /// A callback is verified, and nothing of it is stored.
    BeforeStore,
    /// It is written, and not committed.
    BeforeCommit,
    /// It is committed, and nobody knows yet: neither who waits for the commit nor the relay.
    AfterStore,
    /// The engine has answered, and the 200 is not written.
    BeforeAnswer,
    /// Its task was handed out, and nothing is applied.
    BeforeApply,
    /// It is applied, and the task's message is not acknowledged.
    BeforeAck,
}

impl Point {
    /// As a test names it.
    #[cfg(debug_assertions)]
    fn name(self) -> &'static str {
        match self {
            Self::BeforeStore => "before-store",
            Self::BeforeCommit => "before-commit",
            Self::AfterStore => "after-store",
            Self::BeforeAnswer => "before-answer",
            Self::BeforeApply => "before-apply",
            Self::BeforeAck => "before-ack",
        }
    }
}

/// Ends this process here, if a test has asked for that. Nothing is finished, flushed or told: the kernel ends it.
#[cfg(debug_assertions)]
pub(crate) fn pass(point: Point) {
    if crate::config::crash_point() != Some(point.name()) {
        return;
    }
    let killed = std::process::Command::new("kill")
        .args(["-KILL", &std::process::id().to_string()])
        .spawn();
    if killed.is_err() {
        std::process::abort();
    }
    loop {
        std::thread::park();
    }
}

/// Nothing.
#[cfg(not(debug_assertions))]
pub(crate) fn pass(_point: Point) {}
