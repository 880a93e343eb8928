//! The last question before something happens to many.

use std::io::{self, BufRead as _, IsTerminal as _};

use super::Failure;

/// Asks on the terminal whether so many of these (`messages`) should be `done` (`sent`) again; refuses where nobody can answer.
pub(super) fn confirm(count: usize, these: &str, done: &str) -> Result<bool, Failure> {
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(Failure::usage(format!(
            "{count} {these} would be {done} again: say --yes to do it"
        )));
    }
    eprint!("{count} {these} will be {done} again. Go on? [y/N] ");
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}
