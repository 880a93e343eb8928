//! The program `waybill`.

use std::os::unix::process::CommandExt as _;
use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use waybill::commands::{self, Cli};

/// Messages are made on one thread and dropped on another: docs/adr/0017-an-allocator-for-messages-that-change-threads.md.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // The one crypto provider, before anything can open a connection; it is absent only if it was installed already.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    if cli.meets_messages() {
        deepen_stacks();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("waybill: this machine gives no threads: {error}");
            return ExitCode::from(commands::FORCED);
        }
    };
    let code = runtime.block_on(commands::run(cli));
    // What still runs was given its time, and its threads end with the process. Who lets go of a thread that is just ending reads
    // from its stack (pthread_detach of glibc 2.36), and one as large as ours is unmapped at once: a segmentation fault.
    std::mem::forget(runtime);
    ExitCode::from(code)
}

/// Starts this program again, once, with more stack for threads that others start.
///
/// lapin reads nested headers by recursion on a thread of its own: at the usual 2 MiB a message with some hundred levels would end the
/// process, be handed out again, and end it again. Only the environment can say how much stack that thread has, and only at the start.
/// It is address space, not memory.
fn deepen_stacks() {
    const NAME: &str = "RUST_MIN_STACK";
    const ENOUGH: &str = "1073741824";
    if waybill::config::is_set(NAME) {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let error = std::process::Command::new(program)
        .args(std::env::args_os().skip(1))
        .env(NAME, ENOUGH)
        .exec();
    eprintln!("waybill: goes on with the usual stacks: {error}");
}
