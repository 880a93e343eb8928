//! The program `waybill`.

use std::process::ExitCode;

use clap::Parser as _;
use waybill::commands::{self, Cli};

fn main() -> ExitCode {
    // The one crypto provider, before anything can open a connection; it is absent only if it was installed already.
    let _already_there = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("waybill: this machine gives no threads: {error}");
            return ExitCode::from(commands::FORCED);
        }
    };
    let code = runtime.block_on(commands::run(cli));
    // What still runs was given its time.
    runtime.shutdown_background();
    ExitCode::from(code)
}
