//! Shows that a long step is alive: a spinner with the tool's current line where a person watches, one
//! plain line per step where not.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::printer::Printer;

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(100);

/// One step in progress. Dropping it removes the spinner.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

// === impl Progress ===

impl Progress {
    /// Starts a step.
    pub fn start(printer: Printer, text: &str) -> Self {
        if !Printer::is_watched() {
            printer.step("working", text);
            return Self { bar: ProgressBar::hidden() };
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) =
            ProgressStyle::with_template("{spinner:>9.green} {prefix} {elapsed:.dim} {wide_msg:.dim}")
        {
            bar.set_style(style);
        }
        bar.set_prefix(text.to_owned());
        bar.enable_steady_tick(TICK);
        Self { bar }
    }

    /// Shows what is being done right now.
    pub fn show(&self, line: &str) {
        self.bar.set_message(line.trim().to_owned());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
