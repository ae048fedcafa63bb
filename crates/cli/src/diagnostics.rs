//! The one place where an error becomes text: `error: ...`, its causes, a blank line, `hint: ...`.
//!
//! Advice belongs to the error type that knows it ([`Hint`]); this file only finds and prints it.

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use crate::printer::Printer;
use crate::{api, deploy, detect, package};

/// Advice that an error type attaches to its values.
pub trait Hint {
    /// One action that would help, without a full stop; `None` where the message says it all.
    fn hint(&self) -> Option<String>;
}

/// A failure of a command that needs no type of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Advised {
    /// What is wrong.
    pub message: String,
    /// One action that would help.
    pub hint: String,
}

// === impl Advised ===

impl Advised {
    /// An error with its advice.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl Hint for Advised {
    fn hint(&self) -> Option<String> {
        Some(self.hint.clone())
    }
}

/// Prints an error on standard error, as text or, with `--json`, as one object.
pub fn report(error: &anyhow::Error, printer: Printer) {
    let causes = causes(error);
    let hint = hint_of(error);
    if printer.is_json() {
        let object = serde_json::json!({ "error": error.to_string(), "causes": causes, "hint": hint });
        printer.talk(object);
        return;
    }
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let cyan = Style::new().bold().fg_color(Some(AnsiColor::Cyan.into()));
    printer.talk(format_args!("{red}error{red:#}: {error}"));
    for cause in causes {
        printer.talk(format_args!("  caused by: {cause}"));
    }
    if let Some(hint) = hint {
        printer.talk(format_args!("\n{cyan}hint{cyan:#}: {hint}"));
    }
}

/// The exit status of a failed command: the server's own where it has one, else 1.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<server::Error>() {
        Some(error) => ExitCode::from(error.exit_code()),
        None => ExitCode::FAILURE,
    }
}

/// The chain below the error, without what the line above it already says.
fn causes(error: &anyhow::Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut above = error.to_string();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !above.contains(&text) {
            causes.push(text.clone());
        }
        above = text;
    }
    causes
}

fn hint_of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        None.or_else(|| cause.downcast_ref::<Advised>().and_then(Hint::hint))
            .or_else(|| cause.downcast_ref::<api::Error>().and_then(Hint::hint))
            .or_else(|| cause.downcast_ref::<detect::Error>().and_then(Hint::hint))
            .or_else(|| cause.downcast_ref::<package::Error>().and_then(Hint::hint))
            .or_else(|| cause.downcast_ref::<deploy::Error>().and_then(Hint::hint))
            .or_else(|| cause.downcast_ref::<server::Error>().and_then(server::Error::hint))
            .or_else(|| cause.downcast_ref::<server::Error>().and_then(server::Error::hint))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_the_line_above_contains_is_not_repeated() {
        let error = anyhow::anyhow!("disk full").context("cannot write: disk full").context("deploy failed");
        assert_eq!(causes(&error), ["cannot write: disk full"]);
    }

    #[test]
    fn finds_the_advice_below_any_context() {
        let error = anyhow::Error::new(Advised::new("no", "do this")).context("outer");
        assert_eq!(hint_of(&error).as_deref(), Some("do this"));
    }
}
