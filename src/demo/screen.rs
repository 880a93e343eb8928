//! What the demo shows while it runs.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use waybill_domain::Graph;

use super::verdict::Verdict;

/// On a terminal the picture is drawn anew; elsewhere a line is printed now and then.
pub(super) struct Screen {
    /// In the order of their lives.
    states: Vec<String>,
    terminal: bool,
    lines: usize,
    printed: Option<Instant>,
}

/// Orders that one character of a bar stands for.
const PER_CELL: i64 = 4;
/// Between two lines where there is no terminal.
const PAUSE: Duration = Duration::from_secs(2);

impl Screen {
    /// Shows the states of this graph.
    pub(super) fn new(graph: &Graph) -> Self {
        Self {
            states: graph.states().map(|state| state.name.to_string()).collect(),
            terminal: std::io::stdout().is_terminal(),
            lines: 0,
            printed: None,
        }
    }

    pub(super) fn show(&mut self, verdict: &Verdict, elapsed: Duration) -> std::io::Result<()> {
        let count = |state: &str| {
            verdict
                .states
                .iter()
                .find(|(name, _)| name == state)
                .map_or(0, |(_, count)| *count)
        };
        let mut out = std::io::stdout().lock();
        if !self.terminal {
            if self.printed.is_some_and(|at| at.elapsed() < PAUSE) {
                return Ok(());
            }
            self.printed = Some(Instant::now());
            let counts: Vec<_> = self
                .states
                .iter()
                .filter(|state| count(state) > 0)
                .map(|state| format!("{state} {}", count(state)))
                .collect();
            return writeln!(
                out,
                "{:5.1} s  {}  | breaker {}",
                elapsed.as_secs_f64(),
                counts.join("  "),
                verdict.breaker
            );
        }
        if self.lines > 0 {
            write!(out, "\x1b[{}A", self.lines)?;
        }
        for state in &self.states {
            let count = count(state);
            let bar = "█".repeat(usize::try_from((count + PER_CELL - 1) / PER_CELL).unwrap_or(0));
            writeln!(out, "\x1b[2K  {state:<20} {count:>5}  {bar}")?;
        }
        writeln!(
            out,
            "\x1b[2K  {:.1} s · partner's breaker {} · open cases {}",
            elapsed.as_secs_f64(),
            verdict.breaker,
            verdict.open_cases
        )?;
        self.lines = self.states.len() + 1;
        out.flush()
    }

    pub(super) fn end(&mut self) -> std::io::Result<()> {
        writeln!(std::io::stdout())
    }
}
