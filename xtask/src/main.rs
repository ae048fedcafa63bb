//! Checks of the house itself, as `docs/style.md` promises them: sizes, module docs, crate directions,
//! lint inheritance, licences and bans, fresh reference pages. Not part of the product.
//!
//! `cargo run -p xtask -- check` reports every finding at once and fails if one is an error;
//! `cargo run -p xtask -- reference` writes the generated pages anew.
#![forbid(unsafe_code)]

mod dependencies;
mod finding;
mod manifests;
mod reference;
mod sources;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};

use crate::finding::{Finding, Severity};

#[derive(Parser)]
#[command(about = "Checks of the house itself")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check everything and list what is found.
    Check,
    /// Write the generated reference pages.
    Reference,
}

fn main() -> Result<ExitCode> {
    let root = root()?;
    match Arguments::parse().command {
        Command::Check => check(&root),
        Command::Reference => {
            reference::write(&root)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn check(root: &std::path::Path) -> Result<ExitCode> {
    let mut findings = sources::check(root)?;
    let metadata = manifests::metadata(root)?;
    findings.extend(manifests::check(root, &metadata)?);
    findings.extend(dependencies::check(root, &metadata)?);
    findings.extend(reference::check(root)?);

    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    let errors = findings.iter().filter(|finding| finding.severity == Severity::Error).count();
    let warnings = findings.len() - errors;
    writeln!(out, "house: {errors} errors, {warnings} warnings")?;
    Ok(if errors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workspace's root: the parent of this crate.
fn root() -> Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).context("xtask has no parent directory")
}

/// A finding as the checks build them.
pub(crate) fn error(place: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { severity: Severity::Error, place: place.into(), text: text.into() }
}

/// A finding that does not fail the check.
pub(crate) fn warning(place: impl Into<String>, text: impl Into<String>) -> Finding {
    Finding { severity: Severity::Warning, place: place.into(), text: text.into() }
}
